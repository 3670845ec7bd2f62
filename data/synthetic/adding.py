"""The adding problem: two numbers of a long sequence are marked; what is their sum?"""

import os
from functools import partial

import numpy as np

from ..dataset import Dataset, Example
from .stream import check_choice, check_least, streams

_FORMS = ('bai', 'urnn', 'hochreiter')


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  length: int = 200,
  test_length: int = 0,
  form: str = 'bai',
  seed: int = 0,
  train_examples: int = 0,
  test_examples: int = 1000,
) -> Dataset:
  """Draws sequences of pairs: a number, and a mark that is 1 at two of them.

  * 'bai': numbers in 0 to 1, any two of them marked, their sum the target. Bai et al.
    2018 (https://arxiv.org/abs/1803.01271), `length` 200, 400 and 600.
  * 'urnn': the same, with one mark in each half. Arjovsky et al. 2016
    (https://arxiv.org/abs/1511.06464), `length` 100 to 750.
  * 'hochreiter': Hochreiter and Schmidhuber 1997
    (https://doi.org/10.1162/neco.1997.9.8.1735), experiment 4, `length` 100, 500 and
    1000, which is the least: up to a tenth more is drawn. Numbers in -1 to 1, one
    marked among the first ten and one among the first `length / 2 - 1` others; the
    first and the last mark are -1, and a first number that was to be marked counts 0.
    The target is 0.5 plus a quarter of the sum, and an error below 0.04 is success.

  To predict the mean, whatever the input, has a mean squared error of 1/6 = 0.1667, the
  variance of the sum of two numbers. (Papers, Bai et al. among them, print 0.1767.) In
  Hochreiter's form it is 1/24 = 0.0417, or a little less.

  Args:
    data_dir: nothing is kept.
    length: pairs in a sequence to train on.
    test_length: pairs in one to test on; 0 is `length`.
    form: see above.
    seed: of all examples.
    train_examples: how many there are to train on; 0 is endless.
    test_examples: how many there are to test on.

  Returns:
    A regression of one number from float32 `[length, 2]`, in Hochreiter's form with
    `lengths`.

  Raises:
    ValueError: an option is illegal.

  >>> task = load(length=5, seed=1)
  >>> example = task.splits['train'][0]
  >>> example['inputs'][:, 1]
  array([1., 0., 1., 0., 0.], dtype=float32)
  >>> numbers, marks = example['inputs'].T
  >>> bool(np.allclose(example['targets'], numbers @ marks))
  True
  """
  del data_dir
  check_choice('form', form, _FORMS)
  least = 20 if form == 'hochreiter' else 2
  check_least(length=(length, least), test_length=(test_length or least, least))
  draw = _draw_hochreiter if form == 'hochreiter' else partial(_draw, form=form)
  return Dataset(
    name='adding',
    task='regression',
    classes=('sum',),
    splits=streams(
      partial(draw, length=length),
      partial(draw, length=test_length or length),
      seed=seed,
      train_examples=train_examples,
      test_examples=test_examples,
    ),
  )


def _draw(rng: np.random.Generator, *, length: int, form: str) -> Example:
  inputs = np.zeros((length, 2), np.float32)
  inputs[:, 0] = rng.random(length, np.float32)
  if form == 'urnn':
    halves = (0, length // 2), (length // 2, length)
    marked = [int(rng.integers(*half)) for half in halves]
  else:
    marked = _two(rng, length, length - 1)
  inputs[marked, 1] = 1
  return {
    'inputs': inputs,
    'targets': inputs[marked, 0].sum(keepdims=True),
    'weights': np.array(1, np.float32),
  }


def _draw_hochreiter(rng: np.random.Generator, *, length: int) -> Example:
  steps = int(rng.integers(length, length + length // 10, endpoint=True))
  inputs = np.zeros((length + length // 10, 2), np.float32)
  inputs[:steps, 0] = rng.uniform(-1, 1, steps)
  marked = _two(rng, 10, length // 2 - 1)
  inputs[marked, 1] = 1
  inputs[[0, steps - 1], 1] = -1
  numbers, marks = inputs.T
  return {
    'inputs': inputs,
    'targets': 0.5 + numbers[marks == 1].sum(keepdims=True) / np.float32(4),
    'weights': np.array(1, np.float32),
    'lengths': np.array(steps, np.int32),
  }


def _two(rng: np.random.Generator, first: int, others: int) -> list[int]:
  """Draws one of the first so many, and one of the first so many that are left."""
  a, b = int(rng.integers(first)), int(rng.integers(others))
  return [a, b + (b >= a)]
