"""The trials that a config file names: helpers, names, checks."""

import json
import math
import subprocess
import sys

import absl.flags
import numpy as np
import pytest
from ml_collections import config_flags
from ml_collections.config_flags import config_path

from convscan.configs import digits_finetune, digits_lenet, sweeps
from convscan.train import flags
from convscan.train.errors import ConfigError
from convscan.train.sweeping import plan


def test_a_product_is_every_combination():
  trials = list(sweeps.product({'a': (1, 2)}, {'b': ['x', 'y'], 'c': [0]}))
  loops = [{'a': a, 'b': b, 'c': 0} for a in (1, 2) for b in ('x', 'y')]
  assert trials == loops


def test_a_product_takes_trials_as_one_factor():
  pairs = sweeps.zipped({'a': (1, 2), 'b': (3, 4)})
  assert list(sweeps.product(pairs, {'c': (5, 6)})) == [
    {'a': 1, 'b': 3, 'c': 5},
    {'a': 1, 'b': 3, 'c': 6},
    {'a': 2, 'b': 4, 'c': 5},
    {'a': 2, 'b': 4, 'c': 6},
  ]
  assert list(sweeps.product()) == [{}]


@pytest.mark.parametrize(
  ('make', 'said'),
  [
    (lambda: sweeps.product({'a': (1,)}, {'a': (2,)}), "'a' is swept twice"),
    (lambda: sweeps.product([{'a': 1}], {'b': (1,), 'a': (2,)}), "'a' is swept twice"),
    (lambda: sweeps.product({'a': ()}), "'a': no values"),
    (lambda: sweeps.product({'a': 3}), "'a': 3; expected several values"),
    (lambda: sweeps.product({'a': 'abc'}), "'a': 'abc'; expected several values"),
    (
      lambda: sweeps.zipped({'a': (1, 2), 'b': (3,)}),
      "2 of 'a', 1 of 'b'; expected as many",
    ),
    (lambda: [sweeps.uniform(2, 1)], r'uniform\(2, 1\): expected low < high'),
    (lambda: [sweeps.log_uniform(0, 1)], r'log_uniform\(0, 1\): expected low > 0'),
    (lambda: [sweeps.uniform(0, math.inf)], 'finite'),
    (lambda: [sweeps.choice([])], 'choice: no values'),
  ],
)
def test_what_makes_no_sweep_is_said(make, said):
  with pytest.raises(ValueError, match=said):
    list(make())


def test_draws_are_of_the_distributions_and_of_the_seed():
  space = {
    'a': sweeps.uniform(2, 3),
    'b': sweeps.log_uniform(1e-4, 1e-1),
    'c': sweeps.choice(('x', 'y', 'z')),
  }
  drawn = list(sweeps.draw(3000, space, seed=1))
  a, b = (np.array([trial[k] for trial in drawn]) for k in 'ab')
  # Of 3000 draws a fraction has a standard deviation of 0.009 at most.
  for fraction in (0.25, 0.5, 0.75):
    assert np.mean(a < 2 + fraction) == pytest.approx(fraction, abs=0.04)
    assert np.mean(b < 1e-4 * 1e3**fraction) == pytest.approx(fraction, abs=0.04)
  for value in 'xyz':
    share = np.mean([trial['c'] == value for trial in drawn])
    assert share == pytest.approx(1 / 3, abs=0.04)
  assert min(a) >= 2
  assert max(b) <= 1e-1
  assert drawn[:5] == list(sweeps.draw(5, space, seed=1))
  assert drawn[:5] != list(sweeps.draw(5, space, seed=2))
  # A key's values are its own.
  alone = list(sweeps.draw(5, {'b': space['b']}, seed=1))
  assert [trial['b'] for trial in alone] == [trial['b'] for trial in drawn[:5]]
  assert abs(np.corrcoef(a, b)[0, 1]) < 0.1


def test_the_helpers_need_no_jax():
  code = "import sys; import convscan.configs.sweeps; sys.exit('jax' in sys.modules)"
  assert subprocess.run([sys.executable, '-c', code]).returncode == 0


def _trial(overrides, common=()):
  return plan.make_trial(overrides, digits_lenet.get_config(), dict(common))


def test_a_trial_is_named_by_its_overrides_in_whatever_order():
  one = _trial({'seed': 1, 'optimizer.learning_rate': 1})
  assert one == _trial({'optimizer.learning_rate': 1.0, 'seed': np.int64(1)})
  assert one.name == 'learning_rate=1.0,seed=1'
  assert _trial({'model.filters': [8, 16]}).name == 'filters=8-16'
  assert _trial({'model.name': 'lenet5'}).name == 'model.name=lenet5'
  assert _trial({}).name == 'default'
  several = {'model.remat': ('stage1', 'stage2')}
  assert plan.name_of(several, ['model.remat']) == 'remat=stage1-stage2'


