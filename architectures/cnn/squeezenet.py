"""SqueezeNet: Iandola et al. 2016, https://arxiv.org/abs/1602.07360."""

from collections.abc import Iterator, Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Dtype
from jax import Array

from ..layers import Conv, ConvNormAct, Dropout
from ..ops import global_avg_pool, max_pool
from .network import Layer, Network


class Fire(nn.Module):
  """A 1x1 convolution, and of its output a 1x1 and a 3x3 side by side.

  Attributes:
    features: the number of channels of the first.
    conv: makes a convolution.
  """

  features: int
  conv: Layer

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[batch, height, width, channels]` to one of `8 * features` channels."""
    layer = partial(ConvNormAct, conv=self.conv)
    x = layer(self.features, (1, 1), name='squeeze')(x)
    left = layer(4 * self.features, (1, 1), name='expand1x1')(x)
    right = layer(4 * self.features, (3, 3), padding=1, name='expand3x3')(x)
    return jnp.concatenate([left, right], -1)


class ConvHead(nn.Module):
  """Dropout, a 1x1 convolution to the classes, ReLU and global average pooling.

  Attributes:
    num_classes: the number of logits, none of which is negative.
    dropout_rate: of the dropout.
    conv: makes the convolution.
    param_dtype: of the parameters.
  """

  num_classes: int
  dropout_rate: float = 0.5
  conv: Layer = Conv
  param_dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Returns logits `[batch, num_classes]` in float32."""
    x = Dropout(self.dropout_rate)(x, deterministic=not train)
    conv = partial(self.conv, dtype=jnp.float32, param_dtype=self.param_dtype)
    return global_avg_pool(nn.relu(conv(self.num_classes, (1, 1), name='conv')(x)))


class SqueezeNet(Network):
  """A convolution and eight fire modules in three stages, without a dense layer.

  Attributes:
    stage_sizes: the number of fire modules of each stage.
    stem_features: the number of channels of the first convolution.
    stem_size: the height and width of its kernel.
    dropout_rate: of the dropout in the head.

  >>> from convscan.architectures import build
  >>> build('squeezenet1_1', num_classes=10).feature_info
  {'stage0': (2, 64), 'stage1': (4, 128), 'stage2': (8, 256), 'stage3': (16, 512)}
  """

  stage_sizes: Sequence[int] = (2, 2, 4)
  stem_features: int = 64
  stem_size: int = 3
  dropout_rate: float = 0.5

  @property
  def min_size(self) -> int:
    """See `Network`."""
    return 14 + self.stem_size

  @nn.nowrap
  def stages(
    self, x: Array, conv: Layer, norm: Layer, train: bool
  ) -> Iterator[tuple[str, Array]]:
    """See `Network`."""
    del norm, train
    block = self.rematerialised(ConvNormAct, 'stage0')
    window = (self.stem_size, self.stem_size)
    x = block(self.stem_features, window, strides=2, conv=conv, name='stem')(x)
    yield 'stage0', x
    before = 0
    for i, size in enumerate(self.stage_sizes):
      stage = f'stage{i + 1}'
      x = max_pool(x, (3, 3), strides=2, ceil_mode=True)
      fire = self.rematerialised(Fire, stage)
      for j in range(size):
        x = fire(_squeezed(before + j), conv, name=f'{stage}_block{j}')(x)
      before += size
      yield stage, x

  @property
  def feature_info(self) -> dict[str, tuple[int, int]]:
    """See `Network`."""
    maps = {'stage0': (2, self.stem_features)}
    last = -1
    for i, size in enumerate(self.stage_sizes):
      last += size
      maps[f'stage{i + 1}'] = (4 * 2**i, 8 * _squeezed(last))
    return maps

  @nn.nowrap
  def make_head(self) -> nn.Module:
    """See `Network`."""
    return ConvHead(
      self.num_classes,
      dropout_rate=self.dropout_rate,
      conv=self.conv,
      param_dtype=self.param_dtype,
    )


def _squeezed(i: int) -> int:
  """The features of the fire module `i`, counted from 0 through all stages."""
  return 16 * (i // 2 + 1)


MODELS = {
  'squeezenet1_0': partial(
    SqueezeNet, stage_sizes=(3, 4, 1), stem_features=96, stem_size=7
  ),
  'squeezenet1_1': partial(SqueezeNet, stage_sizes=(2, 2, 4)),
}
