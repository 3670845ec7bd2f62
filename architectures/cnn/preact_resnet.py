"""Residual networks that normalise before they convolve, for images of 32x32 pixels.

- Pre-activation ResNet: He et al. 2016, https://arxiv.org/abs/1603.05027.
- Wide ResNet: Zagoruyko and Komodakis 2016, https://arxiv.org/abs/1605.07146.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import flax.linen as nn
from jax import Array

from ..layers import Dropout
from .network import Head, Layer, Network


class PreActBlock(nn.Module):
  """Convolutions, before each a normalisation and a ReLU, beside a shortcut.

  Attributes:
    features: the number of output channels.
    strides: of the first convolution and of the shortcut.
    conv: makes a convolution.
    norm: makes a normalisation.
    dropout: makes the dropout before the last convolution.
    windows: the heights and widths of the convolutions' kernels.
    expansion: the output channels, over those of all convolutions but the last.
    first: whether the shortcut, too, starts after the first ReLU, as it does in the
      first block of a stage; it then has a 1x1 convolution if the shapes differ.
  """

  features: int
  strides: int
  conv: Layer
  norm: Layer
  dropout: Layer
  windows: Sequence[int]
  expansion: int
  first: bool

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[batch, height, width, channels]` to as many of `features` channels."""
    conv = partial(self.conv, use_bias=False)
    y, strides, last = x, self.strides, len(self.windows)
    for i, window in enumerate(self.windows, start=1):
      y = nn.relu(self.norm(name=f'norm{i}')(y))
      if i == 1 and self.first:
        x = y
      if i == last:
        y = self.dropout(name='dropout')(y)
      y = conv(
        self.features if i == last else self.features // self.expansion,
        (window, window),
        strides=strides,
        padding=window // 2,
        name=f'conv{i}',
      )(y)
      strides = 1
    if self.strides > 1 or x.shape[-1] != self.features:
      shortcut = conv(self.features, (1, 1), strides=self.strides, name='shortcut_conv')
      x = shortcut(x)
    return x + y


class PreActResNet(Network):
  """A 3x3 convolution and stages of blocks; the last is normalised, then a ReLU.

  As in the authors' code, a bottleneck's stride is in its first convolution.

  Attributes:
    stage_sizes: the number of blocks of each stage.
    channels: of each stage.
    stem_channels: of the first convolution.
    windows: the heights and widths of the kernels of a block.
    expansion: the output channels of a block, over those of all its convolutions but
      the last.
    dropout_rate: of the dropout before the last convolution of each block.

  >>> from convscan.architectures import build
  >>> build('wide_resnet28_10').feature_info
  {'stage0': (1, 16), 'stage1': (1, 160), 'stage2': (2, 320), 'stage3': (4, 640)}
  """

  num_classes: int = 10
  stage_sizes: Sequence[int] = (18, 18, 18)
  channels: Sequence[int] = (16, 32, 64)
  stem_channels: int = 16
  windows: Sequence[int] = (3, 3)
  expansion: int = 1

  @nn.nowrap
  def stages(
    self, x: Array, conv: Layer, norm: Layer, train: bool
  ) -> Iterator[tuple[str, Array]]:
    """See `Network`."""
    stem = conv(self.stem_channels, (3, 3), padding=1, use_bias=False, name='stem_conv')
    x = stem(x)
    yield 'stage0', x
    last = len(self.stage_sizes) - 1
    for i, size in enumerate(self.stage_sizes):
      stage = f'stage{i + 1}'
      block = self.rematerialised(PreActBlock, stage)
      for j in range(size):
        x = block(
          self.channels[i],
          strides=2 if i > 0 and j == 0 else 1,
          conv=conv,
          norm=norm,
          dropout=partial(Dropout, self.dropout_rate, deterministic=not train),
          windows=self.windows,
          expansion=self.expansion,
          first=j == 0,
          name=f'{stage}_block{j}',
        )(x)
      if i == last:
        x = nn.relu(norm(name='last_norm')(x))
      yield stage, x

  @property
  def feature_info(self) -> dict[str, tuple[int, int]]:
    """See `Network`."""
    maps = {f'stage{i + 1}': (2**i, c) for i, c in enumerate(self.channels)}
    return {'stage0': (1, self.stem_channels), **maps}

  @nn.nowrap
  def make_head(self) -> nn.Module:
    """See `Network`."""
    return Head(self.num_classes, param_dtype=self.param_dtype)


_bottleneck = partial(
  PreActResNet, channels=(64, 128, 256), windows=(1, 3, 1), expansion=4
)
MODELS = {
  'preact_resnet110_cifar': partial(PreActResNet),
  'preact_resnet164_cifar': partial(_bottleneck, stage_sizes=(18, 18, 18)),
  'preact_resnet1001_cifar': partial(_bottleneck, stage_sizes=(111, 111, 111)),
}
# The number of layers, and by how much the blocks are wider than 16, 32 and 64.
_WIDE = ((16, 8), (28, 10), (40, 4))
MODELS |= {
  f'wide_resnet{depth}_{k}': partial(
    PreActResNet,
    stage_sizes=((depth - 4) // 6,) * 3,
    channels=(16 * k, 32 * k, 64 * k),
  )
  for depth, k in _WIDE
}
