"""Dyck languages, against a stack machine."""

from collections import Counter

import numpy as np
import pytest

from convscan import data

PAIRS = {'(': ')', '[': ']', '{': '}', '<': '>', 'a': 'A'}


def _depths(string):
  """Reads a string with a stack; returns how many are open after each bracket."""
  stack, depths = [], []
  for bracket in string:
    if bracket in PAIRS:
      stack.append(PAIRS[bracket])
    else:
      assert stack.pop() == bracket
    depths.append(len(stack))
  assert not stack
  return depths


@pytest.mark.parametrize(('kinds', 'max_depth'), [(1, 0), (2, 3), (5, 0), (4, 1)])
def test_strings_are_balanced(kinds, max_depth):
  dataset = data.build(
    'dyck', kinds=kinds, max_depth=max_depth, length=40, test_length=60
  )
  for split, length in [('train', 40), ('test', 60)]:
    deepest, seen = 0, Counter()
    for i in range(200):
      example = dataset.splits[split][i]
      string = dataset.decode(example['targets'])
      assert len(string) == length
      assert dataset.decode(example['inputs']) == '\x00' + string[:-1]
      deepest = max(deepest, *_depths(string))
      seen.update(string)
      counted = [split == 'train' or b in PAIRS.values() for b in string]
      assert example['weights'].tolist() == counted
    assert deepest == (max_depth or deepest)
    assert deepest > 5 or max_depth
    assert {*seen} == {*dataset.classes[1:]}
    assert max(seen.values()) < 1.25 * min(seen.values())


def test_a_bracket_opens_as_often_as_it_closes_where_there_is_a_choice():
  source = data.build('dyck', kinds=2, length=400).splits['train']
  opened = total = 0
  for i in range(50):
    targets = source[i]['targets']
    opens = targets % 2 == 1
    before = np.cumsum(2 * opens - 1) - (2 * opens - 1)
    free = (before > 0) & (before < len(targets) - np.arange(len(targets)))
    opened, total = opened + opens[free].sum(), total + free.sum()
  assert opened / total == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize('kinds', [1, 2, 4])
def test_without_a_stack_one_of_so_many_kinds_is_right(kinds):
  source = data.build('dyck', kinds=kinds).splits['test']
  right = total = 0
  for i in range(500):
    counted = source[i]['weights'] > 0
    right += (source[i]['targets'][counted] == 2).sum()
    total += counted.sum()
  assert right / total == pytest.approx(1 / kinds, abs=0.02)
