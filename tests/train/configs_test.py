"""Every shipped experiment builds, and takes a step."""

import importlib

import pytest

from convscan.train import flags
from convscan.train.loop import train_and_evaluate

# Sizes that make a step quick; everything else is the experiment's own.
SHRUNK = {
  'digits_gru': {'model.hidden_features': 16},
  'digits_lenet': {},
  'pydoc_lstm': {'model.hidden_features': 16, 'data.length': 32},
}


def test_every_shipped_config_is_listed_here():
  assert set(flags.shipped()) == set(SHRUNK)


@pytest.mark.parametrize('name', sorted(SHRUNK))
def test_it_takes_a_step(name, tmp_path):
  config = importlib.import_module(f'convscan.configs.{name}').get_config()
  config.update_from_flattened_dict(
    {'num_train_steps': 1, 'optimizer.warmup_steps': 0, 'sample.length': 8}
    | SHRUNK[name]
  )
  metrics = train_and_evaluate(config, str(tmp_path / 'run'))
  assert metrics['eval/loss'] > 0
