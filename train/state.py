"""Everything that a run carries from one step to the next."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from .. import architectures
from .modules import without


class TrainState(struct.PyTreeNode):
  """The state of a run: one pytree, saved and restored whole.

  Attributes:
    step: int32 scalar, the number of updates made.
    params: the parameters.
    batch_stats: the running statistics of batch norms; empty without any.
    opt_state: the optimizer's own state, for the parameters that are trained.
    key: a typed PRNG key; step n draws its noise from `fold_in(key, n)`.
    ema: the moving averages of `params` and `batch_stats`, as `variables` has them;
      empty where none are kept.
    carry: the state in which a recurrent model ended the batch before, `[batch, ...]`;
      empty where none is carried.
  """

  step: jax.Array
  params: Any
  batch_stats: Any
  opt_state: Any
  key: jax.Array
  ema: Any
  carry: Any = ()

  @property
  def variables(self) -> dict[str, Any]:
    """What is trained, as `model.apply` takes it."""
    return {'params': self.params, 'batch_stats': self.batch_stats}

  @property
  def evaluated(self) -> dict[str, Any]:
    """What is evaluated: the moving averages, or `variables` where none are kept."""
    return self.ema or self.variables


def create_state(
  key: jax.Array,
  inputs: jax.Array,
  loaded: Mapping[str, Any],
  *,
  model: nn.Module,
  tx: Any,
  frozen: Collection[str] = (),
  ema: bool = False,
  carry: Any = (),
) -> TrainState:
  """Initialises a run.

  Args:
    key: a typed key.
    inputs: an array of the shape and dtype to come.
    loaded: variables, `{collection: {module: ...}}`, to take instead of initial ones.
    model: the model.
    tx: the optimizer.
    frozen: the modules that it is not to train.
    ema: whether to keep moving averages.
    carry: the shapes and dtypes of what is carried, which begins as zeros: a run's
      first batch resets it, whatever it is.
  """
  init_key, state_key = jax.random.split(key)
  variables = model.init(init_key, inputs, train=False)
  params = variables['params'] | loaded.get('params', {})
  batch_stats = variables.get('batch_stats', {}) | loaded.get('batch_stats', {})
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    batch_stats=batch_stats,
    opt_state=tx.init(without(params, frozen)),
    key=state_key,
    ema={'params': params, 'batch_stats': batch_stats} if ema else {},
    carry=jax.tree.map(lambda c: jnp.zeros(c.shape, c.dtype), carry),
  )


def load_variables(
  path: str, model: nn.Module, input_shape: Sequence[int], fresh: Collection[str]
) -> dict[str, Any]:
  """Reads a file of torch's weights, as `create_state` takes them.

  Args:
    path: the file; see `convscan.architectures.weights.load`.
    model: the model.
    input_shape: the shape of its inputs.
    fresh: the modules that are left out, whatever the file has for them.

  Raises:
    ImportError, OSError, ValueError: the file can't be read, or does not fit.
  """
  try:
    variables = architectures.weights.load(
      model, path, input_shape, allow_missing=tuple(fresh)
    )
  except ValueError as error:
    # An argument's name is a key's here, which names whole modules.
    message, hint, modules = str(error).partition('allow_missing=')
    if not hint:
      raise
    modules = re.sub(r"/[^']*", '', modules)
    raise ValueError(f'{message}config.init_fresh={modules}') from error
  return {collection: without(tree, fresh) for collection, tree in variables.items()}
