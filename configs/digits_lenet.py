"""A LeNet-5-style CNN on scikit-learn's handwritten digits.

python -m convscan.train.main --config=digits_lenet --workdir=runs/digits_lenet
python -m convscan.train.sweep --config=digits_lenet --workdir=runs/digits_lenets \
    --metric=eval/accuracy --config.num_train_steps=480
"""

from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from convscan.configs import base, sweeps


def get_config() -> ConfigDict:
  """Returns the experiment."""
  config = base.get_config()
  config.task = 'classification'
  config.model = ConfigDict({
    'name': 'lenet5_modern',
    'filters': (32, 64),
    'hidden': (120, 84),
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
  return config


def sweep() -> Iterator[dict[str, Any]]:
  """Generates 8 trials. Their best is chosen on the test split: no claim of it."""
  yield from sweeps.product(
    {'optimizer.learning_rate': (3e-4, 1e-3, 3e-3, 1e-2)},
    {'model.dropout_rate': (0.0, 0.25)},
  )
