"""In which order examples are drawn: functions of a seed and a position alone.

Nothing is drawn one after the other, so that any batch can be had without those before
it, by any process; and nothing is kept but a little of what was computed last.
"""

import dataclasses
import functools

import numpy as np

# A set of no more is permuted whole, a larger one so many positions at a time.
_SMALL = 2**16
_CHUNK = 2**14


@dataclasses.dataclass(frozen=True)
class Shuffled:
  """Epoch after epoch without a gap, each in another order.

  Epoch e holds the draws from `e * length` on. The order is the one of Grain's
  `MapDataset.seed(seed).shuffle().repeat()`, computed for many draws at once.

  >>> Shuffled(length=4, seed=0)(0, 8).tolist()
  [1, 2, 3, 0, 0, 3, 1, 2]
  """

  length: int
  seed: int

  def __call__(self, start: int, stop: int) -> np.ndarray:
    """Returns which examples the draws from `start` to `stop` are, int64."""
    pieces = []
    while start < stop:
      epoch, at = divmod(start, self.length)
      chunk, at = divmod(at, _SMALL if self.length <= _SMALL else _CHUNK)
      order_seed = (derive_seed(self.seed, 1) + epoch) % 2**32
      piece = _permuted_chunk(chunk, self.length, order_seed)[at : at + stop - start]
      pieces.append(piece)
      start += len(piece)
    return np.concatenate(pieces)


def derive_seed(seed: int, steps: int) -> int:
  """Returns the seed that Grain gives what comes so many steps after `.seed(seed)`."""
  return int(np.random.SeedSequence([seed, steps]).generate_state(1)[0])


@functools.lru_cache(maxsize=16)
def _permuted_chunk(chunk: int, length: int, seed: int) -> np.ndarray:
  size = _SMALL if length <= _SMALL else _CHUNK
  places = np.arange(chunk * size, min((chunk + 1) * size, length))
  permuted = permute(places, length, seed).astype(np.int64)
  permuted.flags.writeable = False  # it is shared
  return permuted


def permute(places: np.ndarray, length: int, seed: int) -> np.ndarray:
  """Returns where a permutation of `range(length)` puts each of these places.

  It is Grain's `index_shuffle` with four rounds, bit for bit: the block cipher Simon
  (Beaulieu et al. 2013, https://eprint.iacr.org/2013/404) on an even number of bits, 16
  or more, applied again to whatever falls out of the range (Black and Rogaway 2002,
  "Ciphers with arbitrary finite domains"). The exception is a length of 2**k + 1 with
  an even k from 16 on, for which Grain has a bit too few and leaves one place out.

  Args:
    places: integers in `[0, length)`.
    length: at most 2**32.
    seed: 0 or more, less than 2**32.

  Returns:
    uint32, of the shape of `places`.

  >>> permute(np.arange(5), 5, seed=3).tolist()
  [4, 3, 0, 1, 2]
  """
  bits = max(8, ((length - 1).bit_length() + 1) // 2)  # of half a block
  mask = 2**bits - 1
  word = np.arange(2**bits, dtype=np.uint32)
  one, two, eight = ((word << r | word >> (bits - r)) & mask for r in (1, 2, 8))
  # A round's function of half a block is no more than a table.
  rounds = [one & eight ^ two ^ (key & mask) for key in _round_keys(seed)]

  def encrypt(block: np.ndarray) -> np.ndarray:
    left, right = block >> bits, block & mask
    for even, odd in (rounds[:2], rounds[2:]):
      left = left ^ even[right]
      right = right ^ odd[left]
    return left << bits | right

  if length <= _SMALL:
    # Of all blocks at once: where each leads in 1, 2, 4, ... applications.
    target = encrypt(np.arange(_SMALL, dtype=np.uint32))
    while (target[places] >= length).any():
      target = np.where(target < length, target, target[target])
    return target[places]
  permuted = encrypt(places.astype(np.uint32))
  while (outside := permuted >= length).any():
    permuted[outside] = encrypt(permuted[outside])
  return permuted


def _round_keys(seed: int) -> list[int]:
  """Returns four numbers as C++'s `std::seed_seq` draws them from a seed."""
  keys = [0x8B8B8B8B] * 4
  for k in range(8):
    here, first, second, last = k % 4, (k + 1) % 4, (k + 2) % 4, (k - 1) % 4
    if k < 4:
      mixed = keys[here] ^ keys[first] ^ keys[last]
      r = 1664525 * (mixed ^ mixed >> 27)
      keys[first] += r
      r += (1, 1 + seed, 2, 3)[k]
      keys[second] += r
    else:
      mixed = (keys[here] + keys[first] + keys[last]) % 2**32
      r = 1566083941 * (mixed ^ mixed >> 27) % 2**32
      keys[first] ^= r
      r -= here
      keys[second] ^= r % 2**32
    keys[here] = r
    keys = [key % 2**32 for key in keys]
  return keys
