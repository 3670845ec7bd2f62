"""Exchange of positions for channels, and back."""

import jax


def space_to_depth(x: jax.Array, block_size: int) -> jax.Array:
  """Turns each block of positions into one position with more channels.

  The new channels are ordered by the old channel first, then by the place in the block,
  last dimension fastest: as torch's `pixel_unshuffle`.

  Args:
    x: `[batch, *spatial, channels]`.
    block_size: The size of a block in each spatial dimension; it divides those of `x`.

  Returns:
    `[batch, *(size / block_size), channels * block_size ** dimensions]`.

  Raises:
    ValueError: If the block size does not divide the spatial sizes.

  Example:
    >>> x = jax.numpy.arange(4).reshape(1, 2, 2, 1)
    >>> space_to_depth(x, 2).tolist()
    [[[[0, 1, 2, 3]]]]
  """
  batch, *sizes, channels = x.shape
  if block_size < 1 or any(size % block_size for size in sizes):
    raise ValueError(
      f'block_size {block_size}: expected a divisor of the spatial shape {tuple(sizes)}'
    )
  ndim = len(sizes)
  cells = [size // block_size for size in sizes]
  x = x.reshape(batch, *(n for cell in cells for n in (cell, block_size)), channels)
  outer, inner = range(1, 2 * ndim, 2), range(2, 2 * ndim + 1, 2)
  x = x.transpose(0, *outer, 2 * ndim + 1, *inner)
  return x.reshape(batch, *cells, channels * block_size**ndim)


def depth_to_space(x: jax.Array, block_size: int) -> jax.Array:
  """Turns the channels of each position into a block of positions.

  The inverse of `space_to_depth`: torch's `pixel_shuffle` (Shi et al. 2016,
  https://arxiv.org/abs/1609.05158).

  Args:
    x: `[batch, *spatial, channels * block_size ** dimensions]`.
    block_size: The size of a block in each spatial dimension.

  Returns:
    `[batch, *(size * block_size), channels]`.

  Raises:
    ValueError: If the channels are not so many times a number.

  Example:
    >>> x = jax.numpy.arange(4).reshape(1, 1, 1, 4)
    >>> depth_to_space(x, 2).reshape(2, 2).tolist()
    [[0, 1], [2, 3]]
  """
  batch, *sizes, channels = x.shape
  ndim = len(sizes)
  if block_size < 1 or channels % block_size**ndim:
    raise ValueError(
      f'block_size {block_size}: expected its power {ndim} to divide the {channels} '
      'channels'
    )
  channels //= block_size**ndim
  x = x.reshape(batch, *sizes, channels, *(block_size for _ in sizes))
  pairs = (axis for i in range(ndim) for axis in (1 + i, 2 + ndim + i))
  x = x.transpose(0, *pairs, 1 + ndim)
  return x.reshape(batch, *(size * block_size for size in sizes), channels)
