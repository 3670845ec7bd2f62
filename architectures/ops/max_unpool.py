"""What puts maxima back to where they were."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from .conv import Padding, per_dimension
from .pad import explicit_padding


def max_unpool(
  x: jax.Array,
  indices: jax.Array,
  window_shape: Sequence[int],
  *,
  strides: int | Sequence[int] | None = None,
  padding: Padding = 0,
  output_size: int | Sequence[int] | None = None,
) -> jax.Array:
  """Puts values to where `max_pool_with_indices` found them, and zeros elsewhere.

  As torch's `max_unpool`, but for windows that overlap: where several of them had
  their maximum in one place, one of these values gets there, and the gradient with it
  alone; torch gives the gradient to all of them.

  Args:
    x: `[batch, *spatial, channels]`.
    indices: Where to, as from `max_pool_with_indices`; of the shape of `x`.
    window_shape: The window that was pooled by.
    strides: Its steps; the window's own size if None.
    padding: The padding that was pooled with: an int, or an int or a pair `(low, high)`
      for each dimension.
    output_size: The spatial size of what was pooled, one int for all dimensions or one
      each. If None, the smallest that pools to that of `x`: `(size - 1) * stride +
      window - low - high`.

  Returns:
    `[batch, *output_size, channels]` in the dtype of `x`.

  Raises:
    ValueError: If an argument does not fit the others, or the output size is not within
      a stride of the smallest.

  Example:
    >>> x, indices = jnp.full((1, 1, 1, 1), 7.0), jnp.full((1, 1, 1, 1), 1)
    >>> max_unpool(x, indices, (2, 2)).reshape(2, 2).tolist()
    [[0.0, 7.0], [0.0, 0.0]]
  """
  ndim = x.ndim - 2
  if indices.shape != x.shape:
    raise ValueError(
      f'indices with shape {indices.shape}: expected that of x, {x.shape}'
    )
  window = per_dimension('window_shape', window_shape, ndim)
  steps = window if strides is None else per_dimension('strides', strides, ndim)
  least = tuple(
    (size - 1) * step + k - low - high
    for size, step, k, (low, high) in zip(
      x.shape[1:-1], steps, window, explicit_padding(padding, window), strict=True
    )
  )
  sizes = per_dimension(
    'output_size', least if output_size is None else output_size, ndim
  )
  if any(abs(n - m) >= s for n, m, s in zip(sizes, least, steps, strict=True)):
    raise ValueError(
      f'output_size {output_size}: expected {least}, each give or take less than the '
      f'strides {steps}'
    )
  batch, channels = x.shape[0], x.shape[-1]
  flat = jnp.put_along_axis(
    jnp.zeros((batch, math.prod(sizes), channels), x.dtype),
    indices.reshape(batch, -1, channels),
    x.reshape(batch, -1, channels),
    axis=1,
    inplace=False,
  )
  return flat.reshape(batch, *sizes, channels)
