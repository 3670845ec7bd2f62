"""Modular arithmetic, against Python's own."""

import re
from collections import Counter

import pytest

from convscan import data


def _read(example, modulus):
  alphabet = ' ' + '0123456789'[:modulus] + '+-*()'
  symbols = ''.join(alphabet[token] for token in example['inputs'].tolist())
  expression = symbols[: example['lengths']]
  assert symbols[len(expression) :].isspace() or symbols == expression
  assert ' ' not in expression
  return expression


@pytest.mark.parametrize('modulus', [2, 5, 10])
@pytest.mark.parametrize('brackets', [False, True])
def test_the_class_is_what_python_says(modulus, brackets):
  dataset = data.build('modular_arithmetic', modulus=modulus, brackets=brackets)
  lengths, symbols = set(), set()
  for split in ('train', 'test'):
    for i in range(300):
      example = dataset.splits[split][i]
      expression = _read(example, modulus)
      if not brackets:
        assert re.fullmatch(r'\d([-+*]\d)*', expression)
      assert dataset.classes[example['targets']] == str(eval(expression) % modulus)
      lengths.add(len(expression))
      symbols |= {*expression}
  numbers = {*'0123456789'[:modulus]}
  assert symbols == numbers | {*('+-()' if brackets else '+-*')}
  drawn = range(1, 501)
  assert lengths <= {*(drawn if brackets else drawn[::2])}
  assert len(lengths) > 150


def test_short_expressions_take_every_form():
  dataset = data.build(
    'modular_arithmetic', modulus=2, brackets=True, train_lengths=(1, 6)
  )
  seen = {_read(dataset.splits['train'][i], 2) for i in range(1500)}
  assert seen == {'0', '1', '-0', '-1', '(0)', '(1)', '(-0)', '(-1)'} | {
    f'({left}{operator}{right})'
    for operator in '+-'
    for left in ('0', '1', '-0', '-1')
    for right in ('0', '1', '-0', '-1')
    if len(left + right) < 4
  }


@pytest.mark.parametrize('brackets', [False, True])
def test_to_guess_is_right_in_one_of_five(brackets):
  source = data.build('modular_arithmetic', brackets=brackets).splits['test']
  counts = Counter(int(source[i]['targets']) for i in range(1000))
  assert max(counts.values()) / 1000 == pytest.approx(0.2, abs=0.05)
