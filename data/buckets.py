"""Batches of examples of about the same length."""

import dataclasses
import functools

import numpy as np

from .dataset import Source
from .order import Shuffled, derive_seed, permute
from .reading import read

# So many different lengths are tried as limits, at most.
_CANDIDATES = 512
# Their lengths are read before the first batch: some minutes.
_MOST = 10_000_000


@dataclasses.dataclass(frozen=True, eq=False)
class Buckets:
  """An order in which a batch's examples are all of one bucket, between two limits.

  The examples of a bucket are in another order in each epoch, and its batches lie
  anywhere among those of the others. What fills no batch of its bucket shares one with
  the next longer ones. Each epoch has every example once, and where its end fills no
  batch, the next epoch's first examples fill it.

  Attributes:
    lengths: int `[examples]`.
    limits: the most steps of each bucket, ascending; the last is the longest length.
    batch_size: the global one.
    seed: of the order.

  >>> buckets = Buckets(np.array([1, 9, 2, 8, 1, 9]), np.array([2, 9]), 2, seed=0)
  >>> [buckets.lengths[buckets(i, i + 2)].tolist() for i in (0, 2, 4)]
  [[1, 8], [9, 9], [2, 1]]
  """

  lengths: np.ndarray
  limits: np.ndarray
  batch_size: int
  seed: int

  def __call__(self, start: int, stop: int) -> np.ndarray:
    """Returns which examples the draws from `start` to `stop` are, int64."""
    pieces = []
    while start < stop:
      epoch, at = divmod(start, len(self.lengths))
      piece = _epoch(self, epoch)[at : at + stop - start]
      pieces.append(piece)
      start += len(piece)
    return np.concatenate(pieces)

  def steps(self, drawn: np.ndarray) -> int:
    """Returns how many steps a batch of these examples has."""
    longest = self.lengths[drawn].max()
    return int(self.limits[np.searchsorted(self.limits, longest)])


@functools.lru_cache(maxsize=4)
def _epoch(buckets: Buckets, epoch: int) -> np.ndarray:
  """Returns an epoch's examples in their order."""
  count, size = len(buckets.lengths), buckets.batch_size
  shuffled = Shuffled(count, buckets.seed)(epoch * count, (epoch + 1) * count)
  # The first ones complete the batch that the epoch before has begun.
  first, rest = np.split(shuffled, [-epoch * count % size])
  bucket = np.searchsorted(buckets.limits, buckets.lengths[rest])
  batches, left = [], []
  for members in (rest[bucket == i] for i in range(len(buckets.limits))):
    whole = len(members) // size * size
    batches.append(members[:whole])
    left.append(members[whole:])
  leftovers = np.concatenate(left)
  whole = len(leftovers) // size * size
  rows = np.concatenate([*batches, leftovers[:whole]]).reshape(-1, size)
  order_seed = (derive_seed(buckets.seed, 2) + epoch) % 2**32
  rows = rows[permute(np.arange(len(rows)), len(rows), order_seed)]
  return np.concatenate([first, rows.ravel(), leftovers[whole:]])


def read_lengths(source: Source) -> np.ndarray:
  """Returns the length of each example, int64 `[examples]`.

  It is the source's own attribute `lengths`, or else all of its examples are read.

  Raises:
    ValueError: the examples have no `lengths`, or are too many.
  """
  lengths = getattr(source, 'lengths', None)
  if lengths is None:
    if 'lengths' not in source[0]:
      raise ValueError('the examples have no lengths')
    if len(source) > _MOST:
      raise ValueError(
        f'there are {len(source)} examples, but must be {_MOST} or fewer to sort them '
        'by length'
      )
    blocks = np.array_split(np.arange(len(source)), len(source) // 256 + 1)
    lengths = np.concatenate([read(source, block)['lengths'] for block in blocks])
  return np.asarray(lengths, np.int64)


def choose_limits(lengths: np.ndarray, count: int) -> np.ndarray:
  """Chooses limits such that there is as little padding as can be.

  By dynamic programming over the lengths that there are or, where these are more than
  512, so many of their quantiles.

  Args:
    lengths: int `[examples]`.
    count: the most limits, 1 or more.

  Returns:
    int64 `[limits]`, ascending; the last is the longest length.

  >>> choose_limits(np.array([3, 3, 4, 9, 10, 10, 40]), 3).tolist()
  [4, 10, 40]
  """
  sizes = np.unique(lengths)
  if len(sizes) > _CANDIDATES:
    shares = np.linspace(0, 1, _CANDIDATES)
    sizes = np.unique(np.quantile(lengths, shares, method='higher'))
  below = np.cumsum(np.bincount(np.searchsorted(sizes, lengths)))
  # The steps of all examples up to each size, padded, with that size as last limit.
  steps, previous = sizes * below, []
  for _ in range(count - 1):
    with_one_more = steps[:, None] + sizes * (below - below[:, None])
    with_one_more[np.tril_indices(len(sizes))] = np.iinfo(np.int64).max
    before = with_one_more.argmin(axis=0)
    fewer = with_one_more.min(axis=0) < steps
    previous.append(np.where(fewer, before, -1))
    steps = np.where(fewer, with_one_more.min(axis=0), steps)
  chosen = [len(sizes) - 1]
  for before in reversed(previous):
    if before[chosen[-1]] >= 0:
      chosen.append(before[chosen[-1]])
  return sizes[chosen[::-1]]
