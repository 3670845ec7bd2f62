"""Recall in context: what followed this token when it last came?"""

import os
import string
from functools import partial

import numpy as np

from ..dataset import Dataset, Example
from ..vocabulary import Vocabulary
from .stream import check_least, streams


def load_mqar(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  vocab_size: int = 8192,
  length: int = 64,
  pairs: int = 4,
  test_length: int = 0,
  test_pairs: int = 0,
  power: float = 0.01,
  random_fill: bool = True,
  seed: int = 0,
  train_examples: int = 0,
  test_examples: int = 3000,
) -> Dataset:
  r"""Draws pairs of a key and a value, and after them each key again, with its value.

  Multi-query associative recall: Arora et al. 2023, Zoology
  (https://arxiv.org/abs/2312.04927), with (`length`, `pairs`) of (64, 4), (128, 8) and
  (256, 16), 100,000 examples to train on and 3,000 to test. Keys are different tokens
  of the lower half of the vocabulary, without 0, and values of the upper half. After
  the pairs each key stands once more, at an even distance :math:`2g` from their end
  with probability proportional to :math:`(g + 1)^{a - 1}`, where `a` is `power`, and
  its value is the target there. Only those targets are counted. All else is filled with
  random tokens, or with 0.

  To guess one of the values has a cross-entropy of ln 4096 = 8.318; one of those that
  the example has, ln `pairs` = 1.386, and is right in 1 of 4.

  Args:
    data_dir: nothing is kept.
    vocab_size: tokens.
    length: steps in training, even, and at least four for each pair.
    pairs: keys with their values, in training.
    test_length: steps in the test; 0 is `length`.
    test_pairs: pairs in the test; 0 is `pairs`.
    power: `a`; 1 spreads the queries evenly, and less draws them nearer.
    random_fill: fill with random tokens, and not with 0.
    seed: of all examples.
    train_examples: how many there are to train on; 0 is endless.
    test_examples: how many there are to test on.

  Returns:
    A language model, of which only the answers are counted, int32 `[length]`.

  Raises:
    ValueError: an option is illegal.

  >>> task = load_mqar(vocab_size=12, length=12, pairs=2, random_fill=False)
  >>> example = task.splits['test'][0]
  >>> example['inputs'].tolist(), example['targets'].tolist()
  ([5, 9, 4, 6, 4, 0, 5, 0, 0, 0, 0, 0], [0, 0, 0, 0, 6, 0, 9, 0, 0, 0, 0, 0])
  """
  del data_dir
  test_length, test_pairs = test_length or length, test_pairs or pairs
  check_least(pairs=(pairs, 1), test_pairs=(test_pairs, 1))
  most = max(pairs, test_pairs)
  check_least(vocab_size=(vocab_size, 2 * most + 2))
  for name, steps, count in [
    ('length', length, pairs),
    ('test_length', test_length, test_pairs),
  ]:
    if steps < 4 * count or steps % 2:
      raise ValueError(
        f'{name} is {steps}, but must be even and four for each of the {count} pairs, '
        f'{4 * count}, or more'
      )
  if not power > 0:
    raise ValueError(f'power is {power}, but must be more than 0')
  draw = partial(
    _draw_mqar, vocab_size=vocab_size, power=power, random_fill=random_fill
  )
  half = vocab_size // 2
  classes = ('\x00', *(f'{"kv"[i >= half]}{i}' for i in range(1, vocab_size)))
  return Dataset(
    name='mqar',
    task='language_model',
    classes=classes,
    vocabulary=Vocabulary(classes, 'word'),
    splits=streams(
      partial(draw, length=length, pairs=pairs),
      partial(draw, length=test_length, pairs=test_pairs),
      seed=seed,
      train_examples=train_examples,
      test_examples=test_examples,
    ),
  )


def _draw_mqar(
  rng: np.random.Generator,
  *,
  vocab_size: int,
  length: int,
  pairs: int,
  power: float,
  random_fill: bool,
) -> Example:
  half, context = vocab_size // 2, 2 * pairs
  keys = 1 + rng.choice(half - 1, pairs, replace=False)
  values = half + rng.choice(vocab_size - half, pairs, replace=False)
  chances = np.arange(1, 1 + (length - context) // 2) ** (power - 1)
  gaps = rng.choice(len(chances), pairs, replace=False, p=chances / chances.sum())
  inputs, targets = np.zeros((2, length), np.int32)
  inputs[0:context:2], inputs[1:context:2] = keys, values
  inputs[context + 2 * gaps], targets[context + 2 * gaps] = keys, values
  if random_fill:
    inputs = np.where(inputs, inputs, rng.integers(vocab_size, size=length))
  return {
    'inputs': inputs.astype(np.int32),
    'targets': targets,
    'weights': (targets > 0).astype(np.float32),
  }


def load_induction(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  length: int = 256,
  test_length: int = 0,
  vocab_size: int = 16,
  seed: int = 0,
  train_examples: int = 0,
  test_examples: int = 1000,
) -> Dataset:
  """Draws random tokens with a special one among them, and again at the end.

  Induction heads as Mamba has them (Gu and Dao 2023, https://arxiv.org/abs/2312.00752,
  section 4.1.2), who train on `length` 256 and test on 64 to 2**20: at the end, the
  answer is the token that followed the special one before. Only it is counted. Here the
  special token is 0, one of the `vocab_size`.

  To guess is right in 1 of `vocab_size - 1`, 6.7 %, with a cross-entropy of ln 15 =
  2.708.

  Args:
    data_dir: nothing is kept.
    length: steps in training, 3 or more.
    test_length: steps in the test; 0 is `length`.
    vocab_size: tokens, up to 27.
    seed: of all examples.
    train_examples: how many there are to train on; 0 is endless.
    test_examples: how many there are to test on.

  Returns:
    A language model, of which only the last step is counted, int32 `[length]`.

  Raises:
    ValueError: an option is illegal.

  >>> task = load_induction(length=8)
  >>> example = task.splits['test'][3]
  >>> task.decode(example['inputs']), task.decode(example['targets'][-1:])
  ('oelo\\x00dd\\x00', 'd')
  """
  del data_dir
  check_least(length=(length, 3), test_length=(test_length or 3, 3))
  if not 3 <= vocab_size <= 27:
    raise ValueError(f'vocab_size is {vocab_size}, but must be from 3 to 27')
  draw = partial(_draw_induction, vocab_size=vocab_size)
  return Dataset(
    name='induction',
    task='language_model',
    classes=('\x00', *string.ascii_lowercase[: vocab_size - 1]),
    splits=streams(
      partial(draw, length=length),
      partial(draw, length=test_length or length),
      seed=seed,
      train_examples=train_examples,
      test_examples=test_examples,
    ),
  )


def _draw_induction(
  rng: np.random.Generator, *, length: int, vocab_size: int
) -> Example:
  tokens = rng.integers(1, vocab_size, length + 1, np.int32)
  at = int(rng.integers(length - 2))
  tokens[[at, length - 1]] = 0
  tokens[length] = tokens[at + 1]
  weights = np.zeros(length, np.float32)
  weights[-1] = 1
  return {'inputs': tokens[:-1], 'targets': tokens[1:], 'weights': weights}
