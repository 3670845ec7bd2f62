"""Convolution of the space and of the channels apart."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
from jax import Array

from ..ops.conv import Padding
from .conv import Conv


class SeparableConv(nn.Module):
  """A depthwise convolution, then a pointwise one.

  Chollet 2017, https://arxiv.org/abs/1610.02357, with nothing between the two. Their
  parameters are under `depthwise` and `pointwise`.

  Attributes:
    features: the number of output channels.
    kernel_size: of the depthwise one, as for `Conv`, as the following.
    strides: see there.
    padding: see there.
    dilation: see there.
    depth_multiplier: how many channels the depthwise one makes of each.
    use_bias: whether the pointwise one has a bias; the other has none.
    conv: makes a convolution, as `Conv` does.

  >>> import jax
  >>> layer, x = SeparableConv(8, (3, 3), padding=1), jax.numpy.ones((1, 7, 7, 4))
  >>> params = layer.init(jax.random.key(0), x)['params']
  >>> params['depthwise']['kernel'].shape, params['pointwise']['kernel'].shape
  ((3, 3, 1, 4), (1, 1, 4, 8))
  """

  features: int
  kernel_size: Sequence[int]
  strides: int | Sequence[int] = 1
  padding: Padding = 0
  dilation: int | Sequence[int] = 1
  depth_multiplier: int = 1
  use_bias: bool = True
  conv: Callable[..., Any] = Conv

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[batch, *spatial, in_channels]` to `[batch, *out, features]`."""
    channels = x.shape[-1]
    x = self.conv(
      channels * self.depth_multiplier,
      self.kernel_size,
      strides=self.strides,
      padding=self.padding,
      dilation=self.dilation,
      groups=channels,
      use_bias=False,
      name='depthwise',
    )(x)
    window = (1,) * (x.ndim - 2)
    return self.conv(self.features, window, use_bias=self.use_bias, name='pointwise')(x)
