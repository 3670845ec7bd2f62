"""Synthetic tasks through the ordinary training, with figures of what is no text."""

import os

import pytest

from convscan.configs import base
from convscan.train.errors import ConfigError
from convscan.train.loop import train_and_evaluate


@pytest.mark.parametrize(
  ('task', 'data', 'model', 'figure'),
  [
    (
      'tagging',
      {'name': 'copy_memory', 'length': 5},
      {'name': 'elman_causal_tagger', 'vocab_size': 10},
      'confusion.png',
    ),
    (
      'language_model',
      {'name': 'dyck', 'length': 16},
      {'name': 'gru_lm', 'hidden_features': 8, 'num_layers': 1},
      'gates.png',
    ),
  ],
)
def test_it_trains_and_is_evaluated(task, data, model, figure, tmp_path):
  config = base.get_config()
  config.unlock()
  config.task = task
  config.data = {'data_dir': '', 'test_examples': 20, **data}
  config.model = model
  config.batch_size = 8
  config.num_train_steps = 2
  config.sample.length = 4
  metrics = train_and_evaluate(config, str(tmp_path))
  assert metrics['eval/loss'] > 0
  assert 0 <= metrics['eval/accuracy'] <= 1
  assert os.path.getsize(tmp_path / figure) > 10_000


def test_a_model_of_too_few_tokens_is_refused(tmp_path):
  config = base.get_config()
  config.unlock()
  config.task = 'classification'
  config.data = {'name': 'parity', 'data_dir': ''}
  config.model = {'name': 'elman_classifier', 'vocab_size': 2}
  with pytest.raises(ConfigError, match=r'vocab_size: 2; expected 3 or more'):
    train_and_evaluate(config, str(tmp_path))
