"""Pooling by averages and in adaptive windows, and how a window slides."""

import math
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .conv import Padding, per_dimension, resolve_padding


def avg_pool(
  x: jax.Array,
  window_shape: Sequence[int],
  *,
  strides: int | Sequence[int] | None = None,
  padding: Padding = 0,
  ceil_mode: bool = False,
  count_include_pad: bool = True,
) -> jax.Array:
  """Averages each window, channel by channel.

  Sums are kept in float32 at least, so that a large window of bfloat16 stays right.

  Args:
    x: `[batch, *spatial, channels]`, of a real dtype.
    window_shape: The window's size in each spatial dimension.
    strides: Steps of the window; the window's own size if None.
    padding: As in `conv`, but smaller than the window, so that none is empty.
    ceil_mode: As in `max_pool`.
    count_include_pad: Whether to divide by the number of a window's entries that lie
      inside of `x` or its padding, or only of those inside of `x`.

  Returns:
    `[batch, *out, channels]` in the dtype of `x`; float32 if that is an integer.

  Raises:
    ValueError: If an argument does not fit the others, or a window does not fit `x`.

  Example:
    >>> x = jnp.ones((1, 4, 1))
    >>> avg_pool(x, (2,), padding=1).ravel()
    Array([0.5, 1. , 0.5], dtype=float32)
    >>> avg_pool(x, (2,), padding=1, count_include_pad=False).ravel()
    Array([1., 1., 1.], dtype=float32)
  """
  window, strides, pads, _, given = sliding_windows(
    x, window_shape, strides, padding, 1, ceil_mode
  )
  wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))

  def total(a: jax.Array, pads: Sequence[tuple[int, int]]) -> jax.Array:
    return lax.reduce_window(a, 0.0, lax.add, window, strides, pads)

  if count_include_pad and not ceil_mode:
    y = total(wide, pads) / math.prod(window)
  else:
    ones = jnp.ones((1, *x.shape[1:-1], 1), wide.dtype)
    counted = pads
    if count_include_pad:  # What `ceil_mode` adds is no padding.
      ones = jnp.pad(ones, given, constant_values=1)
      counted = [(0, high - g) for (_, high), (_, g) in zip(pads, given, strict=True)]
    y = total(wide, pads) / total(ones, counted)
  return y.astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else y


def adaptive_avg_pool(x: jax.Array, output_size: int | Sequence[int]) -> jax.Array:
  """Averages as many windows as the output is to have entries.

  In each dimension window `i` of `n` covers the entries from `floor(i size / n)` to
  before `ceil((i + 1) size / n)`, so windows overlap where `n` does not divide the
  size.

  Args:
    x: `[batch, *spatial, channels]`, of a real dtype.
    output_size: The spatial size of the output, one int for all dimensions or one each.

  Returns:
    `[batch, *output_size, channels]` in the dtype of `x`; float32 if it is an integer.

  Raises:
    ValueError: If `output_size` does not fit `x`.

  Example:
    >>> adaptive_avg_pool(jnp.arange(5.0).reshape(1, 5, 1), 2).ravel()
    Array([1., 3.], dtype=float32)
  """
  wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
  for axis, inside, windows in _adaptive_windows(x, output_size):
    parts = jnp.where(inside, jnp.take(wide, windows, axis=axis), 0)
    wide = parts.sum(axis + 1) / inside.sum(axis + 1)
  return wide.astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else wide


def adaptive_max_pool(x: jax.Array, output_size: int | Sequence[int]) -> jax.Array:
  """Takes the largest value of each of the windows of `adaptive_avg_pool`.

  Args:
    x: `[batch, *spatial, channels]`, of a real dtype.
    output_size: As in `adaptive_avg_pool`.

  Returns:
    `[batch, *output_size, channels]` in the dtype of `x`.

  Raises:
    ValueError: If `output_size` does not fit `x`.

  Example:
    >>> adaptive_max_pool(jnp.arange(5.0).reshape(1, 5, 1), 2).ravel()
    Array([2., 4.], dtype=float32)
  """
  for axis, _, windows in _adaptive_windows(x, output_size):
    # A window's last entry stands for those that it lacks.
    x = jnp.take(x, windows, axis=axis).max(axis + 1)
  return x


