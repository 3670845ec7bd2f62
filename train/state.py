"""Everything that a run carries from one step to the next."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct


class TrainState(struct.PyTreeNode):
  """The state of a run: one pytree, saved and restored whole.

  Attributes:
    step: int32 scalar, the number of updates made.
    params: the parameters.
    batch_stats: the running statistics of batch norms; empty without any.
    opt_state: the optimizer's own state.
    key: a typed PRNG key; step n draws its noise from `fold_in(key, n)`.
  """

  step: jax.Array
  params: Any
  batch_stats: Any
  opt_state: Any
  key: jax.Array

  @property
  def variables(self) -> dict[str, Any]:
    """What `model.apply` takes."""
    return {'params': self.params, 'batch_stats': self.batch_stats}


def create_state(
  key: jax.Array, inputs: jax.Array, *, model: nn.Module, tx: Any
) -> TrainState:
  """Initialises a run from a typed key and inputs of the shape and dtype to come."""
  init_key, state_key = jax.random.split(key)
  variables = model.init(init_key, inputs, train=False)
  params = variables['params']
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    batch_stats=variables.get('batch_stats', {}),
    opt_state=tx.init(params),
    key=state_key,
  )
