"""A ResNet-20 that tells by which angle a handwritten digit is turned, in radians.

python -m convscan.train.main --config=digits_angle --workdir=runs/digits_angle

Root mean squared error 0.058 on the test split, 3.3 degrees: the median of seeds 0, 1,
2 (0.055, 0.058, 0.060). Training takes 35 s on two CPU cores that other programs keep
busy too.
"""

from ml_collections import ConfigDict

from convscan.configs import base


def get_config() -> ConfigDict:
  """Returns the experiment."""
  config = base.get_config()
  config.task = 'regression'
  config.model = ConfigDict({'name': 'resnet20_cifar'})
  config.data = ConfigDict({'name': 'digits_angle', 'data_dir': '', 'max_angle': 0.785})
  config.batch_size = 64
  config.num_train_steps = 1000
  config.log_every_steps = 50
  config.eval_every_steps = 250
  config.checkpoint_every_steps = 250
  config.optimizer.learning_rate = 3e-3
  config.optimizer.warmup_steps = 60
  config.optimizer.weight_decay = 1e-2
  return config
