"""A ResNet-18 on your own images, in a folder for each class.

python -m convscan.train.main --config=image_folder --config.data.path=FOLDER \
  --workdir=runs/images

FOLDER/CLASS/... holds images, or FOLDER/train/CLASS/... and FOLDER/test/CLASS/... do.
"""

from ml_collections import ConfigDict

from convscan.configs import base


def get_config() -> ConfigDict:
  """Returns the experiment."""
  config = base.get_config()
  config.task = 'classification'
  config.model = ConfigDict({'name': 'resnet18'})
  # convscan/data/builders/image_folder.py explains each option.
  config.data = ConfigDict({
    'name': 'image_folder',
    'data_dir': '',
    'path': '',
    'size': 128,
    'resize': 0,
    'channels': 3,
    'test_folder': '',
    'test_fraction': 0.2,
    'seed': 0,
    'check': 'headers',
    'on_bad': 'error',
  })  # fmt: skip
  config.batch_size = 32
  config.num_train_steps = 1000
  config.optimizer.warmup_steps = 50
  config.optimizer.weight_decay = 1e-2
  return config
