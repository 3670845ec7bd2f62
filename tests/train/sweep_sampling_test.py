"""Trials that Optuna draws, and its study on disk."""

import math
import sys

import pytest

from convscan.configs import digits_lenet, sweeps
from convscan.train.errors import ConfigError
from convscan.train.sweeping import plan, table
from convscan.train.sweeping.sampling import Sampled

LOSS = table.make_metric('eval/loss')
SPACE = {
  'optimizer.learning_rate': sweeps.log_uniform(1e-5, 1e-1),
  'model.filters': sweeps.choice([(8, 16), (16, 32)]),
}


def _make(overrides):
  return plan.make_trial(overrides, digits_lenet.get_config(), {})


def _sampled(root, sampler='random', num_trials=10, seed=0, space=SPACE):
  return Sampled(str(root), space, sampler, num_trials, seed, LOSS, _make)


def _row(trial, state='finished', value=None):
  curve = [] if value is None else [(10, value)]
  best = curve[0] if curve else None
  return table.Row(trial, state, 10, 10, curve, best, 1.0, '')


def _loss(trial):
  """The distance from a learning rate of 1e-2, in decades."""
  return abs(math.log10(trial.overrides['optimizer.learning_rate']) + 2)


def _run_all(source):
  trials = []
  while trial := source.ask():
    trials.append(trial)
    source.tell(_row(trial, value=_loss(trial)))
  return trials


def test_trials_are_of_the_space_and_as_many_as_asked_for(tmp_path):
  trials = _run_all(_sampled(tmp_path))
  assert len(trials) == 10
  assert len({trial.name for trial in trials}) == 10
  for trial in trials:
    assert 1e-5 <= trial.overrides['optimizer.learning_rate'] <= 1e-1
    assert trial.overrides['model.filters'] in ((8, 16), (16, 32))
    assert len(trial.name) < 50
  # Another start draws none, or those that are left, and not the same ones again.
  assert _run_all(_sampled(tmp_path)) == []
  more = _run_all(_sampled(tmp_path, num_trials=15))
  assert len(more) == 5
  assert not {t.name for t in more} & {t.name for t in trials}
  known = _sampled(tmp_path).known()
  assert {t.name for t in known} == {t.name for t in trials + more}


def test_what_ran_when_the_driver_was_killed_is_asked_for_again(tmp_path):
  source = _sampled(tmp_path)
  first, second, third = (source.ask() for _ in range(3))
  source.tell(_row(second, value=1.0))
  again = _sampled(tmp_path)
  assert [again.ask(), again.ask()] == [first, third]
  rest = [again.ask() for _ in range(7)]
  assert again.ask() is None
  assert not {t.name for t in rest} & {first.name, second.name, third.name}
  again.tell(_row(first, 'failed'))
  again.tell(_row(third, 'stopped', value=2.0))
  for trial in rest:
    again.tell(_row(trial, value=3.0))
  states = [t.state.name for t in again._study.get_trials()]
  assert states == ['RUNNING', 'COMPLETE', 'COMPLETE'] + ['COMPLETE'] * 7
  assert [t.value for t in again._study.get_trials()][:3] == [None, 1.0, 2.0]


def test_what_failed_is_tried_anew_at_the_next_start(tmp_path):
  source = _sampled(tmp_path, num_trials=3)
  failed, interrupted, empty = (source.ask() for _ in range(3))
  source.tell(_row(failed, 'failed', value=0.5))
  source.tell(_row(interrupted, 'interrupted', value=0.5))
  source.tell(_row(empty, 'finished'))  # without a value: of no use, but not to repeat
  assert source.ask() is None
  again = _sampled(tmp_path, num_trials=3)
  assert [again.ask() for _ in range(3)] == [failed, interrupted, None]
  again.tell(_row(failed, value=0.25))
  assert again._study.get_trials()[0].value == 0.25


def test_several_of_the_same_overrides_are_one_trial(tmp_path):
  source = _sampled(tmp_path, space={'seed': sweeps.choice([7])}, num_trials=3)
  trials = [source.ask() for _ in range(3)]
  assert len(set(t.name for t in trials)) == 1
  source.tell(_row(trials[0], value=0.5))
  assert [t.value for t in source._study.get_trials()] == [0.5] * 3
  assert len(source.known()) == 1


def test_a_sampler_that_learns_comes_nearer_than_chance(tmp_path):
  space = {'optimizer.learning_rate': SPACE['optimizer.learning_rate']}
  nearest = {}
  for sampler in ('random', 'tpe'):
    folder = tmp_path / sampler
    folder.mkdir()
    source = _sampled(folder, sampler, num_trials=40, space=space)
    late = _run_all(source)[20:]
    nearest[sampler] = sum(map(_loss, late)) / len(late)
  assert nearest['tpe'] < 0.5 * nearest['random']


@pytest.mark.parametrize(
  ('space', 'said'),
  [
    ({}, r'space\(\) returned \{\}'),
    (None, r'space\(\) returned None'),
    ({'seed': (1, 2)}, r"'seed': \(1, 2\); expected sweeps\.uniform"),
    ({'sead': sweeps.choice([1])}, 'unknown key config.sead'),
    (
      {'frozen': sweeps.choice(['1', 1])},
      "'frozen': .*expected values that differ",
    ),
    ({'seed': sweeps.uniform(0, 1)}, "'seed': .*expected a value of type int"),
  ],
)
def test_a_space_that_can_not_be_is_refused(space, said, tmp_path):
  with pytest.raises(ConfigError, match=said):
    _sampled(tmp_path, space=space)


def test_without_optuna_one_line_says_what_to_do(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'optuna', None)
  with pytest.raises(ConfigError, match=r"pip install 'convscan\[sweep\]'"):
    _sampled(tmp_path)
  monkeypatch.undo()
  monkeypatch.setitem(sys.modules, 'cmaes', None)
  with pytest.raises(ConfigError, match='--sampler=cmaes needs cmaes'):
    _sampled(tmp_path, 'cmaes')
