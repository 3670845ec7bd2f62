"""The entries of all windows, one tap of the window at a time."""

from collections.abc import Iterator, Sequence

import jax
import numpy as np
from jax import lax

# Of larger windows a program with an operation a tap would be long.
MOST_TAPS = 64


def taps(
  x: jax.Array,
  window: Sequence[int],
  strides: Sequence[int],
  pads: Sequence[tuple[int, int]],
  dilation: Sequence[int],
  fill: float,
) -> Iterator[jax.Array]:
  """Yields, for each tap of a window in order, the entry that each window has there.

  Args:
    x: An array.
    window: The window's size in each dimension of `x`.
    strides: Its steps.
    pads: What is around `x`.
    dilation: Distances between its taps.
    fill: The value of what is around `x`.

  Example:
    >>> x = jax.numpy.arange(4)
    >>> [tap.tolist() for tap in taps(x, [3], [2], [(1, 0)], [1], -1)]
    [[-1, 1], [0, 2], [1, 3]]
  """
  x = lax.pad(x, x.dtype.type(fill), [(*pair, 0) for pair in pads])
  reach = [(k - 1) * d for k, d in zip(window, dilation, strict=True)]
  stops = [n - most for n, most in zip(x.shape, reach, strict=True)]
  for tap in np.ndindex(*window):
    starts = [t * d for t, d in zip(tap, dilation, strict=True)]
    ends = [stop + start for stop, start in zip(stops, starts, strict=True)]
    yield lax.slice(x, starts, ends, strides)
