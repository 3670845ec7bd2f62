"""A bidirectional GRU that tells the tokens of Python's source, by character.

python -m convscan.train.main --config=python_tagger --workdir=runs/python_tagger

95.42 % of the test split's characters are right: the median of seeds 0, 1, 2 (95.53,
95.42, 95.34), under Python 3.11; the mean F1 of the classes is 0.877. Training takes
30 s on two CPU cores that other programs keep busy too.
"""

from ml_collections import ConfigDict

from convscan.configs import base


def get_config() -> ConfigDict:
  """Returns the experiment."""
  config = base.get_config()
  config.task = 'tagging'
  config.model = ConfigDict({
    'name': 'gru_tagger',
    'vocab_size': 128,
    'embedding_features': 32,
    'hidden_features': 64,
    'num_layers': 1,
    'dropout_rate': 0.1,
  })  # fmt: skip
  config.data = ConfigDict({'name': 'python_tokens', 'data_dir': '', 'length': 128})
  config.batch_size = 32
  config.num_train_steps = 600
  config.log_every_steps = 60
  config.eval_every_steps = 200
  config.checkpoint_every_steps = 200
  config.optimizer.learning_rate = 1e-2
  config.optimizer.warmup_steps = 30
  config.optimizer.clip_norm = 1.0
  return config
