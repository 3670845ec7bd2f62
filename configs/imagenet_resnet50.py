"""ResNet-50 on ImageNet, by the recipe of Goyal et al. 2017.

python -m convscan.train.main --config=imagenet_resnet50 --workdir=runs/resnet50 \
    --config.data.data_dir=DIR --config.num_reader_workers=16

Published: 76.40 % top-1 accuracy with batches of 256 and 76.26 % with 8,192, means over
five runs of the median of their last five epochs, on the central 224 pixels;
https://arxiv.org/abs/1706.02677, table 1. Not trained here.

The same are the sizes, ratios and flips of the augmentation, the learning rate scaled
by the batch size, five epochs of warm-up, the decay after 30, 60 and 80 of 90 epochs,
Nesterov momentum, weight decay of all but batch norms, and blocks that begin as their
shortcuts. Others are: biases have no weight decay; the warm-up begins at 0, not at the
rate of a batch of 256; initial weights are those of the layers here; and what is
computed in bfloat16. Batch norms see the images of one device, which are 32, as in the
paper, where 32 devices share the batch.
"""

from ml_collections import ConfigDict

from convscan.configs import base

_IMAGES = 1_281_167
_WARMUP, _DECAYS, _EPOCHS = 5, (30, 60, 80), 90


def get_config() -> ConfigDict:
  """Returns the experiment."""
  config = base.get_config()
  config.task = 'classification'
  config.model = ConfigDict({
    'name': 'resnet50',
    'dtype': 'bfloat16',
    'zero_init_residual': True,
    'remat': (),
  })  # fmt: skip
  config.data = ConfigDict({
    'name': 'imagenet2012',
    'data_dir': '',
    'size': 224,
    'augment': 'standard',
    'preprocess': '',
  })  # fmt: skip
  config.batch_norm = 'per_device'
  config.batch_size = 1024
  config.num_train_steps = base.steps(config, _EPOCHS, _IMAGES)
  config.log_every_steps = 100
  config.eval_every_steps = base.steps(config, 1, _IMAGES)
  config.checkpoint_every_steps = base.steps(config, 1, _IMAGES)
  config.optimizer.name = 'sgd'
  config.optimizer.learning_rate = 0.1
  config.optimizer.learning_rate_batch_size = 256
  config.optimizer.momentum = 0.9
  config.optimizer.nesterov = True
  config.optimizer.weight_decay = 1e-4
  config.optimizer.warmup_steps = base.steps(config, _WARMUP, _IMAGES)
  config.optimizer.schedule = 'step'
  # Shares of what comes after warm-up.
  config.optimizer.step_at = tuple(
    (epoch - _WARMUP) / (_EPOCHS - _WARMUP) for epoch in _DECAYS
  )
  config.optimizer.step_factor = 0.1
  return config
