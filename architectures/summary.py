"""A model's layers, parameters and multiply-accumulates, without computing anything."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
from flax.traverse_util import flatten_dict
from flax.typing import Dtype
from jax.extend import core

_MARK = 'module:'
_UNCOUNTABLE = ('while', 'pallas_call', 'shard_map')


@dataclass(frozen=True)
class Row:
  """One module of a model.

  Attributes:
    path: Its names from the root on, joined by slashes; empty for the root.
    type: The name of its class.
    output_shape: Of the last array that its last call returned, the batch included;
      None if it was never called. In a scan, the shape of a single step.
    num_params: The number of its own parameters, without those of its submodules.
    macs: Multiply-accumulates of its own, for one example.
  """

  path: str
  type: str
  output_shape: tuple[int, ...] | None
  num_params: int
  macs: int


@dataclass(frozen=True)
class Summary:
  """The modules of a model that own parameters or multiply, in the order of calls.

  Attributes:
    rows: The modules.
  """

  rows: tuple[Row, ...]

  @property
  def num_params(self) -> int:
    """The number of parameters of the model."""
    return sum(row.num_params for row in self.rows)

  @property
  def macs(self) -> int:
    """Multiply-accumulates of the model's forward pass, for one example."""
    return sum(row.macs for row in self.rows)

  def __str__(self) -> str:
    cells = [('layer', 'type', 'output', 'parameters', 'MACs')]
    for r in self.rows:
      shape = '-' if r.output_shape is None else str(r.output_shape)
      cells.append((r.path, r.type, shape, f'{r.num_params:,}', f'{r.macs:,}'))
    cells.append(('total', '', '', f'{self.num_params:,}', f'{self.macs:,}'))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
      text = [c.ljust(w) for c, w in zip(row[:3], widths[:3], strict=True)]
      numbers = [c.rjust(w) for c, w in zip(row[3:], widths[3:], strict=True)]
      lines.append('  '.join(text + numbers))
    rule = '-' * len(lines[0])
    return '\n'.join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def summary(
  model: nn.Module, input_shape: Sequence[int], dtype: Dtype = 'float32'
) -> Summary:
  """Counts a model's parameters and multiply-accumulates, layer by layer.

  The model is traced, with `train=False`, and never run. Multiply-accumulates (MACs)
  are those of all convolutions and matrix products in the trace, whichever layers
  they come from; a convolution's include those by the zeros of its padding, as
  published figures do. A scan counts as often as it steps; of a conditional's branches
  the costliest counts. A product belongs to the innermost module it was called in.

  Args:
    model: A Linen module, called as `model(inputs, train=False)`.
    input_shape: The shape of the inputs, the batch first.
    dtype: The dtype of the inputs, such as `'int32'` for tokens.

  Returns:
    The summary, whose `str` is a table.

  Raises:
    ValueError: If the batch is empty; or if the model multiplies in a loop whose
      number of steps the trace does not tell.

  Example:
    >>> class Net(nn.Module):
    ...   @nn.compact
    ...   def __call__(self, x, *, train):
    ...     x = nn.relu(nn.Dense(4)(x))
    ...     return nn.Dense(2)(x)
    >>> print(summary(Net(), (1, 3)))
    layer    type   output  parameters  MACs
    ----------------------------------------
    Dense_0  Dense  (1, 4)          16    12
    Dense_1  Dense  (1, 2)          10     8
    ----------------------------------------
    total                           26    20
  """
  batch = input_shape[0] if input_shape else 0
  if batch < 1:
    raise ValueError(
      f'input_shape {tuple(input_shape)}: expected a batch of at least one example'
    )
  inputs = jax.ShapeDtypeStruct(tuple(input_shape), dtype)
  variables = jax.eval_shape(
    lambda x: model.init(jax.random.key(0), x, train=False), inputs
  )
  types: dict[str, str] = {}
  shapes: dict[str, tuple[int, ...]] = {}

  def observe(
    call: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context: nn.module.InterceptorContext,
  ) -> Any:
    path = '/'.join(context.module.path)
    types.setdefault(path, type(context.module).__name__)
    with jax.named_scope(_MARK + path):
      outputs = call(*args, **kwargs)
    if context.method_name == '__call__' and (arrays := jax.tree.leaves(outputs)):
      shapes[path] = arrays[-1].shape
    return outputs

  with nn.intercept_methods(observe):
    jaxpr = jax.make_jaxpr(lambda v, x: model.apply(v, x, train=False))(
      variables, inputs
    )
  macs = _count_macs(jaxpr.jaxpr, '')
  num_params: Counter[str] = Counter()
  for name, param in flatten_dict(variables.get('params', {}), sep='/').items():
    owner = name.rpartition('/')[0]
    while owner not in types:  # a parameter may be a dict: its keys are no modules
      owner = owner.rpartition('/')[0]
    num_params[owner] += math.prod(param.shape)
  return Summary(
    tuple(
      Row(path, type_name, shapes.get(path), num_params[path], macs[path] // batch)
      for path, type_name in types.items()
      if num_params[path] or macs[path]
    )
  )


def _count_macs(jaxpr: core.Jaxpr, caller: str) -> Counter[str]:
  """Counts the MACs in a jaxpr for each module, named by its path."""
  total: Counter[str] = Counter()
  for eqn in jaxpr.eqns:
    module = _module_of(eqn, caller)
    total[module] += _macs_of(eqn)
    inner = [_count_macs(j, module) for j in core.jaxprs_in_params(eqn.params)]
    primitive = eqn.primitive.name
    if primitive == 'cond':
      inner = [max(inner, key=Counter.total)]
    elif primitive in _UNCOUNTABLE and any(counts.total() for counts in inner):
      raise ValueError(
        f'{primitive} in module {module!r}: cannot count its MACs, since the trace '
        'does not tell how often it runs'
      )
    times = eqn.params['length'] if primitive == 'scan' else 1
    for counts in inner:
      for name, macs in counts.items():
        total[name] += times * macs
  return total


def _macs_of(eqn: core.JaxprEqn) -> int:
  """Counts one equation's MACs: for each output, the products that are summed.

  Of a transposed convolution: for each input, the products it is in.
  """
  if eqn.primitive.name not in ('conv_general_dilated', 'dot_general'):
    return 0
  shapes: list[tuple[int, ...]]
  shapes = [v.aval.shape for v in (*eqn.invars, *eqn.outvars)]  # type: ignore
  left, right, out = shapes
  dimensions = eqn.params['dimension_numbers']
  if eqn.primitive.name == 'dot_general':
    (contracted, _), _ = dimensions
    summed = math.prod(left[axis] for axis in contracted)
  elif max(eqn.params['lhs_dilation'], default=1) > 1:
    products = math.prod(right) // right[dimensions.rhs_spec[1]]
    return math.prod(left) * products // eqn.params['feature_group_count']
  else:
    summed = math.prod(right) // right[dimensions.rhs_spec[0]]
  return math.prod(out) * summed


def _module_of(eqn: core.JaxprEqn, caller: str) -> str:
  """Reads from an equation's name stack the innermost module that `summary` marked.

  The stack of an equation inside of another is relative to that one's, its caller's.
  Name stacks are the one part of JAX used here that it does not document.
  """
  scopes = [scope.name for scope in eqn.source_info.name_stack.stack]
  marks = [name.removeprefix(_MARK) for name in scopes if name.startswith(_MARK)]
  return marks[-1] if marks else caller
