"""What is overridden on the command line, as it arrives in the config."""

import subprocess
import sys

import absl.flags
import pytest
from ml_collections import config_flags
from ml_collections.config_flags import config_path

from convscan.configs import digits_finetune, imagenet_resnet50
from convscan.train.errors import ConfigError
from convscan.train.flags import parse


@pytest.mark.parametrize(
  ('given', 'expected'),
  [
    (['frozen=stem'], ('stem',)),
    (['frozen=stem,stage1'], ('stem', 'stage1')),
    (['frozen=stem,'], ('stem',)),
    (["frozen=('stem', 'stage1')"], ('stem', 'stage1')),
    (["frozen='stem','stage1'"], ('stem', 'stage1')),
    (['frozen=stem', 'frozen=stage1'], ('stem', 'stage1')),
    (['frozen='], ()),
    (['frozen=()'], ()),
    (['frozen=T (degC),load[kW]'], ('T (degC)', 'load[kW]')),
    (['optimizer.step_at=0.5,0.75'], (0.5, 0.75)),
    (['data.labels=7,'], (7,)),
    (['data.labels=[7]'], (7,)),
    (['data.labels=7,', 'data.labels=8,9'], (7, 8, 9)),
  ],
)
def test_several_values(given, expected, monkeypatch):
  config = digits_finetune.get_config()
  _override(config, given, monkeypatch)
  key = given[0].partition('=')[0]
  assert config_path.get_value(key, config) == expected


def test_a_duration_in_epochs_follows_the_batch(monkeypatch):
  config = imagenet_resnet50.get_config()
  _override(config, ['batch_size=256'], monkeypatch)
  assert config.num_train_steps == round(90 * 1_281_167 / 256)
  _override(config, ['num_train_steps=7'], monkeypatch)
  assert (config.num_train_steps, config.batch_size) == (7, 256)


def _override(config, given, monkeypatch):
  argv = ['main', *(f'--config.{override}' for override in given)]
  monkeypatch.setattr('sys.argv', argv)  # which is where overrides are looked for
  values = absl.flags.FlagValues()
  config_flags.DEFINE_config_dict('config', config, flag_values=values)
  parse(argv, values)


@pytest.mark.parametrize(
  ('given', 'expected'),
  [
    ('batch_size=', "config.batch_size: ''; expected a whole number"),
    ('seed=1.5', "config.seed: '1.5'; expected a whole number"),
    ('ema_decay=a: b', "config.ema_decay: 'a: b'; expected a number"),
    ('optimizer.nesterov=maybe', "'maybe'; expected true or false"),
    ('data.labels=7', "config.data.labels: '7'; expected several values"),
    ('data.labels=(7)', "config.data.labels: '(7)'; expected several values"),
    ('data.labels=(7', "config.data.labels: '(7'; expected several values"),
    ('data=7', 'config.data=7: Failed to parse'),
    ('batch_size', 'Missing value for flag --config.batch_size'),
  ],
)
def test_a_value_of_another_type(given, expected, monkeypatch):
  with pytest.raises(ConfigError) as error:
    _override(digits_finetune.get_config(), [given], monkeypatch)
  assert expected in str(error.value)
  assert '\n' not in str(error.value)


def test_flags_are_checked_before_jax_is_loaded():
  code = 'import sys, convscan.train.main; sys.exit("jax" in sys.modules)'
  assert subprocess.run([sys.executable, '-c', code]).returncode == 0
