"""Pooling by maxima, and where each of them was."""

import math
from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .conv import Padding
from .pool import sliding_windows
from .taps import MOST_TAPS, taps


def max_pool(
  x: jax.Array,
  window_shape: Sequence[int],
  *,
  strides: int | Sequence[int] | None = None,
  padding: Padding = 0,
  dilation: int | Sequence[int] = 1,
  ceil_mode: bool = False,
) -> jax.Array:
  """Takes the largest value of each window, channel by channel.

  Padding never wins: it counts as the lowest value of the dtype.

  Args:
    x: `[batch, *spatial, channels]`, of a real dtype.
    window_shape: The window's size in each spatial dimension.
    strides: Steps of the window; the window's own size if None.
    padding: As in `conv`, but smaller than the window, so that none is empty.
    dilation: Distances between the entries of a window; one for all, or one each.
    ceil_mode: Whether a last window that reaches beyond `x` and its padding counts, if
      it starts within `x` or the padding before it.

  Returns:
    `[batch, *out, channels]` in the dtype of `x`.

  Raises:
    ValueError: If an argument does not fit the others, or a window does not fit `x`.

  Example:
    >>> x = jnp.arange(5.0).reshape(1, 5, 1)
    >>> max_pool(x, (3,), strides=2, padding=1).ravel()
    Array([1., 3., 4.], dtype=float32)
  """
  window, strides, pads, steps, _ = sliding_windows(
    x, window_shape, strides, padding, dilation, ceil_mode
  )
  return _max_pool(_Slide(window, strides, tuple(pads), steps), x)


def max_pool_with_indices(
  x: jax.Array,
  window_shape: Sequence[int],
  *,
  strides: int | Sequence[int] | None = None,
  padding: Padding = 0,
  dilation: int | Sequence[int] = 1,
  ceil_mode: bool = False,
) -> tuple[jax.Array, jax.Array]:
  """Takes the largest value of each window, and says where in `x` it is.

  As torch's max pooling with `return_indices`. Of equal values the first wins; a NaN
  is larger than all else.

  Args:
    x: `[batch, *spatial, channels]`, of a real dtype.
    window_shape: As in `max_pool`, as the following.
    strides: See there.
    padding: See there.
    dilation: See there.
    ceil_mode: See there.

  Returns:
    The values, `[batch, *out, channels]` in the dtype of `x`; and their flat positions
    in the spatial dimensions of `x`, last dimension fastest, of the same shape in
    int32.

  Raises:
    ValueError: If an argument does not fit the others, or a window does not fit `x`.

  Example:
    >>> x = jnp.array([0.0, 7.0, 7.0, 2.0]).reshape(1, 2, 2, 1)
    >>> values, indices = max_pool_with_indices(x, (2, 2))
    >>> values.item(), indices.item()
    (7.0, 1)
  """
  window, strides, pads, steps, _ = sliding_windows(
    x, window_shape, strides, padding, dilation, ceil_mode
  )
  sizes = x.shape[1:-1]
  positions = jnp.arange(math.prod(sizes), dtype=jnp.int32).reshape(1, *sizes, 1)
  values = taps(x, window, strides, pads, steps, 0)
  places = taps(positions, window, strides, pads, steps, -1)
  best, index = next(values), next(places)
  index = jnp.broadcast_to(index, best.shape)
  for value, place in zip(values, places, strict=True):
    # What is around `x` is at -1: it never wins, and loses to anything.
    larger = (value > best) | (value != value) | (index < 0)
    wins = larger & (place >= 0)
    best = jnp.where(wins, value, best)
    index = jnp.where(wins, place, index)
  return best, index


class _Slide(NamedTuple):
  """How a window slides, by dimension, those of batch and channels included."""

  window: tuple[int, ...]
  strides: tuple[int, ...]
  pads: tuple[tuple[int, int], ...]
  dilation: tuple[int, ...]


def _lowest(dtype: Any) -> Any:
  return -jnp.inf if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype).min


def _native_max(slide: _Slide, x: jax.Array) -> jax.Array:
  window, strides, pads, _ = slide
  lowest = x.dtype.type(_lowest(x.dtype))
  return lax.reduce_window(x, lowest, lax.max, window, strides, pads)


def _by_platform(
  slide: _Slide, by_taps: Callable[..., Any], native: Callable[..., Any], *args: Any
) -> Any:
  """Chooses when the program is compiled for a platform.

  XLA's CPU backend takes ten times as long for the gradient of its own form. JAX does
  not differentiate that of a dilated window at all.
  """
  if max(slide.dilation) > 1:
    return by_taps(*args)
  if math.prod(slide.window) > MOST_TAPS:
    return native(*args)
  return lax.platform_dependent(*args, cpu=by_taps, default=native)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _max_pool(slide: _Slide, x: jax.Array) -> jax.Array:
  def by_taps(x: jax.Array) -> jax.Array:
    return reduce(jnp.maximum, taps(x, *slide, fill=_lowest(x.dtype)))

  return _by_platform(slide, by_taps, partial(_native_max, slide), x)


@_max_pool.defjvp
def _max_pool_jvp(slide: _Slide, primals: Any, tangents: Any) -> Any:
  def by_taps(x: jax.Array, x_dot: jax.Array) -> jax.Array:
    first, *others = taps(x, *slide, fill=_lowest(x.dtype))
    y, winner = first, jnp.zeros(first.shape, jnp.int32)
    for i, part in enumerate(others, start=1):
      wins = (part > y) | (part != part)  # of equals the first; NaN always
      y, winner = jnp.where(wins, part, y), jnp.where(wins, i, winner)
    return sum(
      jnp.where(winner == i, part, 0)
      for i, part in enumerate(taps(x_dot, *slide, fill=0))
    )  # type: ignore[return-value]

  def native(x: jax.Array, x_dot: jax.Array) -> jax.Array:
    return jax.jvp(partial(_native_max, slide), (x,), (x_dot,))[1]

  # Rematerialised, so that only `x` is stored, whatever the platform.
  tangent = jax.checkpoint(
    partial(_by_platform, slide, by_taps, native), prevent_cse=False
  )
  return _max_pool(slide, *primals), tangent(*primals, *tangents)