def global_avg_pool(x: jax.Array) -> jax.Array:
  """Averages over all spatial dimensions.

  Args:
    x: `[batch, *spatial, channels]`.

  Returns:
    `[batch, channels]` in the dtype of `x`; float32 if that is an integer.

  Example:
    >>> global_avg_pool(jnp.ones((2, 7, 7, 64))).shape
    (2, 64)
  """
  return jnp.mean(x, axis=range(1, x.ndim - 1))


def _adaptive_windows(
  x: jax.Array, output_size: int | Sequence[int]
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
  """Yields each spatial axis, which entries of its windows count, and the entries."""
  ndim = x.ndim - 2
  for axis, n in enumerate(per_dimension('output_size', output_size, ndim), start=1):
    size = x.shape[axis]
    i = np.arange(n)
    starts, stops = i * size // n, -(-(i + 1) * size // n)
    windows = starts[:, None] + np.arange((stops - starts).max())
    inside = windows < stops[:, None]
    windows = np.minimum(windows, stops[:, None] - 1)
    yield (
      axis,
      np.expand_dims(inside, (*range(axis), *range(axis + 2, x.ndim + 1))),
      windows,
    )


def sliding_windows(
  x: jax.Array,
  window_shape: Sequence[int],
  strides: int | Sequence[int] | None,
  padding: Padding,
  dilation: int | Sequence[int],
  ceil_mode: bool,
) -> tuple[
  tuple[int, ...],
  tuple[int, ...],
  list[tuple[int, int]],
  tuple[int, ...],
  list[tuple[int, int]],
]:
  """Checks the arguments, and adds the dimensions of batch and channels to each.

  Returns:
    The window, its strides, the padding, the dilation, and the padding without what
    `ceil_mode` adds to it.
  """
  if isinstance(window_shape, int):
    raise ValueError(
      f'window_shape {window_shape}: expected an int for each spatial dimension, such '
      'as (2, 2)'
    )
  ndim = len(window_shape)
  if x.ndim != ndim + 2:
    raise ValueError(
      f'x with shape {x.shape}: expected [batch, {ndim} spatial, channels] for '
      f'window_shape {tuple(window_shape)}'
    )
  window = per_dimension('window_shape', window_shape, ndim)
  steps = window if strides is None else per_dimension('strides', strides, ndim)
  dilation = per_dimension('dilation', dilation, ndim)
  extents = [(k - 1) * d + 1 for k, d in zip(window, dilation, strict=True)]
  least = extents
  if ceil_mode and padding not in ('SAME', 'CAUSAL'):  # all but a step may hang out
    least = [max(e - step + 1, 1) for e, step in zip(extents, steps, strict=True)]
  given = pads = resolve_padding(padding, x.shape[1:-1], least, steps)
  if any(max(pair) >= size for pair, size in zip(pads, extents, strict=True)):
    raise ValueError(
      f'padding {padding!r}: expected less than window_shape {window}, so that every '
      'window holds an entry of x'
    )
  if ceil_mode:
    pads = [
      (low, high + _overhang(size + low, high, extent, step))
      for size, (low, high), extent, step in zip(
        x.shape[1:-1], pads, extents, steps, strict=True
      )
    ]
  return (
    (1, *window, 1),
    (1, *steps, 1),
    [(0, 0), *pads, (0, 0)],
    (1, *dilation, 1),
    [(0, 0), *given, (0, 0)],
  )


def _overhang(start: int, high: int, extent: int, step: int) -> int:
  """How far the last window reaches out, of those that start before `start`."""
  beyond = -(start + high - extent) % step  # to the end of the next window
  starts_at = start + high - extent + beyond
  return beyond if starts_at < start else 0
