"""A small U-Net that finds and names the ink of handwritten digits.

python -m convscan.train.main --config=digits_unet --workdir=runs/digits_unet

Mean intersection over union 0.945 on the test split: the median of seeds 0, 1, 2
(0.964, 0.945, 0.945); 98.6 % of the pixels are right. Training takes 20 s on two CPU
cores that other programs keep busy too.
"""

from ml_collections import ConfigDict

from convscan.configs import base


def get_config() -> ConfigDict:
  """Returns the experiment."""
  config = base.get_config()
  config.task = 'segmentation'
  config.model = ConfigDict({
    'name': 'unet',
    'channels': (16, 32, 64),
    'use_norm': True,
    'dropout_rate': 0.25,
  })  # fmt: skip
  config.data = ConfigDict({'name': 'digits_pixels', 'data_dir': '', 'max_shift': 1})
  config.batch_size = 64
  config.num_train_steps = 600
  config.log_every_steps = 60
  config.eval_every_steps = 200
  config.checkpoint_every_steps = 200
  config.optimizer.learning_rate = 3e-3
  config.optimizer.warmup_steps = 60
  config.optimizer.weight_decay = 1e-2
  return config
