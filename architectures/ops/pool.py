"""Pooling over one, two or three spatial dimensions, channels last."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from .conv import Padding, per_dimension, resolve_padding


def max_pool(
  x: jax.Array,
  window_shape: Sequence[int],
  *,
  strides: int | Sequence[int] | None = None,
  padding: Padding = 0,
) -> jax.Array:
  """Takes the largest value of each window, channel by channel.

  Padding never wins: it counts as the lowest value of the dtype.

  Args:
    x: `[batch, *spatial, channels]`, of a real dtype.
    window_shape: The window's size in each spatial dimension.
    strides: Steps of the window; the window's own size if None.
    padding: As in `conv`, but smaller than the window, so that none is empty.

  Returns:
    `[batch, *out, channels]` in the dtype of `x`.

  Raises:
    ValueError: If an argument does not fit the others, or a window does not fit `x`.

  Example:
    >>> x = jnp.arange(5.0).reshape(1, 5, 1)
    >>> max_pool(x, (3,), strides=2, padding=1).ravel()
    Array([1., 3., 4.], dtype=float32)
  """
  window, strides, pads = _windows(x, window_shape, strides, padding)
  lowest = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
  return lax.reduce_window(x, x.dtype.type(lowest), lax.max, window, strides, pads)


def avg_pool(
  x: jax.Array,
  window_shape: Sequence[int],
  *,
  strides: int | Sequence[int] | None = None,
  padding: Padding = 0,
  count_include_pad: bool = True,
) -> jax.Array:
  """Averages each window, channel by channel.

  Sums are kept in float32 at least, so that a large window of bfloat16 stays right.

  Args:
    x: `[batch, *spatial, channels]`, of a real dtype.
    window_shape: The window's size in each spatial dimension.
    strides: Steps of the window; the window's own size if None.
    padding: As in `conv`, but smaller than the window, so that none is empty.
    count_include_pad: Whether to divide by the window's size everywhere, or only by
      the number of its entries that lie inside of `x`.

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
  window, strides, pads = _windows(x, window_shape, strides, padding)
  wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))

  def total(a: jax.Array) -> jax.Array:
    return lax.reduce_window(a, 0.0, lax.add, window, strides, pads)

  if count_include_pad:
    y = total(wide) / math.prod(window)
  else:
    y = total(wide) / total(jnp.ones((1, *x.shape[1:-1], 1), wide.dtype))
  return y.astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else y


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


def _windows(
  x: jax.Array,
  window_shape: Sequence[int],
  strides: int | Sequence[int] | None,
  padding: Padding,
) -> tuple[tuple[int, ...], tuple[int, ...], list[tuple[int, int]]]:
  """Checks the arguments, and adds the dimensions of batch and channels to each."""
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
  pads = resolve_padding(padding, x.shape[1:-1], window, steps)
  if any(max(pair) >= size for pair, size in zip(pads, window, strict=True)):
    raise ValueError(
      f'padding {padding!r}: expected less than window_shape {window}, so that every '
      'window holds an entry of x'
    )
  return (1, *window, 1), (1, *steps, 1), [(0, 0), *pads, (0, 0)]
