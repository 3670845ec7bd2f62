"""The adding problem, against a plain sum."""

import numpy as np
import pytest

from convscan import data


def _train(count, **options):
  source = data.build('adding', **options).splits['train']
  return [source[i] for i in range(count)]


def _sum(example):
  """Adds the marked numbers one by one; returns where they are, too."""
  marked = [i for i, mark in enumerate(example['inputs'][:, 1]) if mark == 1]
  return marked, sum(float(example['inputs'][i, 0]) for i in marked)


@pytest.mark.parametrize('form', ['bai', 'urnn'])
def test_the_target_is_the_sum_of_two_marked_numbers(form):
  places = []
  for example in _train(2000, form=form, length=11):
    marked, total = _sum(example)
    assert example['targets'].item() == pytest.approx(total, abs=1e-6)
    assert sorted({*example['inputs'][:, 1]}) == [0, 1]
    places.append(marked)
  first, second = np.array(places).T  # two, and in order
  if form == 'urnn':
    assert {*first} == {*range(5)}
    assert {*second} == {*range(5, 11)}
  else:
    pairs = {(a, b) for b in range(11) for a in range(b)}
    assert {*zip(first.tolist(), second.tolist(), strict=True)} == pairs


def test_a_test_may_be_longer():
  dataset = data.build('adding', length=7, test_length=9)
  assert dataset.splits['train'][0]['inputs'].shape == (7, 2)
  assert dataset.splits['test'][0]['inputs'].shape == (9, 2)


def test_hochreiter_and_schmidhuber_s_form():
  lengths, firsts, seconds, zeroed = set(), set(), set(), 0
  for example in _train(3000, form='hochreiter', length=40):
    steps = int(example['lengths'])
    marks = example['inputs'][:steps, 1]
    marked, total = _sum(example)
    assert (marks[0], marks[-1]) == (-1, -1)
    assert not example['inputs'][steps:].any()
    assert example['targets'].item() == pytest.approx(0.5 + total / 4, abs=1e-6)
    assert len(marked) in (1, 2)  # one where the first pair was to be marked
    zeroed += len(marked) == 1
    lengths.add(steps)
    firsts.add(marked[0])
    seconds.add(marked[-1])
  assert lengths == {*range(40, 45)}
  # The one is in the first ten, the other among 19 others: the last of them is place 19
  # for a first one before it.
  assert {*range(1, 10)} <= firsts
  assert max(seconds) == 19
  assert 0.05 < zeroed / 3000 < 0.25  # 1/10, and 9/10 times 1/19


@pytest.mark.parametrize(
  ('form', 'mse'), [('bai', 1 / 6), ('urnn', 1 / 6), ('hochreiter', 1 / 24)]
)
def test_to_predict_the_mean_has_the_baseline_s_error(form, mse):
  targets = np.array([e['targets'] for e in _train(20000, form=form, length=100)])
  middle = 0.5 if form == 'hochreiter' else 1.0
  # Of a first number that counts 0, in one of seven, there is less.
  low = 0.9 if form == 'hochreiter' else 0.98
  assert low * mse < np.mean((targets - middle) ** 2) < 1.02 * mse
