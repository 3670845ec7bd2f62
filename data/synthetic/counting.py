"""Counting languages: words of as many b as a, and as many c."""

import os
import string
from functools import partial

import numpy as np

from ..dataset import Dataset, Example
from .stream import check_range, streams


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  letters: int = 2,
  train_counts: tuple[int, int] = (1, 99),
  test_counts: tuple[int, int] = (100, 200),
  seed: int = 0,
  train_examples: int = 0,
) -> Dataset:
  r"""Draws words :math:`a^n b^n` or :math:`a^n b^n c^n`, each n equally often.

  Language modelling after Weiss et al. 2018 (https://arxiv.org/abs/1805.04908), who
  train on n below 100 for 2 letters and below 50 for 3, and find that an LSTM goes on
  to 256 and 100, and a GRU not far: first failures at 39 and 9.

  The test has one word for each n, in order, and there only what the letters before
  determine is counted: from the first b on, each letter and the end. A word is known
  where all of these are predicted, so that an accuracy of 1 is success. It is strict:
  Weiss et al. accept a word whose next letters all have a probability of 0.01. To say
  the last letter again is right in 1 - 1/n.

  Args:
    data_dir: nothing is kept.
    letters: 2 or 3, or up to 26.
    train_counts: the least and the largest n to train on.
    test_counts: those to test on.
    seed: of what is trained on.
    train_examples: how many words there are to train on; 0 is endless.

  Returns:
    A language model of so many letters and the token 0 that starts a word and ends it;
    int32 `[letters * n + 1]` for the largest n, with `lengths`.

  Raises:
    ValueError: an option is illegal.

  >>> task = load(letters=3, test_counts=(2, 3))
  >>> word = task.splits['test'][0]
  >>> task.decode(word['inputs']), task.decode(word['targets'])
  ('\x00aabbcc\x00\x00\x00', 'aabbcc\x00\x00\x00\x00')
  >>> word['weights'].astype(int).tolist()
  [0, 0, 0, 1, 1, 1, 1, 0, 0, 0]
  """
  del data_dir
  if not 2 <= letters <= 26:
    raise ValueError(f'letters is {letters}, but must be from 2 to 26')
  check_range('train_counts', train_counts)
  check_range('test_counts', test_counts)
  draw = partial(_draw, letters=letters, counts=train_counts)
  train = streams(
    draw, draw, seed=seed, train_examples=train_examples, test_examples=1
  )['train']
  return Dataset(
    name='counting',
    task='language_model',
    classes=('\x00', *string.ascii_lowercase[:letters]),
    splits={'train': train, 'test': _Words(letters, test_counts)},
  )


class _Words:
  """The word of each n, in order; only what is determined counts."""

  def __init__(self, letters: int, counts: tuple[int, int]):
    self._letters, self._counts = letters, range(counts[0], counts[1] + 1)

  def __len__(self) -> int:
    return len(self._counts)

  def __getitem__(self, index: int) -> Example:
    n = self._counts[index]
    example = _word(n, self._letters, self._counts[-1])
    example['weights'][: n + 1] = 0
    return example


def _draw(
  rng: np.random.Generator, *, letters: int, counts: tuple[int, int]
) -> Example:
  return _word(int(rng.integers(*counts, endpoint=True)), letters, counts[1])


def _word(n: int, letters: int, most: int) -> Example:
  tokens = np.zeros(letters * most + 2, np.int32)
  tokens[1 : 1 + letters * n] = np.repeat(np.arange(1, letters + 1), n)
  weights = np.zeros(letters * most + 1, np.float32)
  weights[: letters * n + 1] = 1
  return {
    'inputs': tokens[:-1],
    'targets': tokens[1:],
    'weights': weights,
    'lengths': np.array(letters * n + 1, np.int32),
  }
