"""Examples drawn by chance, each a function of (seed, split, index)."""

from collections.abc import Callable

import numpy as np

from ..dataset import Example

Draw = Callable[[np.random.Generator], Example]

# As many as an int32, which counts examples in a batch, can tell apart.
ENDLESS = 2**31 - 1

_STREAMS = {'train': 0, 'test': 1}


class Stream:
  """Examples of one split, each drawn from a random stream of its own.

  The stream of example i is the counter-based generator Philox (Salmon et al. 2011,
  https://doi.org/10.1145/2063384.2063405) with the key (seed, split) and a counter that
  starts at i times 2**64. So no two examples share a random number, of one split or of
  two, and it does not matter who draws which and when. Two examples may be equal all
  the same, where a task has few.

  Args:
    draw: makes an example from its random stream.
    size: how many there are.
    seed: an integer of 64 bits, not negative.
    split: 'train' or 'test'.

  >>> stream = Stream(lambda rng: {'inputs': rng.random(1)}, 10, seed=0, split='test')
  >>> stream[7] == stream[-3], stream[7] == stream[8]
  (True, False)
  """

  def __init__(self, draw: Draw, size: int, seed: int, split: str):
    self._draw = draw
    self._size = size
    self._key = np.array([seed, _STREAMS[split]], np.uint64)

  def __len__(self) -> int:
    return self._size

  def __getitem__(self, index: int) -> Example:
    counter = np.array([0, range(self._size)[index], 0, 0], np.uint64)
    return self._draw(
      np.random.Generator(np.random.Philox(key=self._key, counter=counter))
    )


def streams(
  train: Draw, test: Draw, *, seed: int, train_examples: int, test_examples: int
) -> dict[str, Stream]:
  """Returns the splits of a task.

  Args:
    train: draws an example to train on.
    test: draws one to test on.
    seed: of both.
    train_examples: how many there are to train on; 0 is endless, 2**31 - 1.
    test_examples: how many there are to test on.

  Raises:
    ValueError: the seed or a number is out of range.
  """
  if not 0 <= seed < 2**64:
    raise ValueError(f'seed is {seed}, but must be from 0 to 2**64 - 1')
  for name, least, size in [
    ('train_examples', 0, train_examples),
    ('test_examples', 1, test_examples),
  ]:
    if not least <= size <= ENDLESS:
      raise ValueError(f'{name} is {size}, but must be from {least} to {ENDLESS}')
  return {
    'train': Stream(train, train_examples or ENDLESS, seed, 'train'),
    'test': Stream(test, test_examples, seed, 'test'),
  }


def check_range(name: str, bounds: tuple[int, int], least: int = 1) -> None:
  """Checks the first and the last of a range of lengths.

  Raises:
    ValueError: they are not two, not in order, or below `least`.

  >>> check_range('lengths', (3, 2))
  Traceback (most recent call last):
  ValueError: lengths is (3, 2), but must be two numbers, 1 <= first <= last
  """
  if len(bounds) != 2 or not least <= bounds[0] <= bounds[1]:
    raise ValueError(
      f'{name} is {tuple(bounds)}, but must be two numbers, {least} <= first <= last'
    )


def check_choice(name: str, value: object, legal: tuple[object, ...]) -> None:
  """Checks that an option has one of its legal values.

  Raises:
    ValueError: it has not.
  """
  if value not in legal:
    raise ValueError(f'{name} is {value!r}, but must be one of {legal}')


def check_least(**options: tuple[int, int]) -> None:
  """Checks options, each given as its value and the least that is legal.

  Raises:
    ValueError: one is less.

  >>> check_least(length=(1, 2))
  Traceback (most recent call last):
  ValueError: length is 1, but must be 2 or more
  """
  for name, (value, least) in options.items():
    if value < least:
      raise ValueError(f'{name} is {value}, but must be {least} or more')


def classified(tokens: np.ndarray | list[int], longest: int, label: int) -> Example:
  """Returns an example of a class, int32 tokens with zeros after them.

  Args:
    tokens: `[steps]`, which `lengths` says.
    longest: steps with padding.
    label: the class.

  >>> classified([3, 1], 4, 9)['inputs'], classified([3, 1], 4, 9)['lengths']
  (array([3, 1, 0, 0], dtype=int32), array(2, dtype=int32))
  """
  inputs = np.zeros(longest, np.int32)
  inputs[: len(tokens)] = tokens
  return {
    'inputs': inputs,
    'targets': np.array(label, np.int32),
    'weights': np.array(1, np.float32),
    'lengths': np.array(len(tokens), np.int32),
  }
