"""The rules that end trials early, on cases worked out by hand."""

import random
import statistics

import pytest

from convscan.train.sweeping.stopping import (
  Stopper,
  below_median,
  loses_rung,
  rungs,
)

# Means up to step 20: 0.3, 0.5, 0.7; up to step 30: 0.4, 0.6, 0.8.
COMPLETED = [
  [(10, 0.2), (20, 0.4), (30, 0.6)],
  [(10, 0.4), (20, 0.6), (30, 0.8)],
  [(10, 0.6), (20, 0.8), (30, 1.0)],
]


@pytest.mark.parametrize(
  ('curve', 'stops'),
  [
    ([(10, 0.3), (20, 0.49)], True),  # the best, 0.49, below the median of means, 0.5
    ([(10, 0.3), (20, 0.5)], False),  # not strictly worse
    ([(10, 0.5), (20, 0.1)], False),  # its best counts, not its last
    ([(10, 0.3), (20, 0.3), (30, 0.59)], True),  # 0.6 by then
    ([(5, 0.0)], False),  # nobody has values up to there
    ([], False),
  ],
)
def test_the_median_rule(curve, stops):
  assert below_median(curve, COMPLETED) == stops
  assert not below_median(curve, COMPLETED[:2])  # too few to say


def test_the_median_rule_beside_a_plain_loop():
  rng = random.Random(0)
  for _ in range(200):
    others = [
      [(s, rng.random()) for s in range(1, 6)] for _ in range(rng.randint(3, 7))
    ]
    curve = [(s, rng.random() * 0.8) for s in range(1, rng.randint(2, 6))]
    means = [sum(v for _, v in o[: len(curve)]) / len(curve) for o in others]
    expected = max(v for _, v in curve) < statistics.median(means)
    assert below_median(curve, others) == expected


def test_the_rungs_of_successive_halving():
  assert rungs(1, 4, 100) == [1, 4, 16, 64]
  assert rungs(240, 3, 1200) == [240, 720]
  assert rungs(100, 2, 100) == []  # the last step is no rung: it ends there anyway


def test_one_in_so_many_goes_on_from_a_rung():
  curves = {f't{i}': [(10, i / 10), (20, 1 - i / 10)] for i in range(9)}
  assert [n for n in curves if not loses_rung(n, curves, 10, 3)] == ['t6', 't7', 't8']
  # At the next rung the order is the other way round.
  assert [n for n in curves if not loses_rung(n, curves, 20, 3)] == ['t0', 't1', 't2']
  # The best of fewer than the factor, and the first to come.
  two = {n: curves[n] for n in ('t3', 't4')}
  assert (loses_rung('t3', two, 10, 3), loses_rung('t4', two, 10, 3)) == (True, False)
  assert loses_rung('t0', {'t0': curves['t0']}, 10, 3) is False
  # A value counts at the first evaluation at the rung or after it.
  assert loses_rung('a', {'a': [(9, 0.9), (12, 0.1)], 'b': [(11, 0.2)]}, 10, 2)
  assert loses_rung('a', {'a': [(9, 0.9)], 'b': [(11, 0.2)]}, 10, 2) is None


def test_trials_are_stopped_as_their_values_come():
  stopper = Stopper('halving', min_steps=10, factor=2, num_steps=40)
  curves = {'a': [(10, 0.5)], 'b': [], 'c': []}
  assert stopper.losers(curves, ['a', 'b', 'c'], []) == {}
  # The next is worse, and stops.
  curves['b'] = [(10, 0.4)]
  why = 'not among the best 1 of 2 at step 10'
  assert stopper.losers(curves, ['a', 'b', 'c'], []) == {'b': why}
  # The third is better; the first has passed that rung and is not asked again there.
  curves['c'] = [(10, 0.6)]
  assert stopper.losers(curves, ['a', 'c'], []) == {}
  # At the next rung it is alone, so it passes, and the third does not.
  curves['a'] = [(10, 0.5), (20, 0.9)]
  assert stopper.losers(curves, ['a', 'c'], []) == {}
  curves['c'] = [(10, 0.6), (20, 0.8)]
  assert list(stopper.losers(curves, ['a', 'c'], [])) == ['c']


@pytest.mark.parametrize('rule', ['halving', 'median'])
def test_what_was_let_through_before_a_restart_is_not_asked_again(rule):
  curves = {f'done{i}': curve for i, curve in enumerate(COMPLETED)}
  curves['first'] = [(10, 0.1), (20, 0.1)]  # worse than all that came after it
  stopper = Stopper(rule, min_steps=10, factor=2, num_steps=90)
  stopper.pass_over(curves)
  assert stopper.losers(curves, ['first'], list(curves)[:3]) == {}
  curves['first'] = [(10, 0.1)]  # a run goes on from its checkpoint, further back
  assert stopper.losers(curves, ['first'], list(curves)[:3]) == {}
  curves['first'] = [(10, 0.1), (20, 0.1), (40, 0.1)]
  curves['other'] = [(40, 0.2)]
  assert list(stopper.losers(curves, ['first'], list(curves)[:3])) == ['first']


def test_the_median_waits_for_the_first_steps():
  curves = {f'done{i}': curve for i, curve in enumerate(COMPLETED)}
  curves['slow'] = [(10, 0.1)]
  stopper = Stopper('median', min_steps=20, factor=3, num_steps=30)
  assert stopper.losers(curves, ['slow'], list(curves)[:3]) == {}
  curves['slow'] = [(10, 0.1), (20, 0.2)]
  why = {'slow': 'below the median at step 20'}
  assert stopper.losers(curves, ['slow'], list(curves)[:3]) == why
