"""Dropout of whole blocks of a feature map."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from ..ops.max_pool import max_pool
from .dropout import check_rates


class DropBlock(nn.Module):
  """Zeroes blocks of each channel at random, and scales up what it keeps.

  Ghiasi et al. 2018, https://arxiv.org/abs/1810.12890, algorithm 1, each channel by
  itself: blocks begin at random wherever they fit into the map, as often as makes
  `rate` the share of what they cover, where none overlap. As torchvision's
  `drop_block2d`, in any number of dimensions and with blocks of even sizes too.

  Attributes:
    rate: the share to zero, 0 <= rate < 1.
    block_size: the size of a block in each spatial dimension; no larger than the map's
      smallest, which counts in its place.

  Raises:
    ValueError: `rate` is not in [0, 1), or `block_size` is not positive.

  >>> x, rngs = jnp.ones((1, 8, 8, 4)), {'dropout': jax.random.key(0)}
  >>> y = DropBlock(0.2, 3).apply({}, x, deterministic=False, rngs=rngs)
  >>> bool(jnp.isclose(y.mean(), 1))
  True
  """

  rate: float
  block_size: int

  def __post_init__(self) -> None:
    """Checks the fields."""
    check_rates(self)
    if self.block_size < 1:
      raise ValueError(f'block_size: got {self.block_size}, expected at least 1')
    super().__post_init__()

  @nn.compact
  def __call__(self, x: Array, *, deterministic: bool) -> Array:
    """Drops blocks of an array.

    Args:
      x: `[batch, *spatial, channels]`.
      deterministic: whether to return `x` as it is; else the rng stream `dropout` is
        drawn from.
    """
    if deterministic or self.rate == 0:
      return x
    batch, *sizes, channels = x.shape
    block = min(self.block_size, *sizes)
    starts = [size - block + 1 for size in sizes]
    gamma = self.rate * math.prod(sizes) / (block ** len(sizes) * math.prod(starts))
    seeds = jax.random.bernoulli(
      self.make_rng('dropout'), gamma, (batch, *starts, channels)
    )
    return x * keep_blocks(seeds, block).astype(x.dtype)


def keep_blocks(seeds: Array, block: int) -> Array:
  """Returns the factors `[batch, *spatial, channels]` of blocks that start at `seeds`.

  Args:
    seeds: bool `[batch, *(size - block + 1), channels]`.
    block: the size of a block.
  """
  window = (block,) * (seeds.ndim - 2)
  dropped = max_pool(seeds.astype(jnp.float32), window, strides=1, padding=block - 1)
  keep = 1 - dropped
  return keep * keep.size / jnp.maximum(keep.sum(), 1)
