"""Temporal order: in which order did the few symbols come that matter?"""

import itertools
import os
from functools import partial

import numpy as np

from ..dataset import Dataset, Example
from .stream import check_choice, check_least, classified, streams

# Within which shares of the length the symbols that matter stand.
_WINDOWS = {
  ('hochreiter', 2): ((0.1, 0.2), (0.5, 0.6)),
  ('hochreiter', 3): ((0.1, 0.2), (0.33, 0.43), (0.66, 0.76)),
  ('pascanu', 2): ((0.1, 0.2), (0.4, 0.5)),
}
_BEGIN, _END, _FIRST_NOISE, _FIRST_RELEVANT = 1, 2, 3, 7


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  length: int = 100,
  test_length: int = 0,
  form: str = 'hochreiter',
  relevant: int = 2,
  seed: int = 0,
  train_examples: int = 0,
  test_examples: int = 1000,
) -> Dataset:
  """Draws noise of four symbols with two or three others in it, each an X or a Y.

  * 'hochreiter': Hochreiter and Schmidhuber 1997
    (https://doi.org/10.1162/neco.1997.9.8.1735), experiment 6a with 2 `relevant`
    symbols and so 4 classes, and 6b with 3 and 8. A sequence has `length` to 1.1 times
    `length` steps, begins and ends with a symbol of its own, and the relevant ones
    stand at steps 10 to 20 and 50 to 60 of 100; or 10 to 20, 33 to 43 and 66 to 76.
  * 'pascanu': Pascanu et al. 2013 (https://arxiv.org/abs/1211.5063), `length` 50 to
    200. All sequences have that length, and no symbol for their ends; the 2 relevant
    ones stand at steps T/10 to 2T/10 and 4T/10 to 5T/10. Success is an error below 1 %
    over 10,000 sequences.

  To guess is right in 1 of 4, or 1 of 8.

  Args:
    data_dir: nothing is kept.
    length: steps of a sequence, in training; of the shortest in Hochreiter's form.
    test_length: those in the test; 0 is `length`.
    form: see above.
    relevant: 2 or, in Hochreiter's form, 3.
    seed: of all examples.
    train_examples: how many there are to train on; 0 is endless.
    test_examples: how many there are to test on.

  Returns:
    A classification of int32 `[length]` tokens, in Hochreiter's form with `lengths`.
    Of the 9 tokens 0 is padding, 1 and 2 the beginning and the end, 3 to 6 the noise
    and 7 and 8 X and Y: a model for it has a `vocab_size` of 9.

  Raises:
    ValueError: an option is illegal.

  >>> task = load(length=20, form='pascanu')
  >>> example = task.splits['test'][0]
  >>> example['inputs'].tolist()
  [6, 6, 4, 6, 7, 5, 6, 4, 6, 8, 5, 4, 5, 6, 6, 5, 5, 5, 5, 6]
  >>> task.classes[example['targets']]
  'XY'
  """
  del data_dir
  check_choice('form', form, ('hochreiter', 'pascanu'))
  legal = tuple(count for name, count in _WINDOWS if name == form)
  check_choice('relevant', relevant, legal)
  check_least(length=(length, 20), test_length=(test_length or 20, 20))
  draw = partial(_draw, form=form, relevant=relevant)
  return Dataset(
    name='temporal_order',
    task='classification',
    classes=tuple(map(''.join, itertools.product('XY', repeat=relevant))),
    splits=streams(
      partial(draw, length=length),
      partial(draw, length=test_length or length),
      seed=seed,
      train_examples=train_examples,
      test_examples=test_examples,
    ),
  )


def _draw(
  rng: np.random.Generator, *, length: int, form: str, relevant: int
) -> Example:
  hochreiter = form == 'hochreiter'
  longest = length + length // 10 if hochreiter else length
  steps = int(rng.integers(length, longest, endpoint=True))
  tokens = rng.integers(_FIRST_NOISE, _FIRST_RELEVANT, steps)
  which = rng.integers(2, size=relevant)
  for (first, last), symbol in zip(_WINDOWS[form, relevant], which, strict=True):
    at = rng.integers(round(first * length), round(last * length), endpoint=True)
    tokens[at] = _FIRST_RELEVANT + symbol
  if hochreiter:
    tokens[[0, -1]] = _BEGIN, _END
  example = classified(tokens, longest, int(''.join(map(str, which)), 2))
  if not hochreiter:
    del example['lengths']
  return example
