"""Copying, against a queue; and what is best without memory."""

from collections import Counter, deque

import numpy as np
import pytest

from convscan import data


def _copy(tokens, go):
  """Answers blank, until each `go` after the first is answered by what was read."""
  queue, answers, asked = deque(), [], False
  for token in tokens.tolist():
    if token == go:
      answers.append(queue.popleft() if asked and queue else 0)
      asked = True
    else:
      answers.append(0)
      if token:
        queue.append(token)
  return answers


@pytest.mark.parametrize('symbols', [1, 10])
def test_copy_memory_recalls_in_order(symbols):
  source = data.build('copy_memory', length=6, symbols=symbols).splits['train']
  seen = Counter()
  for i in range(300):
    example = source[i]
    inputs = example['inputs']
    assert inputs.shape == (6 + 2 * symbols,)
    assert inputs[:symbols].all()
    assert not inputs[symbols : symbols + 5].any()
    assert (inputs[-symbols - 1 :] == 9).all()
    assert example['targets'].tolist() == _copy(inputs, 9)
    assert (example['weights'] == 1).all()
    seen.update(inputs[:symbols].tolist())
  assert {*seen} == {*range(1, 9)}


def test_only_what_is_recalled_may_count():
  example = data.build('copy_memory', length=6, counted='recalled').splits['test'][0]
  assert example['weights'].tolist() == [0.0] * 16 + [1.0] * 10


def test_without_memory_copy_memory_has_the_published_loss():
  # By chance of what is asked where, over many examples: the best that knows only the
  # step.
  source = data.build('copy_memory', length=1000).splits['train']
  targets = np.array([source[i]['targets'] for i in range(3000)])
  shares = np.stack([(targets == c).mean(axis=0) for c in range(10)])
  logs = np.log(np.where(shares > 0, shares, 1))
  loss = -(shares * logs).sum(axis=0).mean()
  assert loss == pytest.approx(10 * np.log(8) / 1020, rel=2e-3)
  assert loss == pytest.approx(0.0204, abs=5e-5)  # Bai et al. 2018


def test_selective_copy_recalls_in_order_and_counts_nothing_else():
  dataset = data.build('selective_copy', length=40, symbols=6, test_length=50)
  places, seen = set(), set()
  for i in range(300):
    example = dataset.splits['train'][i]
    inputs, weights = example['inputs'], example['weights']
    assert inputs.shape == (46,)
    (at,) = np.nonzero(inputs[:40])
    assert len(at) == 6
    assert (inputs[40:] == 15).all()
    # Here the first mark is answered, too.
    answers = _copy(np.concatenate([[15], inputs]), 15)[1:]
    assert example['targets'].tolist() == answers
    assert weights.tolist() == [0.0] * 40 + [1.0] * 6
    places.update(at.tolist())
    seen.update(inputs[at].tolist())
  assert places == {*range(40)}
  assert seen == {*range(1, 15)}
  assert dataset.splits['test'][0]['inputs'].shape == (56,)


def test_to_guess_in_selective_copy_is_right_in_one_of_fourteen():
  source = data.build('selective_copy', length=64).splits['train']
  recalled = np.array([source[i]['targets'][-16:] for i in range(3000)])
  shares = np.array([(recalled == c).mean() for c in range(16)])
  assert shares.max() == pytest.approx(1 / 14, rel=0.05)
  some = shares[shares > 0]
  assert -(some * np.log(some)).sum() == pytest.approx(np.log(14), abs=1e-3)
