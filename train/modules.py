"""Parts of a model by name: what a run freezes, and what it initialises afresh."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from flax import linen as nn

from .errors import ConfigError, choose


def select(key: str, names: Sequence[str], params: Mapping[str, Any]) -> frozenset[str]:
  """Returns the modules of a model that belong to these names.

  Args:
    key: where the names come from, for the error.
    names: of modules, or what such names begin with before a `_`.
    params: the model's parameters, by module.

  Raises:
    ConfigError: a name has no modules.

  >>> params = dict.fromkeys(['stem_conv', 'stem_norm', 'stage1_block0', 'head'])
  >>> sorted(select('config.frozen', ['stem', 'stage1'], params))
  ['stage1_block0', 'stem_conv', 'stem_norm']
  """
  found: set[str] = set()
  for name in names:
    under = {m for m in params if m == name or m.startswith(f'{name}_')}
    if not under:
      choose(key, name, {module.partition('_')[0] for module in params})
    found |= under
  return frozenset(found)


def select_frozen(names: Sequence[str], params: Mapping[str, Any]) -> frozenset[str]:
  """Returns the modules that `config.frozen` names, which may not be all.

  Raises:
    ConfigError: a name has no modules, or nothing is left to train.
  """
  frozen = select('config.frozen', names, params)
  if frozen == set(params):
    raise ConfigError(
      f'config.frozen: {tuple(names)}; expected at least one module that is trained'
    )
  return frozen


def without(tree: Mapping[str, Any], modules: Collection[str]) -> dict[str, Any]:
  """Returns what belongs to other modules than these.

  >>> without({'stem': 1, 'head': 2}, {'stem'})
  {'head': 2}
  """
  return {module: leaves for module, leaves in tree.items() if module not in modules}


def keep_statistics(modules: Collection[str]) -> AbstractContextManager[None]:
  """Has the batch norms in these modules use their running statistics, and keep them.

  For any layer that takes `use_running_average`, as `flax.linen.BatchNorm` does, and
  whatever it is given; while a model is traced in this context.
  """

  def intercept(
    call: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context: nn.module.InterceptorContext,
  ) -> Any:
    layer: Any = context.module
    if (
      context.method_name != '__call__'
      or not hasattr(layer, 'use_running_average')
      or set(layer.path[:1]).isdisjoint(modules)
    ):
      return call(*args, **kwargs)
    # A copy outside of the model, since a layer's own field can't be set here, and one
    # that is set can't be overridden by the call.
    alone = layer.clone(use_running_average=None)
    return alone.apply(layer.variables, *args, **kwargs | {'use_running_average': True})

  return nn.intercept_methods(intercept)
