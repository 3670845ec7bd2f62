"""Pooling by chance, from the layer's own random numbers."""

from collections.abc import Sequence

import flax.linen as nn
from jax import Array

from ..ops.conv import Padding
from ..ops.stochastic_pool import stochastic_pool


class StochasticPool(nn.Module):
  """Takes one value of each window by chance; see `ops.stochastic_pool`.

  Attributes:
    window_shape: the window's size in each spatial dimension.
    strides: its steps; the window's own size if None.
    padding: as in `ops.max_pool`.

  >>> import jax
  >>> x = jax.numpy.array([1.0, 3.0]).reshape(1, 2, 1)
  >>> StochasticPool((2,)).apply({}, x, deterministic=True).item()
  2.5
  """

  window_shape: Sequence[int]
  strides: int | Sequence[int] | None = None
  padding: Padding = 0

  @nn.compact
  def __call__(self, x: Array, *, deterministic: bool) -> Array:
    """Pools `[batch, *spatial, channels]`.

    Args:
      x: the array.
      deterministic: whether to take the mean of what could be drawn; else the rng
        stream `dropout` is drawn from.
    """
    return stochastic_pool(
      x,
      self.window_shape,
      strides=self.strides,
      padding=self.padding,
      key=None if deterministic else self.make_rng('dropout'),
    )
