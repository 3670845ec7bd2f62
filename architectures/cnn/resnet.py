"""Residual networks, and their wide, grouped and squeezed descendants.

- ResNet: He et al. 2015, https://arxiv.org/abs/1512.03385. As everywhere since, a
  bottleneck's stride is in its 3x3 convolution and not its first ("v1.5").
- ResNeXt: Xie et al. 2016, https://arxiv.org/abs/1611.05431.
- Wide ResNet: Zagoruyko and Komodakis 2016, https://arxiv.org/abs/1605.07146.
- ResNet-D: He et al. 2018, https://arxiv.org/abs/1812.01187, figure 2 (c and d).
- SE-ResNet: Hu et al. 2017, https://arxiv.org/abs/1709.01507. As in timm's networks of
  these names, a block squeezes to a multiple of 8 channels; those of 64
  channels to 8, and not to the paper's sixteenth.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from ..layers import SqueezeExcite
from ..ops import avg_pool, max_pool
from .network import Layer, Network
from .widths import make_divisible


def plain_stem(x: Array, conv: Layer, norm: Layer) -> Array:
  """Convolves images by 7x7."""
  x = conv(64, (7, 7), strides=2, padding=3, use_bias=False, name='stem_conv')(x)
  return nn.relu(norm(name='stem_norm')(x))


def deep_stem(x: Array, conv: Layer, norm: Layer) -> Array:
  """Convolves images thrice by 3x3 (ResNet-C)."""
  for i, (features, strides) in enumerate(((32, 2), (32, 1), (64, 1))):
    x = conv(
      features,
      (3, 3),
      strides=strides,
      padding=1,
      use_bias=False,
      name=f'stem_conv{i}',
    )(x)
    x = nn.relu(norm(name=f'stem_norm{i}')(x))
  return x


def projection_shortcut(block: Any, x: Array, features: int) -> Array:
  """Projects a block's input where its shape is not that of the output (option B)."""
  if block.strides == 1 and x.shape[-1] == features:
    return x
  return _project(block, x, features, block.strides)


def pooled_shortcut(block: Any, x: Array, features: int) -> Array:
  """Averages before it projects, so that no pixel is left out (ResNet-D)."""
  if block.strides == 1:
    return projection_shortcut(block, x, features)
  # At an odd edge, of the pixels that there are.
  high = [(0, -n % block.strides) for n in x.shape[1:3]]
  x = avg_pool(x, (block.strides,) * 2, padding=high, count_include_pad=False)
  return _project(block, x, features, 1)


def _project(block: Any, x: Array, features: int, strides: int) -> Array:
  conv = block.conv(
    features, (1, 1), strides=strides, use_bias=False, name='shortcut_conv'
  )
  return block.norm(name='shortcut_norm')(conv(x))


def padded_shortcut(block: Any, x: Array, features: int) -> Array:
  """Takes every pixel of a block's strides, and pads the channels (option A)."""
  x = x[:, :: block.strides, :: block.strides]
  return jnp.pad(x, [(0, 0)] * 3 + [(0, features - x.shape[-1])])


