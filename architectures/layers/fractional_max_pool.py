"""Fractional max pooling, from the layer's own random numbers."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from ..ops.fractional_max_pool import fractional_max_pool


class FractionalMaxPool(nn.Module):
  """Shrinks its input by a factor that need be no whole number.

  See `ops.fractional_max_pool`; every example and channel has windows of its own.

  Attributes:
    window_shape: the window's size in each spatial dimension.
    output_ratio: the output's size over the input's, 0 < ratio < 1, one for all
      dimensions or one each; rounded down to whole entries.

  Raises:
    ValueError: a ratio is not between 0 and 1.

  >>> layer = FractionalMaxPool((2, 2), 0.7)
  >>> layer.apply({}, jnp.ones((1, 10, 20, 3)), deterministic=True).shape
  (1, 7, 14, 3)
  """

  window_shape: Sequence[int]
  output_ratio: float | Sequence[float]

  def __post_init__(self) -> None:
    """Checks the fields."""
    if not all(0 < ratio < 1 for ratio in self._ratios()):
      raise ValueError(f'output_ratio: got {self.output_ratio}, expected 0 < ratio < 1')
    super().__post_init__()

  @nn.compact
  def __call__(self, x: Array, *, deterministic: bool) -> Array:
    """Pools `[batch, *spatial, channels]`.

    Args:
      x: the array.
      deterministic: whether every sample is one half; else they are drawn from the rng
        stream `dropout`.
    """
    ratios = self._ratios()
    sizes = [int(n * r) for n, r in zip(x.shape[1:-1], ratios, strict=True)]
    if deterministic:
      samples = jnp.full((1, 1, len(sizes)), 0.5)
    else:
      shape = (x.shape[0], x.shape[-1], len(sizes))
      samples = jax.random.uniform(self.make_rng('dropout'), shape)
    return fractional_max_pool(x, self.window_shape, sizes, samples)

  @nn.nowrap
  def _ratios(self) -> tuple[float, ...]:
    ndim = len(self.window_shape)
    ratio = self.output_ratio
    return (ratio,) * ndim if isinstance(ratio, int | float) else tuple(ratio)
