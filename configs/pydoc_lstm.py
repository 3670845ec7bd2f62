"""A character LSTM on the documentation topics that come with CPython.

python -m convscan.train.main --config=pydoc_lstm --workdir=runs/pydoc_lstm
"""

from ml_collections import ConfigDict

from convscan.configs import base


def get_config() -> ConfigDict:
  """Returns the experiment."""
  config = base.get_config()
  config.task = 'language_model'
  config.model = ConfigDict({
    'name': 'lstm_lm',
    'embedding_features': 64,
    'hidden_features': 256,
    'num_layers': 2,
    'dropout_rate': 0.2,
  })  # fmt: skip
  config.data = ConfigDict({'name': 'pydoc_topics', 'data_dir': '', 'length': 128})
  config.batch_size = 32
  config.num_train_steps = 1000
  config.log_every_steps = 50
  config.eval_every_steps = 250
  config.checkpoint_every_steps = 250
  config.optimizer.learning_rate = 4e-3
  config.optimizer.warmup_steps = 50
  config.optimizer.clip_norm = 1.0
  return config
