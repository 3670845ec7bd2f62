"""A ResNet-20 on scikit-learn's handwritten digits.

python -m convscan.train.main --config=digits_resnet --workdir=runs/digits_resnet

99.72 % test accuracy: the median of seeds 0, 1, 2 (98.89, 99.72, 99.72). Training takes
30 s on one CPU core.
"""

from ml_collections import ConfigDict

from convscan.configs import base


def get_config() -> ConfigDict:
  """Returns the experiment."""
  config = base.get_config()
  config.task = 'classification'
  config.model = ConfigDict({'name': 'resnet20_cifar'})
  config.data = ConfigDict({
    'name': 'digits',
    'data_dir': '',
    'max_shift': 1,
    'labels': tuple(range(10)),
    'train_per_label': 0,
  })  # fmt: skip
  config.batch_size = 64
  config.num_train_steps = 1000
  config.log_every_steps = 50
  config.eval_every_steps = 250
  config.checkpoint_every_steps = 250
  config.optimizer.learning_rate = 3e-3
  config.optimizer.warmup_steps = 60
  config.optimizer.weight_decay = 1e-2
  return config
