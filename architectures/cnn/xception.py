"""Xception: Chollet 2017, https://arxiv.org/abs/1610.02357, figure 5.

As in timm's `legacy_xception`, maps are padded alike on both sides, and normalisations
have an epsilon of 1e-5; the author's Keras pads as `'SAME'` does, and has 1e-3.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import flax.linen as nn
from jax import Array

from ..layers import ConvNormAct
from ..ops import max_pool
from .network import Layer, Network


class SeparableConvNorm(nn.Module):
  """A depthwise 3x3 convolution, a 1x1 across the channels, and a normalisation.

  Attributes:
    features: the number of output channels.
    conv: makes a convolution.
    norm: makes a normalisation.
  """

  features: int
  conv: Layer
  norm: Layer

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[batch, height, width, channels]` to as many of `features` channels."""
    channels = x.shape[-1]
    conv = partial(self.conv, use_bias=False)
    x = conv(channels, (3, 3), padding=1, groups=channels, name='depthwise')(x)
    return self.norm(name='norm')(conv(self.features, (1, 1), name='pointwise')(x))


class Block(nn.Module):
  """Separable convolutions, before each a ReLU, and a pool, beside a shortcut.

  The paper has none before the first block, whose input has been through one already.

  Attributes:
    widths: the numbers of output channels of the convolutions.
    strides: of the pool and of the shortcut's convolution; neither is where it is 1.
    conv: makes a convolution.
    norm: makes a normalisation.
  """

  widths: Sequence[int]
  strides: int
  conv: Layer
  norm: Layer

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[batch, height, width, channels]` to one of the last width's channels."""
    y = x
    for i, width in enumerate(self.widths):
      layer = SeparableConvNorm(width, self.conv, self.norm, name=f'conv{i + 1}')
      y = layer(nn.relu(y))
    if self.strides > 1:
      y = max_pool(y, (3, 3), strides=self.strides, padding=1)
      shortcut = ConvNormAct(
        self.widths[-1],
        (1, 1),
        strides=self.strides,
        conv=self.conv,
        norm=self.norm,
        act=None,
        name='shortcut',
      )
      x = shortcut(x)
    return x + y


class Xception(Network):
  """Two convolutions, blocks in four stages, and two separable convolutions.

  Attributes:
    stem_widths: the channels of the first two convolutions.
    blocks: the widths of each block, by stage; the first of a stage halves the map.
    last_widths: the channels of the last two convolutions, which are of stage 4.

  >>> from convscan.architectures import build
  >>> build('xception', num_classes=10).feature_info
  {'stage0': (2, 64), 'stage1': (4, 128), 'stage2': (8, 256),
   'stage3': (16, 728), 'stage4': (32, 2048)}
  """

  stem_widths: Sequence[int] = (32, 64)
  blocks: Sequence[Sequence[Sequence[int]]] = (
    ((128, 128),),
    ((256, 256),),
    ((728, 728), *[(728, 728, 728)] * 8),
    ((728, 1024),),
  )
  last_widths: Sequence[int] = (1536, 2048)

  min_size = 7

  @nn.nowrap
  def stages(
    self, x: Array, conv: Layer, norm: Layer, train: bool
  ) -> Iterator[tuple[str, Array]]:
    """See `Network`."""
    del train
    stem = self.rematerialised(ConvNormAct, 'stage0')
    for i, width in enumerate(self.stem_widths):
      strides = 1 if i else 2
      layer = stem(
        width, (3, 3), strides=strides, conv=conv, norm=norm, name=f'stem{i + 1}'
      )
      x = layer(x)
    yield 'stage0', x
    for i, blocks in enumerate(self.blocks):
      stage = f'stage{i + 1}'
      block = self.rematerialised(Block, stage)
      for j, widths in enumerate(blocks):
        x = block(
          widths,
          strides=1 if j else 2,
          conv=conv,
          norm=norm,
          name=f'{stage}_block{j}',
        )(x)
      if i == len(self.blocks) - 1:
        last = self.rematerialised(SeparableConvNorm, stage)
        for j, width in enumerate(self.last_widths):
          x = nn.relu(last(width, conv, norm, name=f'last{j + 1}')(x))
      yield stage, x

  @property
  def feature_info(self) -> dict[str, tuple[int, int]]:
    """See `Network`."""
    channels = [self.stem_widths[-1], *(blocks[-1][-1] for blocks in self.blocks)]
    channels[-1] = self.last_widths[-1]
    return {f'stage{i}': (2 ** (i + 1), n) for i, n in enumerate(channels)}


MODELS = {'xception': partial(Xception)}
