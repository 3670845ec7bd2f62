"""MnasNet: Tan et al. 2018, https://arxiv.org/abs/1807.11626.

This is the network "B1", which was searched for without squeeze and excitation.
"""

from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
from jax import Array

from ..layers import BatchNorm
from .mobilenet_v2 import MobileNetV2, Row
from .network import Layer


class MNASNet(MobileNetV2):
  """MobileNetV2 as a search has changed it; its activation is ReLU.

  >>> from convscan.architectures import build
  >>> build('mnasnet1_0', num_classes=10).feature_info
  {'stage0': (2, 32), 'stage1': (2, 16), 'stage2': (4, 24),
   'stage3': (8, 40), 'stage4': (16, 80), 'stage5': (16, 96),
   'stage6': (32, 192), 'stage7': (32, 320), 'stage8': (32, 1280)}
  """

  norm: Layer = partial(BatchNorm, momentum=0.9997, epsilon=1e-5)
  rows: Sequence[Row] = (
    Row(1, 3, 1, 16, 1),
    Row(3, 3, 2, 24, 3),
    Row(3, 5, 2, 40, 3),
    Row(6, 5, 2, 80, 3),
    Row(6, 3, 1, 96, 2),
    Row(6, 5, 2, 192, 4),
    Row(6, 3, 1, 320, 1),
  )
  last_features: int | None = 1280
  act: Callable[[Array], Array] = nn.relu


MODELS = {
  'mnasnet0_5': partial(MNASNet, width=0.5),
  'mnasnet0_75': partial(MNASNet, width=0.75),
  'mnasnet1_0': partial(MNASNet, width=1.0),
  'mnasnet1_3': partial(MNASNet, width=1.3),
}
