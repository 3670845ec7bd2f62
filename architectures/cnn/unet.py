"""U-Net: Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597.

Convolutions are padded, so that the logits are of the images' size; the paper's are
not, and it crops the maps that it copies. A map that comes up smaller than the one that
it joins, since halving rounds an odd size down, is padded with zeros.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Dtype
from jax import Array

from ..layers import Conv, ConvNormAct, ConvTranspose, Dropout
from ..ops import max_pool
from .network import Layer, Network


class PixelHead(nn.Module):
  """A 1x1 convolution to the classes.

  Attributes:
    num_classes: the number of logits of each pixel.
    conv: makes the convolution.
    param_dtype: of the parameters.
  """

  num_classes: int
  conv: Layer = Conv
  param_dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Returns logits `[batch, height, width, num_classes]` in float32."""
    conv = partial(self.conv, dtype=jnp.float32, param_dtype=self.param_dtype)
    return conv(self.num_classes, (1, 1), name='conv')(x)


class UNet(Network):
  """Stages that halve the maps, and as many but one that double them and see both.

  It is called as any `Network`, but labels every pixel: the logits are
  `[batch, height, width, num_classes]`.

  Attributes:
    channels: of each stage on the way down; on the way up they are the same.
    conv_transpose: makes a transposed convolution, as `ConvTranspose` does.
    use_norm: whether a normalisation follows each 3x3 convolution (the paper has none).
    dropout_rate: of the dropout after each of the last two stages on the way down.

  >>> from convscan.architectures import build
  >>> build('unet', channels=(8, 16, 32)).feature_info
  {'stage1': (1, 8), 'stage2': (2, 16), 'stage3': (4, 32),
   'up1': (2, 16), 'up2': (1, 8)}
  """

  num_classes: int = 2
  channels: Sequence[int] = (64, 128, 256, 512, 1024)
  conv_transpose: Layer = ConvTranspose
  use_norm: bool = False
  dropout_rate: float = 0.5

  @property
  def min_size(self) -> int:
    """See `Network`."""
    return 2 ** (len(self.channels) - 1)

  @nn.nowrap
  def stages(
    self, x: Array, conv: Layer, norm: Layer, train: bool
  ) -> Iterator[tuple[str, Array]]:
    """See `Network`."""

    def convolve(stage: str, x: Array) -> Array:
      block = self.rematerialised(ConvNormAct, stage)
      for j in range(2):
        x = block(
          self.feature_info[stage][1],
          (3, 3),
          padding=1,
          use_bias=True,
          conv=conv,
          norm=norm if self.use_norm else None,
          name=f'{stage}_block{j}',
        )(x)
      return x

    dropout = Dropout(self.dropout_rate)
    last, maps = len(self.channels) - 1, []
    for i in range(last + 1):
      x = convolve(f'stage{i + 1}', max_pool(x, (2, 2)) if i else x)
      if i >= last - 1:
        x = dropout(x, deterministic=not train)
      yield f'stage{i + 1}', x
      maps.append(x)
    for i, left in enumerate(reversed(maps[:-1]), start=1):
      up = self.conv_transpose(
        self.feature_info[f'up{i}'][1],
        (2, 2),
        strides=2,
        dtype=self.dtype,
        param_dtype=self.param_dtype,
        name=f'up{i}_conv',
      )
      y = up(x)
      more = [(0, n - m) for n, m in zip(left.shape[1:3], y.shape[1:3], strict=True)]
      y = jnp.pad(y, [(0, 0), *more, (0, 0)])
      x = convolve(f'up{i}', jnp.concatenate([left, y], -1))
      yield f'up{i}', x

  @property
  def feature_info(self) -> dict[str, tuple[int, int]]:
    """See `Network`."""
    sizes = [(2**i, c) for i, c in enumerate(self.channels)]
    down = {f'stage{i}': size for i, size in enumerate(sizes, start=1)}
    up = {f'up{i}': size for i, size in enumerate(sizes[-2::-1], start=1)}
    return down | up

  @nn.nowrap
  def make_head(self) -> nn.Module:
    """See `Network`."""
    return PixelHead(self.num_classes, conv=self.conv, param_dtype=self.param_dtype)


MODELS = {'unet': partial(UNet)}
