"""EfficientNets, versions 1 and 2.

- EfficientNet: Tan and Le 2019, https://arxiv.org/abs/1905.11946.
- EfficientNetV2: Tan and Le 2021, https://arxiv.org/abs/2104.00298.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
from jax import Array

from ..layers import BatchNorm, ConvNormAct, SqueezeExcite
from .inverted_residual import FusedInvertedResidual, InvertedResidual
from .network import Layer, Network
from .widths import make_divisible


class Row(NamedTuple):
  """A stage, as a row of the papers' tables.

  Attributes:
    fused: whether its blocks are fused; else they have squeeze and excitation.
    expansion: the channels of a block's inside, over those of its input.
    window: the size of its convolution.
    strides: of the first block.
    features: the number of output channels, before scaling.
    size: the number of blocks, before scaling.
  """

  fused: bool
  expansion: int
  window: int
  strides: int
  features: int
  size: int


_V1 = (
  Row(False, 1, 3, 1, 16, 1),
  Row(False, 6, 3, 2, 24, 2),
  Row(False, 6, 5, 2, 40, 2),
  Row(False, 6, 3, 2, 80, 3),
  Row(False, 6, 5, 1, 112, 3),
  Row(False, 6, 5, 2, 192, 4),
  Row(False, 6, 3, 1, 320, 1),
)
_V2_S = (
  Row(True, 1, 3, 1, 24, 2),
  Row(True, 4, 3, 2, 48, 4),
  Row(True, 4, 3, 2, 64, 4),
  Row(False, 4, 3, 2, 128, 6),
  Row(False, 6, 3, 1, 160, 9),
  Row(False, 6, 3, 2, 256, 15),
)
_V2_M = (
  Row(True, 1, 3, 1, 24, 3),
  Row(True, 4, 3, 2, 48, 5),
  Row(True, 4, 3, 2, 80, 5),
  Row(False, 4, 3, 2, 160, 7),
  Row(False, 6, 3, 1, 176, 14),
  Row(False, 6, 3, 2, 304, 18),
  Row(False, 6, 3, 1, 512, 5),
)
_V2_L = (
  Row(True, 1, 3, 1, 32, 4),
  Row(True, 4, 3, 2, 64, 7),
  Row(True, 4, 3, 2, 96, 7),
  Row(False, 4, 3, 2, 192, 10),
  Row(False, 6, 3, 1, 224, 19),
  Row(False, 6, 3, 2, 384, 25),
  Row(False, 6, 3, 1, 640, 7),
)


class EfficientNet(Network):
  """A stem, stages of inverted residuals, and a 1x1 convolution, the last stage.

  Attributes:
    rows: the stages between the two.
    width: what all channels but the last stage's are scaled by.
    depth: what the numbers of blocks are scaled by.
    stem_features: the channels of the stem, before scaling.
    last_features: those of the last stage; None for four times the stage before.
    dropout_rate: of the dropout before the logits.
    stochastic_depth_rate: what the probability of dropping a block rises towards, from
      0 at the first.

  >>> from convscan.architectures import build
  >>> build('efficientnet_b0', num_classes=10).feature_info
  {'stage0': (2, 32), 'stage1': (2, 16), 'stage2': (4, 24), 'stage3': (8, 40),
   'stage4': (16, 80), 'stage5': (16, 112), 'stage6': (32, 192),
   'stage7': (32, 320), 'stage8': (32, 1280)}
  """

  rows: Sequence[Row] = _V1
  width: float = 1.0
  depth: float = 1.0
  stem_features: int = 32
  last_features: int | None = None
  dropout_rate: float = 0.2
  stochastic_depth_rate: float = 0.2

  @nn.nowrap
  def stages(
    self, x: Array, conv: Layer, norm: Layer, train: bool
  ) -> Iterator[tuple[str, Array]]:
    """See `Network`."""
    (first, (_, stem)), *middle, (last, (_, wide)) = self.feature_info.items()
    options: dict[str, Any] = {'conv': conv, 'norm': norm, 'act': nn.silu}
    block = self.rematerialised(ConvNormAct, first)
    x = block(stem, (3, 3), strides=2, padding=1, name='stem', **options)(x)
    yield first, x
    sizes = [math.ceil(row.size * self.depth) for row in self.rows]
    index = 0
    for (stage, (_, features)), row, size in zip(middle, self.rows, sizes, strict=True):
      block = self.rematerialised(
        FusedInvertedResidual if row.fused else InvertedResidual, stage
      )
      for j in range(size):
        more: dict[str, Any] = {}
        if not row.fused:
          squeezed = max(1, x.shape[-1] // 4)
          more['squeeze_excite'] = partial(SqueezeExcite, squeezed, act=nn.silu)
        x = block(
          features,
          make_divisible(x.shape[-1] * row.expansion),
          row.window,
          strides=1 if j else row.strides,
          stochastic_depth_rate=self.stochastic_depth_rate * index / sum(sizes),
          train=train,
          name=f'{stage}_block{j}',
          **options,
          **more,
        )(x)
        index += 1
      yield stage, x
    block = self.rematerialised(ConvNormAct, last)
    yield last, block(wide, (1, 1), name=f'{last}_block0', **options)(x)

  @property
  def feature_info(self) -> dict[str, tuple[int, int]]:
    """See `Network`."""
    stride, features = 2, make_divisible(self.stem_features * self.width)
    info = {'stage0': (stride, features)}
    for row in self.rows:
      stride *= row.strides
      features = make_divisible(row.features * self.width)
      info[f'stage{len(info)}'] = stride, features
    return {**info, f'stage{len(info)}': (stride, self.last_features or 4 * features)}


class EfficientNetV2(EfficientNet):
  """The same, whose first stages are fused.

  >>> from convscan.architectures import build
  >>> build('efficientnet_v2_s').feature_info['stage7']
  (32, 1280)
  """

  norm: Layer = partial(BatchNorm, momentum=0.9, epsilon=1e-3)
  rows: Sequence[Row] = _V2_S
  stem_features: int = 24
  last_features: int | None = 1280

  min_size = 33


# B5 and larger were trained elsewhere.
_norm = partial(BatchNorm, momentum=0.99, epsilon=1e-3)

MODELS = {
  'efficientnet_b0': partial(EfficientNet, width=1.0, depth=1.0, dropout_rate=0.2),
  'efficientnet_b1': partial(EfficientNet, width=1.0, depth=1.1, dropout_rate=0.2),
  'efficientnet_b2': partial(EfficientNet, width=1.1, depth=1.2, dropout_rate=0.3),
  'efficientnet_b3': partial(EfficientNet, width=1.2, depth=1.4, dropout_rate=0.3),
  'efficientnet_b4': partial(EfficientNet, width=1.4, depth=1.8, dropout_rate=0.4),
  'efficientnet_b5': partial(
    EfficientNet, width=1.6, depth=2.2, dropout_rate=0.4, norm=_norm
  ),
  'efficientnet_b6': partial(
    EfficientNet, width=1.8, depth=2.6, dropout_rate=0.5, norm=_norm
  ),
  'efficientnet_b7': partial(
    EfficientNet, width=2.0, depth=3.1, dropout_rate=0.5, norm=_norm
  ),
  'efficientnet_v2_s': partial(
    EfficientNetV2, rows=_V2_S, stem_features=24, dropout_rate=0.2
  ),
  'efficientnet_v2_m': partial(
    EfficientNetV2, rows=_V2_M, stem_features=24, dropout_rate=0.3
  ),
  'efficientnet_v2_l': partial(
    EfficientNetV2, rows=_V2_L, stem_features=32, dropout_rate=0.4
  ),
}
