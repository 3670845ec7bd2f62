"""ShuffleNet v2: Ma et al. 2018, https://arxiv.org/abs/1807.11164."""

from collections.abc import Iterator, Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from ..layers import ConvNormAct
from ..ops import max_pool
from .network import Layer, Network


class ShuffleBlock(nn.Module):
  """Two branches, each half of the output's channels, which then take turns.

  With stride 1 each gets half of the channels, and one leaves its half as it is; with
  stride 2 each gets all, and both convolve.

  Attributes:
    features: the number of output channels, which is even.
    strides: of the depthwise convolutions.
    conv: makes a convolution.
    norm: makes a normalisation.
  """

  features: int
  strides: int
  conv: Layer
  norm: Layer

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[batch, height, width, channels]` to as many of `features` channels."""
    layer = partial(ConvNormAct, conv=self.conv, norm=self.norm)
    half = self.features // 2

    def depthwise(x: Array, name: str) -> Array:
      channels = x.shape[-1]
      return layer(
        channels,
        (3, 3),
        strides=self.strides,
        padding=1,
        groups=channels,
        act=None,
        name=name,
      )(x)

    if self.strides == 1:
      left, right = jnp.split(x, 2, -1)
    else:
      left, right = depthwise(x, 'left_depthwise'), x
      left = layer(half, (1, 1), name='left_project')(left)
    right = layer(half, (1, 1), name='expand')(right)
    right = depthwise(right, 'depthwise')
    right = layer(half, (1, 1), name='project')(right)
    # The shuffle of two groups.
    return jnp.stack([left, right], -1).reshape(*left.shape[:-1], self.features)


class ShuffleNetV2(Network):
  """Three stages of shuffled blocks, and a 1x1 convolution as the fourth.

  Attributes:
    stage_sizes: the number of blocks of each of the three.
    widths: the number of channels of each of the four.

  >>> from convscan.architectures import build
  >>> build('shufflenet_v2_x1_0', num_classes=10).feature_info
  {'stage0': (2, 24), 'stage1': (8, 116), 'stage2': (16, 232),
   'stage3': (32, 464), 'stage4': (32, 1024)}
  """

  stage_sizes: Sequence[int] = (4, 8, 4)
  widths: Sequence[int] = (116, 232, 464, 1024)

  @nn.nowrap
  def stages(
    self, x: Array, conv: Layer, norm: Layer, train: bool
  ) -> Iterator[tuple[str, Array]]:
    """See `Network`."""
    del train

    def layer(stage: str, window: int, **options: int | str) -> Layer:
      block = self.rematerialised(ConvNormAct, stage)
      _, channels = self.feature_info[stage]
      return block(channels, (window, window), conv=conv, norm=norm, **options)

    x = layer('stage0', 3, strides=2, padding=1, name='stem')(x)
    yield 'stage0', x
    x = max_pool(x, (3, 3), strides=2, padding=1)
    for i, size in enumerate(self.stage_sizes):
      stage = f'stage{i + 1}'
      block = self.rematerialised(ShuffleBlock, stage)
      for j in range(size):
        x = block(
          self.widths[i],
          strides=2 if j == 0 else 1,
          conv=conv,
          norm=norm,
          name=f'{stage}_block{j}',
        )(x)
      yield stage, x
    yield 'stage4', layer('stage4', 1, name='stage4_block0')(x)

  @property
  def feature_info(self) -> dict[str, tuple[int, int]]:
    """See `Network`."""
    strides = (8, 16, 32, 32)
    sizes = zip(strides, self.widths, strict=True)
    return {'stage0': (2, 24)} | {f'stage{i}': s for i, s in enumerate(sizes, start=1)}


_WIDTHS = {
  'shufflenet_v2_x0_5': (48, 96, 192, 1024),
  'shufflenet_v2_x1_0': (116, 232, 464, 1024),
  'shufflenet_v2_x1_5': (176, 352, 704, 1024),
  'shufflenet_v2_x2_0': (244, 488, 976, 2048),
}
MODELS = {name: partial(ShuffleNetV2, widths=w) for name, w in _WIDTHS.items()}
