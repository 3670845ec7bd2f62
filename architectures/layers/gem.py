"""The generalised mean, with a power that is trained."""

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Dtype
from jax import Array

from ..ops.global_pool import gem_pool


class GeM(nn.Module):
  """Pools all spatial dimensions by a generalised mean; see `ops.gem_pool`.

  Its one parameter is the power `p`, of shape `[1]`.

  Attributes:
    p: the power at first.
    epsilon: what smaller values count as.
    param_dtype: of the parameter.

  Raises:
    ValueError: `p` is not positive.

  >>> import jax
  >>> y, variables = GeM().init_with_output(jax.random.key(0), jnp.ones((2, 7, 7, 64)))
  >>> y.shape, variables['params']
  ((2, 64), {'p': Array([3.], dtype=float32)})
  """

  p: float = 3.0
  epsilon: float = 1e-6
  param_dtype: Dtype = jnp.float32

  def __post_init__(self) -> None:
    """Checks the fields."""
    if not self.p > 0:
      raise ValueError(f'p: got {self.p}, expected a positive number')
    super().__post_init__()

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[batch, *spatial, channels]` to `[batch, channels]`."""
    p = self.param('p', nn.initializers.constant(self.p), (1,), self.param_dtype)
    return gem_pool(x, p, epsilon=self.epsilon)
