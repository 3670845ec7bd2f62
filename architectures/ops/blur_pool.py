"""Antialiased subsampling."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from .conv import conv, per_dimension
from .pad import pad


def blur_pool(
  x: jax.Array,
  *,
  filter_size: int = 3,
  strides: int | Sequence[int] = 2,
  padding_mode: str = 'reflect',
) -> jax.Array:
  """Blurs each channel by a binomial filter, and takes every so many entries of it.

  Zhang 2019, https://arxiv.org/abs/1904.11486, section 4: before a stride, so that a
  shift of the input does not alias. To antialias a max pool, take it with a stride of 1
  and blur; a strided convolution likewise.

  Args:
    x: `[batch, *spatial, channels]`, of a floating dtype.
    filter_size: The filter's, 1 to 7: rows of Pascal's triangle over their sum. Of an
      even filter's padding the larger half is at the high side.
    strides: Of the output; one for all dimensions, or one each.
    padding_mode: As in `pad`.

  Returns:
    `[batch, *out, channels]` in the dtype of `x`, with `out = ceil(size / stride)`.

  Raises:
    ValueError: If an argument is none of these, or `x` is too small to reflect.

  Example:
    >>> x = jnp.array([0.0, 0.0, 4.0, 0.0]).reshape(1, 4, 1)
    >>> blur_pool(x).ravel()
    Array([0., 2.], dtype=float32)
  """
  if not 1 <= filter_size <= 7:
    raise ValueError(f'filter_size {filter_size}: expected 1 to 7')
  n = filter_size - 1
  row = jnp.array([math.comb(n, i) / 2**n for i in range(filter_size)])
  ndim, channels = x.ndim - 2, x.shape[-1]
  y = pad(x, [(n // 2, n - n // 2)] * ndim, padding_mode)
  y = y.astype(jnp.promote_types(x.dtype, jnp.float32))
  for axis, stride in enumerate(per_dimension('strides', strides, ndim)):
    kernel = jnp.broadcast_to(row[:, None], (filter_size, channels))
    window = [filter_size if i == axis else 1 for i in range(ndim)]
    y = conv(
      y,
      kernel.reshape(*window, 1, channels),
      strides=[stride if i == axis else 1 for i in range(ndim)],
      groups=channels,
    )
  return y.astype(x.dtype)
