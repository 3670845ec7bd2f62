"""The entries of sliding windows, tap by tap."""

from collections.abc import Iterator, Sequence

import jax
import numpy as np
from jax import lax


def taps(
  x: jax.Array, window: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], jax.Array]]:
  """Yields what each tap of a window sees in all of the window's places.

  Args:
    x: `[batch, *spatial, channels]`, padded, and nowhere smaller than the window.
    window: the window's size in each spatial dimension.
    strides: the window's steps.
    dilation: the distances between its taps.

  Yields:
    A tap's place in the window, and `[batch, *out, channels]`.

  Example:
    >>> x = np.arange(5.0).reshape(1, 5, 1)
    >>> [(tap, part.ravel().tolist()) for tap, part in taps(x, (2,), (2,), (2,))]
    [((0,), [0.0, 2.0]), ((1,), [2.0, 4.0])]
  """
  counts = [
    size - (k - 1) * d
    for size, k, d in zip(x.shape[1:-1], window, dilation, strict=True)
  ]
  for tap in np.ndindex(*window):
    starts = [t * d for t, d in zip(tap, dilation, strict=True)]
    stops = [start + count for start, count in zip(starts, counts, strict=True)]
    yield (
      tap,
      lax.slice(
        x, (0, *starts, 0), (x.shape[0], *stops, x.shape[-1]), (1, *strides, 1)
      ),
    )
