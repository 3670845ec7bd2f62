"""RegNet X and Y: Radosavovic et al. 2020, https://arxiv.org/abs/2003.13678."""

import math
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import flax.linen as nn
from jax import Array

from ..layers import ConvNormAct, SqueezeExcite
from .network import Layer, Network
from .resnet import projection_shortcut
from .widths import make_divisible


class Block(nn.Module):
  """A grouped 3x3 convolution between two 1x1, all as wide, beside a shortcut.

  Attributes:
    features: the number of output channels.
    strides: of the 3x3 convolution and of the shortcut.
    conv: makes a convolution.
    norm: makes a normalisation.
    group_width: the channels of a group.
    squeeze_ratio: the channels of squeeze and excitation's inside, over those of the
      block's input; 0 for none of it.
  """

  features: int
  strides: int
  conv: Layer
  norm: Layer
  group_width: int
  squeeze_ratio: float

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[batch, height, width, channels]` to as many of `features` channels."""
    layer = partial(ConvNormAct, self.features, conv=self.conv, norm=self.norm)
    y = layer((1, 1), name='conv1')(x)
    y = layer(
      (3, 3),
      strides=self.strides,
      padding=1,
      groups=self.features // self.group_width,
      name='conv2',
    )(y)
    if self.squeeze_ratio:
      squeezed = round(self.squeeze_ratio * x.shape[-1])
      y = SqueezeExcite(squeezed, conv=self.conv, name='squeeze_excite')(y)
    y = layer((1, 1), act=None, name='conv3')(y)
    return nn.relu(y + projection_shortcut(self, x, self.features))


class Row(NamedTuple):
  """A stage.

  Attributes:
    size: the number of blocks.
    features: the number of channels.
    group_width: the channels of a group.
  """

  size: int
  features: int
  group_width: int


class RegNet(Network):
  """Stages of residual blocks, whose widths are a line, rounded.

  Block `j` is `u_j = w_0 + w_a j` wide (equation 2), rounded to a power of `w_m` times
  `w_0` (equation 4) and then to a multiple of 8 and of the group's width. Blocks of one
  width are a stage.

  Attributes:
    depth: the number of blocks.
    w_0: the width of the first.
    w_a: the slope.
    w_m: the ratio of the stages' widths.
    group_width: the channels of a group, at most a stage's.
    squeeze_ratio: of each block (0.25 in RegNetY, and 0 in RegNetX).
    stem_features: the channels of the stem.

  >>> from convscan.architectures import build
  >>> build('regnet_y_400mf', num_classes=10).feature_info
  {'stage0': (2, 32), 'stage1': (4, 48), 'stage2': (8, 104),
   'stage3': (16, 208), 'stage4': (32, 440)}
  """

  depth: int = 16
  w_0: int = 48
  w_a: float = 27.89
  w_m: float = 2.09
  group_width: int = 8
  squeeze_ratio: float = 0.0
  stem_features: int = 32

  @property
  def rows(self) -> list[Row]:
    """The stages that the fields describe."""
    sizes: Counter[int] = Counter()
    for j in range(self.depth):
      power = round(math.log(1 + self.w_a * j / self.w_0) / math.log(self.w_m))
      sizes[round(self.w_0 * self.w_m**power / 8) * 8] += 1
    return [
      Row(size, make_divisible(width, group), group)
      for width, size in sizes.items()
      for group in [min(self.group_width, width)]
    ]

  @nn.nowrap
  def stages(
    self, x: Array, conv: Layer, norm: Layer, train: bool
  ) -> Iterator[tuple[str, Array]]:
    """See `Network`."""
    block = self.rematerialised(ConvNormAct, 'stage0')
    x = block(
      self.stem_features,
      (3, 3),
      strides=2,
      padding=1,
      conv=conv,
      norm=norm,
      name='stem',
    )(x)
    yield 'stage0', x
    for i, (size, features, group_width) in enumerate(self.rows):
      stage = f'stage{i + 1}'
      block = self.rematerialised(Block, stage)
      for j in range(size):
        x = block(
          features,
          strides=1 if j else 2,
          conv=conv,
          norm=norm,
          group_width=group_width,
          squeeze_ratio=self.squeeze_ratio,
          name=f'{stage}_block{j}',
        )(x)
      yield stage, x

  @property
  def feature_info(self) -> dict[str, tuple[int, int]]:
    """See `Network`."""
    features = [self.stem_features, *(row.features for row in self.rows)]
    return {f'stage{i}': (2 ** (i + 1), n) for i, n in enumerate(features)}


# depth, w_0, w_a, w_m, group_width
_X = {
  '400mf': (22, 24, 24.48, 2.54, 16),
  '800mf': (16, 56, 35.73, 2.28, 16),
  '1_6gf': (18, 80, 34.01, 2.25, 24),
  '3_2gf': (25, 88, 26.31, 2.25, 48),
  '8gf': (23, 80, 49.56, 2.88, 120),
  '16gf': (22, 216, 55.59, 2.1, 128),
  '32gf': (23, 320, 69.86, 2.0, 168),
}
_Y = {
  '400mf': (16, 48, 27.89, 2.09, 8),
  '800mf': (14, 56, 38.84, 2.4, 16),
  '1_6gf': (27, 48, 20.71, 2.65, 24),
  '3_2gf': (21, 80, 42.63, 2.66, 24),
  '8gf': (17, 192, 76.82, 2.19, 56),
  '16gf': (18, 200, 106.23, 2.48, 112),
  '32gf': (20, 232, 115.89, 2.53, 232),
  '128gf': (27, 456, 160.83, 2.52, 264),
}
MODELS = {
  f'regnet_{kind}_{size}': partial(
    RegNet,
    depth=depth,
    w_0=w_0,
    w_a=w_a,
    w_m=w_m,
    group_width=group_width,
    squeeze_ratio=squeeze_ratio,
  )
  for kind, rows, squeeze_ratio in (('x', _X, 0.0), ('y', _Y, 0.25))
  for size, (depth, w_0, w_a, w_m, group_width) in rows.items()
}