class BasicBlock(nn.Module):
  """Two 3x3 convolutions beside a shortcut.

  Attributes:
    features: the number of output channels.
    strides: of the first convolution and of the shortcut.
    conv: makes a convolution.
    norm: makes a normalisation.
    groups: must be 1; so that all blocks take the same fields.
    base_width: must be 64, likewise.
    shortcut: makes what is added of the block, its input and the output's channels.
    squeeze_excite: makes a layer of the output's channels, for what is added to the
      shortcut; or None.
    last_norm: makes the last normalisation, before the shortcut is added; None is
      `norm`.
  """

  features: int
  strides: int
  conv: Layer
  norm: Layer
  groups: int = 1
  base_width: int = 64
  shortcut: Layer = projection_shortcut
  squeeze_excite: Layer | None = None
  last_norm: Layer | None = None

  expansion = 1

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[batch, height, width, channels]` to as many of `features` channels."""
    conv = partial(self.conv, kernel_size=(3, 3), padding=1, use_bias=False)
    y = conv(self.features, strides=self.strides, name='conv1')(x)
    y = nn.relu(self.norm(name='norm1')(y))
    y = conv(self.features, name='conv2')(y)
    y = (self.last_norm or self.norm)(name='norm2')(y)
    if self.squeeze_excite is not None:
      y = self.squeeze_excite(self.features, self.conv, name='squeeze_excite')(y)
    return nn.relu(y + self.shortcut(self, x, self.features))


class Bottleneck(nn.Module):
  """A 3x3 convolution between two 1x1 beside a shortcut.

  Attributes:
    features: a quarter of the number of output channels.
    strides: of the 3x3 convolution and of the shortcut.
    conv: makes a convolution.
    norm: makes a normalisation.
    groups: into how many groups the 3x3 convolution falls (the cardinality of ResNeXt).
    base_width: the channels of a group in a block of 64 features.
    shortcut: makes what is added of the block, its input and the output's channels.
    squeeze_excite: makes a layer of the output's channels, for what is added to the
      shortcut; or None.
    last_norm: makes the last normalisation, before the shortcut is added; None is
      `norm`.
  """

  features: int
  strides: int
  conv: Layer
  norm: Layer
  groups: int = 1
  base_width: int = 64
  shortcut: Layer = projection_shortcut
  squeeze_excite: Layer | None = None
  last_norm: Layer | None = None

  expansion = 4

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[batch, height, width, channels]` to one of `4 * features` channels."""
    conv = partial(self.conv, use_bias=False)
    width = self.features * self.base_width // 64 * self.groups
    outputs = self.features * self.expansion
    y = conv(width, (1, 1), name='conv1')(x)
    y = nn.relu(self.norm(name='norm1')(y))
    y = conv(
      width,
      (3, 3),
      strides=self.strides,
      padding=1,
      groups=self.groups,
      name='conv2',
    )(y)
    y = nn.relu(self.norm(name='norm2')(y))
    y = conv(outputs, (1, 1), name='conv3')(y)
    y = (self.last_norm or self.norm)(name='norm3')(y)
    if self.squeeze_excite is not None:
      y = self.squeeze_excite(outputs, self.conv, name='squeeze_excite')(y)
    return nn.relu(y + self.shortcut(self, x, outputs))


class ResNet(Network):
  """Four stages of residual blocks.

  Attributes:
    stage_sizes: the number of blocks of each stage.
    block: makes a block.
    groups: of each block.
    base_width: of each block.
    stem: maps images to 64 channels at half the size, called as `stem(x, conv, norm)`.
    shortcut: of each block.
    squeeze_excite: of each block.
    zero_init_residual: whether the scale of each block's last normalisation is
      initially 0, so that the block is its shortcut then (Goyal et al. 2017,
      https://arxiv.org/abs/1706.02677, section 5.1).

  >>> from convscan.architectures import build
  >>> model = build('resnet18', num_classes=10)
  >>> model.feature_info
  {'stage0': (2, 64), 'stage1': (4, 64), 'stage2': (8, 128),
   'stage3': (16, 256), 'stage4': (32, 512)}
  """

  stage_sizes: Sequence[int] = (2, 2, 2, 2)
  block: Any = BasicBlock
  groups: int = 1
  base_width: int = 64
  stem: Layer = plain_stem
  shortcut: Layer = projection_shortcut
  squeeze_excite: Layer | None = None
  zero_init_residual: bool = False

  @nn.nowrap
  def stages(
    self, x: Array, conv: Layer, norm: Layer, train: bool
  ) -> Iterator[tuple[str, Array]]:
    """See `Network`."""
    x = self.stem(x, conv, norm)
    yield 'stage0', x
    x = max_pool(x, (3, 3), strides=2, padding=1)
    zeros = nn.initializers.zeros_init()
    last_norm = partial(norm, scale_init=zeros) if self.zero_init_residual else norm
    for i, size in enumerate(self.stage_sizes):
      stage = f'stage{i + 1}'
      block = self.rematerialised(self.block, stage)
      for j in range(size):
        x = block(
          64 * 2**i,
          strides=2 if i > 0 and j == 0 else 1,
          conv=conv,
          norm=norm,
          groups=self.groups,
          base_width=self.base_width,
          shortcut=self.shortcut,
          squeeze_excite=self.squeeze_excite,
          last_norm=last_norm,
          name=f'{stage}_block{j}',
        )(x)
      yield stage, x

  @property
  def feature_info(self) -> dict[str, tuple[int, int]]:
    """See `Network`."""
    channels = 64 * self.block.expansion
    stages = range(len(self.stage_sizes))
    maps = {f'stage{i + 1}': (4 * 2**i, channels * 2**i) for i in stages}
    return {'stage0': (2, 64), **maps}


def squeeze_excite(channels: int, conv: Layer, name: str) -> SqueezeExcite:
  """Makes a layer that squeezes to a sixteenth of the channels."""
  return SqueezeExcite(make_divisible(channels / 16), conv=conv, name=name)


_basic = partial(ResNet, block=BasicBlock)
_bottleneck = partial(ResNet, block=Bottleneck)

MODELS = {
  'resnet18': partial(_basic, stage_sizes=(2, 2, 2, 2)),
  'resnet34': partial(_basic, stage_sizes=(3, 4, 6, 3)),
  'resnet50': partial(_bottleneck, stage_sizes=(3, 4, 6, 3)),
  'resnet101': partial(_bottleneck, stage_sizes=(3, 4, 23, 3)),
  'resnet152': partial(_bottleneck, stage_sizes=(3, 8, 36, 3)),
}
MODELS |= {
  'resnext50_32x4d': partial(MODELS['resnet50'], groups=32, base_width=4),
  'resnext101_32x8d': partial(MODELS['resnet101'], groups=32, base_width=8),
  'resnext101_64x4d': partial(MODELS['resnet101'], groups=64, base_width=4),
  'wide_resnet50_2': partial(MODELS['resnet50'], base_width=128),
  'wide_resnet101_2': partial(MODELS['resnet101'], base_width=128),
}
for _depth in (18, 34, 50, 101, 152):
  _plain = MODELS[f'resnet{_depth}']
  MODELS[f'resnet{_depth}d'] = partial(_plain, stem=deep_stem, shortcut=pooled_shortcut)
  MODELS[f'seresnet{_depth}'] = partial(_plain, squeeze_excite=squeeze_excite)
MODELS['resnet26d'] = partial(MODELS['resnet50d'], stage_sizes=(2, 2, 2, 2))
