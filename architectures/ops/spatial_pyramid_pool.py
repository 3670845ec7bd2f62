"""Pooling of maps of any size to vectors of one length."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from .pool import adaptive_max_pool


def spatial_pyramid_pool(
  x: jax.Array,
  levels: Sequence[int] = (1, 2, 4),
  *,
  pool: Callable[[jax.Array, int], jax.Array] = adaptive_max_pool,
) -> jax.Array:
  """Pools to a few grids, and concatenates all of their cells.

  He et al. 2014, https://arxiv.org/abs/1406.4729, section 2.2: a network with it before
  its dense layers takes images of any size.

  Args:
    x: `[batch, *spatial, channels]`.
    levels: How many cells a grid has in each dimension, grid by grid.
    pool: Pools an array to so many cells, as `adaptive_max_pool`.

  Returns:
    `[batch, cells * channels]`: grid by grid, in a grid cell by cell, last dimension
    fastest, and all channels of a cell side by side.

  Raises:
    ValueError: If a level is not a positive int.

  Example:
    >>> spatial_pyramid_pool(jnp.ones((2, 13, 9, 8)), (1, 2, 4)).shape
    (2, 168)
  """
  return jnp.concatenate(
    [pool(x, level).reshape(x.shape[0], -1) for level in levels], axis=-1
  )
