"""MobileNetV3: Howard et al. 2019, https://arxiv.org/abs/1905.02244."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
from jax import Array

from ..layers import BatchNorm, ConvNormAct, SqueezeExcite
from .inverted_residual import InvertedResidual
from .network import DenseHead, Layer, Network
from .widths import make_divisible


class Row(NamedTuple):
  """A block, as a row of the paper's tables 1 and 2.

  Attributes:
    window: the size of the depthwise convolution.
    expanded: its number of channels.
    features: the number of output channels.
    squeeze: whether it has squeeze and excitation.
    act: the activation.
  """

  window: int
  expanded: int
  features: int
  squeeze: bool
  act: Callable[[Array], Array]


_LARGE = (
  (Row(3, 16, 16, False, nn.relu),),
  (
    Row(3, 64, 24, False, nn.relu),
    Row(3, 72, 24, False, nn.relu),
  ),
  (
    Row(5, 72, 40, True, nn.relu),
    Row(5, 120, 40, True, nn.relu),
    Row(5, 120, 40, True, nn.relu),
  ),
  (
    Row(3, 240, 80, False, nn.hard_swish),
    Row(3, 200, 80, False, nn.hard_swish),
    Row(3, 184, 80, False, nn.hard_swish),
    Row(3, 184, 80, False, nn.hard_swish),
    Row(3, 480, 112, True, nn.hard_swish),
    Row(3, 672, 112, True, nn.hard_swish),
  ),
  (
    Row(5, 672, 160, True, nn.hard_swish),
    Row(5, 960, 160, True, nn.hard_swish),
    Row(5, 960, 160, True, nn.hard_swish),
  ),
)
_SMALL = (
  (Row(3, 16, 16, True, nn.relu),),
  (
    Row(3, 72, 24, False, nn.relu),
    Row(3, 88, 24, False, nn.relu),
  ),
  (
    Row(5, 96, 40, True, nn.hard_swish),
    Row(5, 240, 40, True, nn.hard_swish),
    Row(5, 240, 40, True, nn.hard_swish),
    Row(5, 120, 48, True, nn.hard_swish),
    Row(5, 144, 48, True, nn.hard_swish),
  ),
  (
    Row(5, 288, 96, True, nn.hard_swish),
    Row(5, 576, 96, True, nn.hard_swish),
    Row(5, 576, 96, True, nn.hard_swish),
  ),
)


class MobileNetV3(Network):
  """A stem, stages of inverted residuals, and a 1x1 convolution, the last stage.

  Attributes:
    blocks: the blocks of each stage.
    stage_strides: the strides of the first block of each.
    hidden: the width of the dense layer before the logits.
    dropout_rate: of the dropout between the two.

  >>> from convscan.architectures import build
  >>> build('mobilenet_v3_small', num_classes=10).feature_info
  {'stage0': (2, 16), 'stage1': (4, 16), 'stage2': (8, 24),
   'stage3': (16, 48), 'stage4': (32, 96), 'stage5': (32, 576)}
  """

  norm: Layer = partial(BatchNorm, momentum=0.99, epsilon=1e-3)
  blocks: Sequence[Sequence[Row]] = _SMALL
  stage_strides: Sequence[int] = (2, 2, 2, 2)
  hidden: int = 1024
  dropout_rate: float = 0.2

  @nn.nowrap
  def stages(
    self, x: Array, conv: Layer, norm: Layer, train: bool
  ) -> Iterator[tuple[str, Array]]:
    """See `Network`."""
    (first, (_, stem)), *_, (last, (_, wide)) = self.feature_info.items()
    ends: dict[str, Any] = {'conv': conv, 'norm': norm, 'act': nn.hard_swish}
    block = self.rematerialised(ConvNormAct, first)
    x = block(stem, (3, 3), strides=2, padding=1, name='stem', **ends)(x)
    yield first, x
    for i, rows in enumerate(self.blocks):
      stage = f'stage{i + 1}'
      block = self.rematerialised(InvertedResidual, stage)
      for j, row in enumerate(rows):
        squeeze_excite = partial(
          SqueezeExcite, make_divisible(row.expanded // 4), gate=nn.hard_sigmoid
        )
        x = block(
          row.features,
          row.expanded,
          row.window,
          strides=1 if j else self.stage_strides[i],
          conv=conv,
          norm=norm,
          act=row.act,
          squeeze_excite=squeeze_excite if row.squeeze else None,
          name=f'{stage}_block{j}',
        )(x)
      yield stage, x
    block = self.rematerialised(ConvNormAct, last)
    yield last, block(wide, (1, 1), name=f'{last}_block0', **ends)(x)

  @property
  def feature_info(self) -> dict[str, tuple[int, int]]:
    """See `Network`."""
    stride, features = 2, 16
    info = {'stage0': (stride, features)}
    for rows, strides in zip(self.blocks, self.stage_strides, strict=True):
      stride, features = stride * strides, rows[-1].features
      info[f'stage{len(info)}'] = stride, features
    return {**info, f'stage{len(info)}': (stride, 6 * features)}

  @nn.nowrap
  def make_head(self) -> nn.Module:
    """See `Network`."""
    return DenseHead(
      self.num_classes,
      hidden=(self.hidden,),
      act=nn.hard_swish,
      pool_size=1,
      dropout_rate=self.dropout_rate,
      dropout_before=(1,),
      dtype=self.dtype,
      param_dtype=self.param_dtype,
    )


MODELS = {
  'mobilenet_v3_large': partial(
    MobileNetV3, blocks=_LARGE, stage_strides=(1, 2, 2, 2, 2), hidden=1280
  ),
  'mobilenet_v3_small': partial(
    MobileNetV3, blocks=_SMALL, stage_strides=(2, 2, 2, 2), hidden=1024
  ),
}
