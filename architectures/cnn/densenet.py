"""DenseNet: Huang et al. 2016, https://arxiv.org/abs/1608.06993.

These are the networks "BC": with bottlenecks, and halved between the stages.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from ..layers import Dropout
from ..ops import avg_pool, max_pool
from .network import Head, Layer, Network


class DenseLayer(nn.Module):
  """A 1x1 and a 3x3 convolution of all the maps before, each after norm and ReLU.

  Attributes:
    growth: the number of output channels; four times that between the convolutions.
    conv: makes a convolution.
    norm: makes a normalisation.
    dropout: makes the dropout of the output.
  """

  growth: int
  conv: Layer
  norm: Layer
  dropout: Layer

  @nn.compact
  def __call__(self, maps: Sequence[Array]) -> Array:
    """Maps maps `[batch, height, width, ...]` to one of `growth` channels."""
    # Joined here, so that rematerialised layers store no joined maps.
    x = nn.relu(self.norm(name='norm1')(jnp.concatenate(maps, -1)))
    x = self.conv(4 * self.growth, (1, 1), use_bias=False, name='conv1')(x)
    x = nn.relu(self.norm(name='norm2')(x))
    x = self.conv(self.growth, (3, 3), padding=1, use_bias=False, name='conv2')(x)
    return self.dropout(name='dropout')(x)


class ReLUHead(Head):
  """`Head` after a ReLU."""

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """See `Head`."""
    return super().__call__(nn.relu(x), train=train)


class DenseNet(Network):
  """Four stages, in each of which every layer sees the outputs of all before it.

  The last map is normalised; the head begins with its ReLU.

  Attributes:
    stage_sizes: the number of layers of each stage.
    growth: the number of channels that a layer adds.
    stem_features: the number of channels before the first stage.
    dropout_rate: of the dropout after each layer.

  >>> from convscan.architectures import build
  >>> build('densenet121', num_classes=10).feature_info
  {'stage0': (2, 64), 'stage1': (4, 256), 'stage2': (8, 512),
   'stage3': (16, 1024), 'stage4': (32, 1024)}
  """

  stage_sizes: Sequence[int] = (6, 12, 24, 16)
  growth: int = 32
  stem_features: int = 64
  dropout_rate: float = 0.0

  min_size = 29

  @nn.nowrap
  def stages(
    self, x: Array, conv: Layer, norm: Layer, train: bool
  ) -> Iterator[tuple[str, Array]]:
    """See `Network`."""
    dropout = partial(Dropout, self.dropout_rate, deterministic=not train)
    conv0 = partial(conv, strides=2, padding=3, use_bias=False, name='stem_conv')
    x = conv0(self.stem_features, (7, 7))(x)
    x = nn.relu(norm(name='stem_norm')(x))
    yield 'stage0', x
    for i, size in enumerate(self.stage_sizes):
      stage = f'stage{i + 1}'
      if i == 0:
        x = max_pool(x, (3, 3), strides=2, padding=1)
      else:
        x = nn.relu(norm(name=f'transition{i}_norm')(x))
        halved = x.shape[-1] // 2
        x = conv(halved, (1, 1), use_bias=False, name=f'transition{i}_conv')(x)
        x = avg_pool(x, (2, 2))
      layer = self.rematerialised(DenseLayer, stage)
      maps = [x]
      for j in range(size):
        name = f'{stage}_block{j}'
        maps.append(layer(self.growth, conv, norm, dropout, name=name)(maps))
      x = jnp.concatenate(maps, -1)
      if i == len(self.stage_sizes) - 1:
        x = norm(name='last_norm')(x)
      yield stage, x

  @property
  def feature_info(self) -> dict[str, tuple[int, int]]:
    """See `Network`."""
    maps = {'stage0': (2, self.stem_features)}
    channels = self.stem_features
    for i, size in enumerate(self.stage_sizes):
      channels = (channels if i == 0 else channels // 2) + size * self.growth
      maps[f'stage{i + 1}'] = (4 * 2**i, channels)
    return maps

  @nn.nowrap
  def make_head(self) -> nn.Module:
    """See `Network`."""
    return ReLUHead(self.num_classes, param_dtype=self.param_dtype)


MODELS = {
  'densenet121': partial(DenseNet, stage_sizes=(6, 12, 24, 16)),
  'densenet161': partial(
    DenseNet, stage_sizes=(6, 12, 36, 24), growth=48, stem_features=96
  ),
  'densenet169': partial(DenseNet, stage_sizes=(6, 12, 32, 32)),
  'densenet201': partial(DenseNet, stage_sizes=(6, 12, 48, 32)),
}
