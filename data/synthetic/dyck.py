"""Dyck languages: brackets of several kinds, each closed by its own."""

import os
import string
from functools import partial

import numpy as np

from ..dataset import Dataset, Example
from .stream import check_least, streams

# Pairs of brackets; letters, where there are no more of these.
_PAIRS = '()[]{}<>' + ''.join(c + c.upper() for c in string.ascii_lowercase)


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  kinds: int = 2,
  max_depth: int = 0,
  length: int = 64,
  test_length: int = 0,
  seed: int = 0,
  train_examples: int = 0,
  test_examples: int = 1000,
) -> Dataset:
  """Draws balanced strings of brackets, Dyck-n, or Dyck-(k, m) if they nest so deep.

  Language modelling after Hewitt et al. 2020 (https://arxiv.org/abs/2010.07515): a
  bracket opens, of a kind drawn evenly, or the last one that is open closes, each with
  probability 1/2; where none is open or the depth is `max_depth`, or too few steps are
  left to close them all, there is no choice. Here all strings of a split have one
  length.

  In the test only the brackets that close are counted. With two kinds or more the one
  that can close is at each step the likeliest bracket, so that a perfect model has an
  accuracy of 1; one that knows only when brackets close, and not what is open, has
  1 / `kinds`.

  Args:
    data_dir: nothing is kept.
    kinds: of brackets, n or k, from 1 to 30.
    max_depth: how many may be open at once, m; 0 is any number.
    length: brackets in a string to train on, even.
    test_length: those in one to test on; 0 is `length`.
    seed: of all examples.
    train_examples: how many there are to train on; 0 is endless.
    test_examples: how many there are to test on.

  Returns:
    A language model of `2 * kinds` brackets and the token 0 that starts a string.

  Raises:
    ValueError: an option is illegal.

  >>> task = load(kinds=2, max_depth=2, length=8)
  >>> example = task.splits['test'][0]
  >>> task.decode(example['targets'])
  '[[]()[]]'
  >>> example['weights'].astype(int).tolist()
  [0, 0, 1, 0, 1, 0, 1, 1]
  """
  del data_dir
  if not 1 <= kinds <= len(_PAIRS) // 2:
    raise ValueError(f'kinds is {kinds}, but must be from 1 to {len(_PAIRS) // 2}')
  check_least(max_depth=(max_depth, 0), length=(length, 2))
  for name, steps in [('length', length), ('test_length', test_length)]:
    if steps < 0 or steps % 2:
      raise ValueError(f'{name} is {steps}, but must be even')
  draw = partial(_draw, kinds=kinds, max_depth=max_depth)
  return Dataset(
    name='dyck',
    task='language_model',
    classes=('\x00', *_PAIRS[: 2 * kinds]),
    splits=streams(
      partial(draw, length=length, only_closing=False),
      partial(draw, length=test_length or length, only_closing=True),
      seed=seed,
      train_examples=train_examples,
      test_examples=test_examples,
    ),
  )


def _draw(
  rng: np.random.Generator,
  *,
  length: int,
  kinds: int,
  max_depth: int,
  only_closing: bool,
) -> Example:
  opens = rng.integers(2, size=length).tolist()
  kind = rng.integers(kinds, size=length).tolist()
  stack: list[int] = []
  targets = np.zeros(length, np.int32)
  for step in range(length):
    left = length - step
    full = len(stack) == left or len(stack) == max_depth > 0
    if not stack or (opens[step] and not full):
      stack.append(kind[step])
      targets[step] = 1 + 2 * kind[step]
    else:
      targets[step] = 2 + 2 * stack.pop()
  inputs = np.concatenate([np.zeros(1, np.int32), targets[:-1]])
  counted = targets % 2 == 0 if only_closing else np.ones(length)
  return {
    'inputs': inputs,
    'targets': targets,
    'weights': counted.astype(np.float32),
  }
