"""ConvNeXt: Liu et al. 2022, https://arxiv.org/abs/2201.03545."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype
from jax import Array

from ..layers import Dropout, StochasticDepth
from ..ops import global_avg_pool
from .network import Layer, Network, bind_norm


class Block(nn.Module):
  """A depthwise 7x7 convolution and two dense layers beside a shortcut.

  Attributes:
    features: the number of input and output channels.
    layer_scale_init: initial factor of what is added to the shortcut; None for none.
    response_norm: makes a layer between the activation and the second dense layer, of
      its dtypes; or None.
    drop_rate: of the stochastic depth.
    train: whether that applies.
    conv: makes a convolution.
    norm: makes a normalisation.
    dtype: of the dense layers' computation.
    param_dtype: of the dense layers' parameters and of `layer_scale`, `[features]`.
  """

  features: int
  layer_scale_init: float | None
  response_norm: Layer | None
  drop_rate: float
  train: bool
  conv: Layer
  norm: Layer
  dtype: Dtype | None = None
  param_dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[batch, height, width, features]` to its like."""
    types: dict[str, Any] = {'dtype': self.dtype, 'param_dtype': self.param_dtype}
    dense: Layer = partial(nn.Dense, **types)
    channels = self.features
    y = self.conv(channels, (7, 7), padding=3, groups=channels, name='conv')(x)
    y = dense(4 * channels, name='dense1')(self.norm(name='norm')(y))
    y = nn.gelu(y, approximate=False)
    if self.response_norm is not None:
      y = self.response_norm(name='response_norm', **types)(y)
    y = dense(channels, name='dense2')(y)
    if self.layer_scale_init is not None:
      init = nn.initializers.constant(self.layer_scale_init)
      scale = self.param('layer_scale', init, (channels,), self.param_dtype)
      y, scale = promote_dtype(y, scale, dtype=self.dtype)
      y = y * scale.reshape(1, 1, 1, -1)
    return x + StochasticDepth(self.drop_rate)(y, deterministic=not self.train)


class NormHead(nn.Module):
  """Global average pooling, a normalisation, dropout and a linear layer.

  Attributes:
    num_classes: the number of logits.
    norm: makes a normalisation.
    dropout_rate: of the dropout before the linear layer.
    param_dtype: of the parameters.
  """

  num_classes: int
  norm: Layer
  dropout_rate: float = 0.0
  param_dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Returns logits `[batch, num_classes]` in float32."""
    types: dict[str, Any] = {'dtype': jnp.float32, 'param_dtype': self.param_dtype}
    x = bind_norm(self.norm, train, **types)(name='norm')(global_avg_pool(x))
    x = Dropout(self.dropout_rate)(x, deterministic=not train)
    return nn.Dense(self.num_classes, name='dense', **types)(x)


class ConvNeXt(Network):
  """A stem of 4x4 patches, and four stages of blocks, each but the first halving.

  Attributes:
    stage_sizes: the number of blocks of each stage.
    channels: of each stage.
    stochastic_depth_rate: of the last block; it grows from 0 at the first.
    layer_scale_init: of each block.
    response_norm: of each block.

  >>> from convscan.architectures import build
  >>> build('convnext_tiny', num_classes=10).feature_info
  {'stage1': (4, 96), 'stage2': (8, 192), 'stage3': (16, 384), 'stage4': (32, 768)}
  """

  norm: Layer = partial(nn.LayerNorm, epsilon=1e-6)
  stage_sizes: Sequence[int] = (3, 3, 9, 3)
  channels: Sequence[int] = (96, 192, 384, 768)
  stochastic_depth_rate: float = 0.1
  layer_scale_init: float | None = 1e-6
  response_norm: Layer | None = None

  min_size = 32

  @nn.nowrap
  def stages(
    self, x: Array, conv: Layer, norm: Layer, train: bool
  ) -> Iterator[tuple[str, Array]]:
    """See `Network`."""
    x = conv(self.channels[0], (4, 4), strides=4, name='stem_conv')(x)
    x = norm(name='stem_norm')(x)
    last, before = max(sum(self.stage_sizes) - 1, 1), 0
    for i, (size, channels) in enumerate(
      zip(self.stage_sizes, self.channels, strict=True)
    ):
      stage = f'stage{i + 1}'
      if i > 0:
        x = norm(name=f'{stage}_norm')(x)
        x = conv(channels, (2, 2), strides=2, name=f'{stage}_conv')(x)
      block = self.rematerialised(Block, stage)
      for j in range(size):
        x = block(
          channels,
          layer_scale_init=self.layer_scale_init,
          response_norm=self.response_norm,
          drop_rate=self.stochastic_depth_rate * (before + j) / last,
          train=train,
          conv=conv,
          norm=norm,
          dtype=self.dtype,
          param_dtype=self.param_dtype,
          name=f'{stage}_block{j}',
        )(x)
      before += size
      yield stage, x

  @property
  def feature_info(self) -> dict[str, tuple[int, int]]:
    """See `Network`."""
    return {f'stage{i + 1}': (4 * 2**i, c) for i, c in enumerate(self.channels)}

  @nn.nowrap
  def make_head(self) -> nn.Module:
    """See `Network`."""
    return NormHead(
      self.num_classes,
      norm=self.norm,
      dropout_rate=self.dropout_rate,
      param_dtype=self.param_dtype,
    )


MODELS = {
  'convnext_tiny': partial(ConvNeXt),
  'convnext_small': partial(
    ConvNeXt, stage_sizes=(3, 3, 27, 3), stochastic_depth_rate=0.4
  ),
  'convnext_base': partial(
    ConvNeXt,
    stage_sizes=(3, 3, 27, 3),
    channels=(128, 256, 512, 1024),
    stochastic_depth_rate=0.5,
  ),
  'convnext_large': partial(
    ConvNeXt,
    stage_sizes=(3, 3, 27, 3),
    channels=(192, 384, 768, 1536),
    stochastic_depth_rate=0.5,
  ),
}
