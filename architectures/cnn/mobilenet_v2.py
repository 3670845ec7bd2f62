"""MobileNetV2: Sandler et al. 2018, https://arxiv.org/abs/1801.04381."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
from jax import Array

from ..layers import ConvNormAct
from .inverted_residual import InvertedResidual
from .network import Layer, Network
from .widths import make_divisible


class Row(NamedTuple):
  """A stage, as a row of the paper's table 2.

  Attributes:
    expansion: the channels of a block's inside, over those of its input.
    window: the size of its convolution.
    strides: of the first block.
    features: the number of output channels, before scaling.
    size: the number of blocks.
  """

  expansion: int
  window: int
  strides: int
  features: int
  size: int


class MobileNetV2(Network):
  """A stem, stages of inverted residuals, and a 1x1 convolution, the last stage.

  Attributes:
    rows: the stages between the two.
    width: what all channels but the last stage's are scaled by.
    last_features: those of the last stage; None for 1280, scaled by a width above 1.
    act: the activation.
    dropout_rate: of the dropout before the logits.

  >>> from convscan.architectures import build
  >>> build('mobilenet_v2', num_classes=10).feature_info
  {'stage0': (2, 32), 'stage1': (2, 16), 'stage2': (4, 24),
   'stage3': (8, 32), 'stage4': (16, 64), 'stage5': (16, 96),
   'stage6': (32, 160), 'stage7': (32, 320), 'stage8': (32, 1280)}
  """

  rows: Sequence[Row] = (
    Row(1, 3, 1, 16, 1),
    Row(6, 3, 2, 24, 2),
    Row(6, 3, 2, 32, 3),
    Row(6, 3, 2, 64, 4),
    Row(6, 3, 1, 96, 3),
    Row(6, 3, 2, 160, 3),
    Row(6, 3, 1, 320, 1),
  )
  width: float = 1.0
  last_features: int | None = None
  act: Callable[[Array], Array] = nn.relu6
  dropout_rate: float = 0.2

  @nn.nowrap
  def stages(
    self, x: Array, conv: Layer, norm: Layer, train: bool
  ) -> Iterator[tuple[str, Array]]:
    """See `Network`."""
    del train
    (first, (_, stem)), *middle, (last, (_, wide)) = self.feature_info.items()
    options: dict[str, Any] = {'conv': conv, 'norm': norm, 'act': self.act}
    block = self.rematerialised(ConvNormAct, first)
    x = block(stem, (3, 3), strides=2, padding=1, name='stem', **options)(x)
    yield first, x
    for (stage, (_, features)), row in zip(middle, self.rows, strict=True):
      block = self.rematerialised(InvertedResidual, stage)
      for j in range(row.size):
        x = block(
          features,
          x.shape[-1] * row.expansion,
          row.window,
          strides=1 if j else row.strides,
          name=f'{stage}_block{j}',
          **options,
        )(x)
      yield stage, x
    block = self.rematerialised(ConvNormAct, last)
    yield last, block(wide, (1, 1), name=f'{last}_block0', **options)(x)

  @property
  def feature_info(self) -> dict[str, tuple[int, int]]:
    """See `Network`."""
    stride = 2
    info = {'stage0': (stride, make_divisible(32 * self.width))}
    for row in self.rows:
      stride *= row.strides
      info[f'stage{len(info)}'] = stride, make_divisible(row.features * self.width)
    last = self.last_features or make_divisible(1280 * max(1.0, self.width))
    return {**info, f'stage{len(info)}': (stride, last)}


MODELS = {'mobilenet_v2': partial(MobileNetV2)}
