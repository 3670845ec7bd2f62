"""ConvNeXt-T on ImageNet, by the recipe of Liu et al. 2022.

python -m convscan.train.main --config=imagenet_convnext_tiny --workdir=runs/convnext \
    --config.data.data_dir=DIR --config.num_reader_workers=64

Published: 82.1 % top-1 accuracy on 224 pixels; https://arxiv.org/abs/2201.03545, tables
1 and 5, and TRAINING.md of https://github.com/facebookresearch/ConvNeXt. Not trained
here.

The same are the optimizer, 20 epochs of warm-up and 300 in all, mixup and CutMix, label
smoothing, stochastic depth and layer scale. Others are: RandAugment is torchvision's,
two of 14 operations of magnitude 9 of 30, by nearest neighbours and with black beyond
the edges, where theirs is timm's, two of 15, each left out half the time, of magnitude
9 of 10 and a deviation of 0.5, bicubic and with the mean colour, so three times as
strong; what is erased becomes the mean colour, not noise; one share is drawn to mix all
images of a batch, theirs for each 128; the moving averages follow faster at first, and
keep 0.9999 of themselves only in the last epochs (see `train.step.average`); initial
weights are those of the layers here; and what is computed in bfloat16.
"""

from ml_collections import ConfigDict

from convscan.configs import base

_IMAGES = 1_281_167


def get_config() -> ConfigDict:
  """Returns the experiment."""
  config = base.get_config()
  config.task = 'classification'
  config.model = ConfigDict({
    'name': 'convnext_tiny',
    'dtype': 'bfloat16',
    'stochastic_depth_rate': 0.1,
    'layer_scale_init': 1e-6,
    'remat': (),
  })  # fmt: skip
  config.data = ConfigDict({
    'name': 'imagenet2012',
    'data_dir': '',
    'size': 224,
    'augment': 'randaugment',
    # As the authors' code has it: bicubic, and to evaluate a crop of 224 from 256.
    'preprocess': 'efficientnet_b0',
    'erasing': 0.25,
  })  # fmt: skip
  config.mixup_alpha = 0.8
  config.cutmix_alpha = 1.0
  config.loss.label_smoothing = 0.1
  config.ema_decay = 0.9999
  config.batch_size = 4096
  config.accumulate_steps = 4  # no batch norm sees how many
  config.num_train_steps = base.steps(config, 300, _IMAGES)
  config.log_every_steps = 100
  config.eval_every_steps = base.steps(config, 1, _IMAGES)
  config.checkpoint_every_steps = base.steps(config, 1, _IMAGES)
  config.optimizer.name = 'adamw'
  config.optimizer.learning_rate = 4e-3
  config.optimizer.weight_decay = 0.05
  config.optimizer.warmup_steps = base.steps(config, 20, _IMAGES)
  config.optimizer.schedule = 'cosine'
  config.optimizer.end_factor = 2.5e-4  # 1e-6
  return config
