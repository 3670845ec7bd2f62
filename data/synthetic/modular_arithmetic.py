"""Modular arithmetic: what does an expression come to, modulo 5?"""

import os
from functools import partial

import numpy as np

from ..dataset import Dataset, Example
from .stream import check_range, classified, streams


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  modulus: int = 5,
  brackets: bool = False,
  train_lengths: tuple[int, int] = (1, 40),
  test_lengths: tuple[int, int] = (41, 500),
  seed: int = 0,
  train_examples: int = 0,
  test_examples: int = 1000,
) -> Dataset:
  """Draws expressions, of lengths drawn too, to test on longer ones.

  As Delétang et al. 2023 (https://arxiv.org/abs/2207.02098) have them, with their
  lengths: without brackets a regular language, with them a deterministic context-free
  one. There a batch has one length; here each example has its own.

  * Without: numbers with `+`, `-` and `*` between them, such as `1+2*3`; products come
    first. Lengths are odd, an even one being lessened by one.
  * With: numbers, their negatives, and sums and differences, each in brackets, such as
    `((-1)-(3+0))`.

  To guess is right in 1 of `modulus`, 20 %; a little more often it is where products
  make 0 likelier. They report, without brackets, 100 % for an RNN and an LSTM, and
  24.2 % for a transformer.

  Args:
    data_dir: nothing is kept.
    modulus: 2 to 10; the numbers are those below it.
    brackets: which of the two.
    train_lengths: the shortest and the longest expression to train on.
    test_lengths: those to test on.
    seed: of all examples.
    train_examples: how many there are to train on; 0 is endless.
    test_examples: how many there are to test on.

  Returns:
    A classification of int32 tokens, as many as the longest expression, with
    `lengths`. Token 0 is padding, and then the numbers, `+`, `-`, `*`, `(` and `)`
    follow: a model for it has a `vocab_size` of `modulus + 6`.

  Raises:
    ValueError: an option is illegal.

  >>> task = load(train_lengths=(7, 7))
  >>> example = task.splits['train'][5]
  >>> ''.join(' 01234+-*()'[token] for token in example['inputs'])
  '3-2*4+2'
  >>> task.classes[example['targets']]
  '2'
  """
  del data_dir
  if not 2 <= modulus <= 10:
    raise ValueError(f'modulus is {modulus}, but must be from 2 to 10')
  check_range('train_lengths', train_lengths)
  check_range('test_lengths', test_lengths)
  draw = partial(_draw, modulus=modulus, brackets=brackets)
  return Dataset(
    name='modular_arithmetic',
    task='classification',
    classes=tuple(map(str, range(modulus))),
    splits=streams(
      partial(draw, lengths=train_lengths),
      partial(draw, lengths=test_lengths),
      seed=seed,
      train_examples=train_examples,
      test_examples=test_examples,
    ),
  )


def _draw(
  rng: np.random.Generator, *, modulus: int, brackets: bool, lengths: tuple[int, int]
) -> Example:
  length = int(rng.integers(*lengths, endpoint=True))
  expression, value = (_nested if brackets else _flat)(rng, modulus, length)
  alphabet = '0123456789'[:modulus] + '+-*()'
  tokens = [1 + alphabet.index(character) for character in expression]
  return classified(tokens, lengths[1], value)


def _flat(rng: np.random.Generator, modulus: int, length: int) -> tuple[str, int]:
  """Returns an expression without brackets, and its value."""
  numbers = rng.integers(modulus, size=(length + 1) // 2).tolist()
  operators = ['+-*'[i] for i in rng.integers(3, size=len(numbers) - 1)]
  expression, total, product = str(numbers[0]), 0, numbers[0]
  for operator, number in zip(operators, numbers[1:], strict=True):
    expression += operator + str(number)
    if operator == '*':
      product = product * number % modulus
    else:
      total += product
      product = number if operator == '+' else -number
  return expression, (total + product) % modulus


def _nested(rng: np.random.Generator, modulus: int, length: int) -> tuple[str, int]:
  """Returns an expression with brackets, and its value."""
  if length < 5:
    number = int(rng.integers(modulus))
    signed = number if length % 2 else -number
    form = ('{}', '-{}', '({})', '(-{})')[length - 1]
    return form.format(number), signed % modulus
  before = int(rng.integers(1, length - 3))
  left, a = _nested(rng, modulus, before)
  right, b = _nested(rng, modulus, length - before - 3)
  if rng.integers(2):
    return f'({left}-{right})', (a - b) % modulus
  return f'({left}+{right})', (a + b) % modulus
