"""A convolution with what usually follows it."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
from jax import Array

from ..ops.conv import Padding
from .conv import Conv


class ConvNormAct(nn.Module):
  """A convolution, perhaps a normalisation, and an activation.

  Its parameters are under `conv` and `norm`.

  Attributes:
    features: the number of output channels.
    kernel_size: as for `Conv`, as the following.
    strides: see there.
    padding: see there.
    dilation: see there.
    groups: see there.
    use_bias: whether the convolution has a bias; None for where no normalisation
      follows.
    conv: makes a convolution, as `Conv` does.
    norm: makes a normalisation of a name, or is None.
    act: the activation, or None.

  >>> import jax
  >>> layer, x = ConvNormAct(8, (3, 3), padding=1), jax.numpy.ones((1, 7, 7, 3))
  >>> y, variables = layer.init_with_output(jax.random.key(0), x)
  >>> y.shape, *variables['params']['conv']
  ((1, 7, 7, 8), 'kernel', 'bias')
  """

  features: int
  kernel_size: Sequence[int]
  strides: int | Sequence[int] = 1
  padding: Padding = 0
  dilation: int | Sequence[int] = 1
  groups: int = 1
  use_bias: bool | None = None
  conv: Callable[..., Any] = Conv
  norm: Callable[..., Any] | None = None
  act: Callable[[Array], Array] | None = nn.relu

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[batch, *spatial, in_channels]` to `[batch, *out, features]`."""
    x = self.conv(
      self.features,
      self.kernel_size,
      strides=self.strides,
      padding=self.padding,
      dilation=self.dilation,
      groups=self.groups,
      use_bias=self.norm is None if self.use_bias is None else self.use_bias,
      name='conv',
    )(x)
    if self.norm is not None:
      x = self.norm(name='norm')(x)
    return x if self.act is None else self.act(x)
