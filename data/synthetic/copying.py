"""Copying: symbols are read, then much else, and at last they are to be recalled."""

import os
from functools import partial

import numpy as np

from ..dataset import Dataset, Example
from .stream import check_choice, check_least, streams


def load_memory(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  length: int = 1000,
  test_length: int = 0,
  symbols: int = 10,
  alphabet: int = 8,
  counted: str = 'all',
  seed: int = 0,
  train_examples: int = 0,
  test_examples: int = 1000,
) -> Dataset:
  """Draws symbols, blanks after them, and a mark for the end and for each symbol.

  The copy memory task of Bai et al. 2018 (https://arxiv.org/abs/1803.01271), after
  Hochreiter and Schmidhuber 1997: `symbols` of 1 to `alphabet`, `length - 1` blanks,
  which are 0, and `symbols + 1` marks. The target is blank until the last `symbols`
  steps, and there the symbols in order. Here they are tokens; the authors feed the
  numbers themselves.

  The best without memory has a cross-entropy of `symbols * ln(alphabet)` over the
  `length + 2 * symbols` steps: 10 ln 8 / 1020 = 0.0204 for `length` 1000. Where only
  what is recalled is counted it is ln 8 = 2.079, and the accuracy 1/8.

  Args:
    data_dir: nothing is kept.
    length: blanks between what is read and what is recalled, 1 or more, in training.
    test_length: those in the test; 0 is `length`.
    symbols: how many are to be recalled.
    alphabet: of how many kinds.
    counted: 'all' steps, as published, or 'recalled', the last ones alone.
    seed: of all examples.
    train_examples: how many there are to train on; 0 is endless.
    test_examples: how many there are to test on.

  Returns:
    A tagging of int32 `[length + 2 * symbols]` tokens, `alphabet + 2` of them, by as
    many classes: a model for it has the field `vocab_size`, such as
    `lstm_causal_tagger` or `tcn_tagger`.

  Raises:
    ValueError: an option is illegal.

  >>> example = load_memory(length=4, symbols=3).splits['test'][0]
  >>> example['inputs'].tolist(), example['targets'].tolist()
  ([8, 7, 3, 0, 0, 0, 9, 9, 9, 9], [0, 0, 0, 0, 0, 0, 0, 8, 7, 3])
  """
  del data_dir
  check_choice('counted', counted, ('all', 'recalled'))
  check_least(
    length=(length, 1),
    test_length=(test_length, 0),
    symbols=(symbols, 1),
    alphabet=(alphabet, 2),
  )
  draw = partial(_draw_memory, symbols=symbols, alphabet=alphabet, counted=counted)
  return Dataset(
    name='copy_memory',
    task='tagging',
    classes=tuple(map(str, range(alphabet + 2))),
    splits=streams(
      partial(draw, length=length),
      partial(draw, length=test_length or length),
      seed=seed,
      train_examples=train_examples,
      test_examples=test_examples,
    ),
  )


def _draw_memory(
  rng: np.random.Generator, *, length: int, symbols: int, alphabet: int, counted: str
) -> Example:
  inputs = np.zeros(length + 2 * symbols, np.int32)
  inputs[:symbols] = rng.integers(1, alphabet, symbols, endpoint=True)
  inputs[-symbols - 1 :] = alphabet + 1
  return _recall(inputs, inputs[:symbols], counted == 'all')


def load_selective(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  length: int = 4096,
  test_length: int = 0,
  symbols: int = 16,
  vocab_size: int = 16,
  seed: int = 0,
  train_examples: int = 0,
  test_examples: int = 1000,
) -> Dataset:
  """Draws symbols scattered in noise, and after it a mark for each of them.

  Selective copying as Mamba has it (Gu and Dao 2023, https://arxiv.org/abs/2312.00752,
  appendix E.1), in the form that is current: noise is token 0, `symbols` of 1 to
  `vocab_size - 2` stand at random places of the first `length` steps, and `symbols`
  marks, `vocab_size - 1`, ask for them in order. Only those steps are counted.

  The best without memory is right in 1 of `vocab_size - 2`: 7.1 %, and its
  cross-entropy ln 14 = 2.639.

  Args:
    data_dir: nothing is kept.
    length: steps before the marks, in training.
    test_length: those in the test; 0 is `length`.
    symbols: how many are to be recalled, up to the length.
    vocab_size: tokens, with noise and mark.
    seed: of all examples.
    train_examples: how many there are to train on; 0 is endless.
    test_examples: how many there are to test on.

  Returns:
    A tagging of int32 `[length + symbols]` tokens by `vocab_size` classes: a model for
    it has the field `vocab_size`.

  Raises:
    ValueError: an option is illegal.

  >>> example = load_selective(length=8, symbols=3).splits['test'][0]
  >>> example['inputs'].tolist(), example['targets'].tolist()
  ([14, 0, 0, 0, 12, 5, 0, 0, 15, 15, 15], [0, 0, 0, 0, 0, 0, 0, 0, 14, 12, 5])
  """
  del data_dir
  check_least(
    symbols=(symbols, 1),
    vocab_size=(vocab_size, 4),
    length=(length, symbols),
    test_length=(test_length or symbols, symbols),
  )
  draw = partial(_draw_selective, symbols=symbols, vocab_size=vocab_size)
  return Dataset(
    name='selective_copy',
    task='tagging',
    classes=tuple(map(str, range(vocab_size))),
    splits=streams(
      partial(draw, length=length),
      partial(draw, length=test_length or length),
      seed=seed,
      train_examples=train_examples,
      test_examples=test_examples,
    ),
  )


def _draw_selective(
  rng: np.random.Generator, *, length: int, symbols: int, vocab_size: int
) -> Example:
  inputs = np.zeros(length + symbols, np.int32)
  recalled = rng.integers(1, vocab_size - 1, symbols)
  inputs[np.sort(rng.choice(length, symbols, replace=False))] = recalled
  inputs[length:] = vocab_size - 1
  return _recall(inputs, recalled, False)


def _recall(inputs: np.ndarray, recalled: np.ndarray, all_counted: bool) -> Example:
  """Returns an example whose last targets are these."""
  targets = np.zeros_like(inputs)
  targets[-len(recalled) :] = recalled
  weights = np.full(inputs.shape, all_counted, np.float32)
  weights[-len(recalled) :] = 1
  return {'inputs': inputs, 'targets': targets, 'weights': weights}