def test_names_are_of_folders_and_tell_trials_apart():
  odd = [_trial({'data.name': name}).name for name in ('a/b', 'a b', '../x', 'a' * 300)]
  assert len(set(odd)) == 4
  for name in odd:
    assert '/' not in name
    assert ' ' not in name
    assert len(name) < 150
  # What a list of words is joined by is in the words too.
  a, b = (
    plan.name_of({'frozen': value}, ['frozen']) for value in (('a-b',), ('a', 'b'))
  )
  assert a != b


@pytest.mark.parametrize(
  ('overrides', 'said'),
  [
    ({'optimizer.learning_rat': 1.0}, "did you mean 'config.optimizer.learning_rate'"),
    ({'seed': True}, "'seed': True; expected a value of type int"),
    ({'ema_decay': False}, "'ema_decay': False; expected a value of type float"),
    ({'optimizer.learning_rate': math.nan}, "'optimizer.learning_rate': nan; expected"),
    ({'seed': 1.5}, "'seed': 1.5; expected a value of type int"),
    ({'optimizer.nesterov': 'yes'}, 'expected a value of type bool'),
    ({'optimizer': 3}, "'optimizer' is a part of the config"),
    ({'batch_size': 3}, 'config.batch_size is swept'),
    (3, 'yielded 3; expected a dict'),
  ],
)
def test_a_trial_that_can_not_be_is_refused(overrides, said):
  with pytest.raises(ConfigError, match=said):
    _trial(overrides, {'batch_size': 32})


def test_a_sweep_of_nothing_or_of_the_same_twice_is_refused():
  config = digits_lenet.get_config()
  with pytest.raises(ConfigError, match='yields no trial'):
    plan.make_trials([], config, {})
  with pytest.raises(ConfigError, match=r"\{'seed': 1\} twice"):
    plan.make_trials([{'seed': 1}, {'seed': 1}], config, {})


def test_what_is_on_the_command_line_arrives_as_it_was(monkeypatch):
  overrides = {
    'optimizer.learning_rate': 1e-05,
    'optimizer.nesterov': True,
    'frozen': ('stem',),
    'init_fresh': (),
    'optimizer.step_at': (0.5, 0.25),
    'init_from': 'a b=c.safetensors',
    'seed': 3,
  }
  config = digits_finetune.get_config()
  trial = plan.make_trial(overrides, config, {})
  argv = ['main', *(plan.argument(k, v) for k, v in trial.overrides.items())]
  monkeypatch.setattr('sys.argv', argv)
  values = absl.flags.FlagValues()
  config_flags.DEFINE_config_dict('config', config, flag_values=values)
  flags.parse(argv, values)
  for key, value in overrides.items():
    assert config_path.get_value(key, config) == value
  assert config_flags.get_override_values(values['config']) == overrides


def test_a_folder_keeps_to_its_sweep(tmp_path):
  root, config = str(tmp_path), digits_lenet.get_config()
  one, two, three = (plan.Trial(f'seed={i}', {'seed': i}) for i in range(3))
  plan.check_folder(root)
  assert plan.remember(root, config, [one, two]) == ''
  assert plan.remember(root, config, [one, two]) == ''
  said = plan.remember(root, config, [two, three])
  assert '1 new: seed=2' in said
  assert '1 gone: seed=0' in said
  config.batch_size = 32
  with pytest.raises(ConfigError, match='batch_size is 64 there and 32 here'):
    plan.remember(root, config, [two, three])
  with pytest.raises(ConfigError, match='of sweep'):
    plan.remember(root, digits_lenet.get_config(), space='space() = ...')
  noted = json.loads((tmp_path / 'sweep.json').read_text())
  assert noted['trials'] == {'seed=1': {'seed': 1}, 'seed=2': {'seed': 2}}
  plan.check_folder(root)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
  (tmp_path / 'thesis.tex').touch()
  with pytest.raises(ConfigError, match=r'is no sweep, but holds thesis\.tex'):
    plan.check_folder(str(tmp_path), ['seed=1'])
  with pytest.raises(ConfigError, match=r'thesis\.tex.: File exists'):
    plan.check_folder(str(tmp_path / 'thesis.tex'))
  assert [path.name for path in tmp_path.iterdir()] == ['thesis.tex']


def test_a_mistake_in_sweep_is_told_with_its_line(tmp_path):
  path = tmp_path / 'bad.py'
  path.write_text('def get_config(): ...\ndef sweep():\n  yield {}\n  yield 1 / 0\n')
  with pytest.raises(ConfigError, match=r'bad\.py, line 4: ZeroDivisionError'):
    flags.call(str(path), 'sweep')
  with pytest.raises(ConfigError, match=r'bad\.py defines no space\(\)'):
    flags.call(str(path), 'space')
