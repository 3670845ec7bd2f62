"""Recall, by searching what was read."""

import numpy as np
import pytest

from convscan import data


@pytest.mark.parametrize('random_fill', [False, True])
def test_mqar_asks_for_the_value_of_each_key_once(random_fill):
  options = {'length': 40, 'pairs': 6, 'vocab_size': 64, 'random_fill': random_fill}
  source = data.build('mqar', **options).splits['train']
  gaps, fill = set(), set()
  for i in range(500):
    example = source[i]
    inputs, targets = (example[k].tolist() for k in ('inputs', 'targets'))
    pairs = dict(zip(inputs[0:12:2], inputs[1:12:2], strict=True))
    assert len(pairs) == len({*pairs.values()}) == 6
    assert {*pairs} <= {*range(1, 32)}
    assert {*pairs.values()} <= {*range(32, 64)}
    asked = [k for k, weight in enumerate(example['weights'].tolist()) if weight]
    assert {inputs[k] for k in asked} == {*pairs}
    assert len(asked) == 6
    assert all(k >= 12 and k % 2 == 0 for k in asked)
    assert targets == [pairs[inputs[k]] if k in asked else 0 for k in range(40)]
    gaps.update(asked)
    fill.update(inputs[k] for k in range(12, 40) if k not in asked)
  assert gaps == {*range(12, 40, 2)}
  assert fill == ({*range(64)} if random_fill else {0})


def test_mqar_draws_queries_nearer_by_the_power_law():
  source = data.build('mqar', length=8, pairs=1, power=0.5).splits['train']
  counts = np.bincount(
    [np.flatnonzero(source[i]['weights'])[0] for i in range(6000)], minlength=8
  )
  expected = 1 / np.sqrt([1, 2, 3])  # (g + 1) ** (a - 1)
  shares = counts[[2, 4, 6]] / 6000
  np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.02)


def test_to_guess_in_mqar_has_the_baseline_s_loss_and_accuracy():
  source = data.build('mqar').splits['train']
  examples = [source[i] for i in range(4000)]
  answers = np.concatenate([e['targets'][e['weights'] > 0] for e in examples])
  # Even over the 4,096 values, by their bits.
  bits = (answers[:, None] - 4096) >> np.arange(12) & 1
  assert answers.min() >= 4096
  np.testing.assert_allclose(bits.mean(axis=0), 0.5, atol=0.02)
  # One of those that the example has: the first of them.
  first = np.repeat([e['inputs'][1] for e in examples], 4)
  assert (answers == first).mean() == pytest.approx(1 / 4, abs=1e-9)


def test_mqar_may_be_tested_on_longer():
  dataset = data.build('mqar', test_length=128, test_pairs=8)
  example = dataset.splits['test'][0]
  assert example['inputs'].shape == (128,)
  assert example['weights'].sum() == 8
  assert len(dataset.splits['test']) == 3000
  assert len(dataset.classes) == 8192


def test_induction_asks_what_followed_the_special_token():
  dataset = data.build('induction', length=12, test_length=30)
  for split, length in [('train', 12), ('test', 30)]:
    places = set()
    for i in range(600):
      example = dataset.splits[split][i]
      inputs = example['inputs'].tolist()
      assert len(inputs) == length
      assert inputs.count(0) == 2
      assert inputs[-1] == 0
      at = inputs.index(0)
      assert example['targets'][-1] == inputs[at + 1]
      assert example['weights'].tolist() == [0.0] * (length - 1) + [1.0]
      assert example['targets'][:-1].tolist() == inputs[1:]
      places.add(at)
    assert places == {*range(length - 2)}


def test_to_guess_in_induction_is_right_in_one_of_fifteen():
  source = data.build('induction').splits['train']
  answers = np.array([source[i]['targets'][-1] for i in range(10000)])
  shares = np.bincount(answers, minlength=16)[1:] / 10000
  assert shares.max() == pytest.approx(1 / 15, rel=0.15)
  assert -(shares * np.log(shares)).sum() == pytest.approx(np.log(15), abs=2e-3)
