"""A GRU that reads scikit-learn's handwritten digits row by row.

python -m convscan.train.main --config=digits_gru --workdir=runs/digits_gru

98.61 % test accuracy: the median of seeds 0, 1, 2 (98.61, 98.61, 97.77). Training takes
43 s on two CPU cores that other programs keep busy too.
"""

from ml_collections import ConfigDict

from convscan.configs import base


def get_config() -> ConfigDict:
  """Returns the experiment."""
  config = base.get_config()
  config.task = 'classification'
  # An image is a sequence of 8 steps, each a row of 8 pixels.
  config.model = ConfigDict({
    'name': 'gru_classifier',
    'hidden_features': 128,
    'num_layers': 1,
    'dropout_rate': 0.25,
  })  # fmt: skip
  config.data = ConfigDict({'name': 'digits', 'data_dir': '', 'max_shift': 1})
  config.batch_size = 64
  config.num_train_steps = 1200
  config.log_every_steps = 60
  config.eval_every_steps = 240
  config.checkpoint_every_steps = 240
  config.optimizer.learning_rate = 3e-3
  config.optimizer.warmup_steps = 60
  config.optimizer.weight_decay = 1e-2
  config.optimizer.clip_norm = 1.0
  return config
