"""Transposed convolution as a Linen module."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer

from ..ops.conv import Padding
from ..ops.conv_transpose import conv_transpose


class ConvTranspose(nn.Module):
  """A transposed convolution over one, two or three spatial dimensions, channels last.

  Its fields and parameters are those of `Conv`; see
  `convscan.architectures.ops.conv_transpose`, which is torch's.

  Attributes:
    features: The number of output channels.
    kernel_size: The window, an int for each spatial dimension.
    strides: How many times larger the output is; one for all dimensions, or one each.
    padding: How much to cut off the output: an int, or an int or a pair `(low, high)`
      for each dimension.
    output_padding: How much to extend its high sides; one for all, or one each.
    dilation: Distances between the kernel's taps; one for all, or one each.
    groups: Into how many blocks the channels fall.
    use_bias: Whether to add a bias.
    dtype: Of the computation and the output; by default that which the input and the
      parameters promote to.
    param_dtype: Of the parameters.
    kernel_init: Of `kernel`, `[*kernel_size, features / groups, in_channels]`.
    bias_init: Of `bias`, `[features]`.

  Example:
    >>> layer = ConvTranspose(8, (3, 3), strides=2, padding=1, output_padding=1)
    >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((1, 7, 7, 3)))
    >>> y.shape, variables['params']['kernel'].shape
    ((1, 14, 14, 8), (3, 3, 8, 3))
  """

  features: int
  kernel_size: Sequence[int]
  strides: int | Sequence[int] = 1
  padding: Padding = 0
  output_padding: int | Sequence[int] = 0
  dilation: int | Sequence[int] = 1
  groups: int = 1
  use_bias: bool = True
  dtype: Dtype | None = None
  param_dtype: Dtype = jnp.float32
  kernel_init: Initializer = nn.initializers.lecun_normal(in_axis=-1, out_axis=-2)
  bias_init: Initializer = nn.initializers.zeros_init()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps `[batch, *spatial, in_channels]` to `[batch, *out, features]`.

    Raises:
      ValueError: If the fields fit neither each other nor `x`.
    """
    if isinstance(self.kernel_size, int):
      raise ValueError(
        f'kernel_size {self.kernel_size}: expected an int for each spatial dimension, '
        'such as (3, 3)'
      )
    if self.groups < 1 or self.features % self.groups:
      raise ValueError(
        f'groups {self.groups}: expected a divisor of the {self.features} features'
      )
    shape = (*self.kernel_size, self.features // self.groups, x.shape[-1])
    kernel = self.param('kernel', self.kernel_init, shape, self.param_dtype)
    bias = None
    if self.use_bias:
      bias = self.param('bias', self.bias_init, (self.features,), self.param_dtype)
    x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
    y = conv_transpose(
      x,
      kernel,
      strides=self.strides,
      padding=self.padding,
      output_padding=self.output_padding,
      dilation=self.dilation,
      groups=self.groups,
    )
    return y if bias is None else y + bias.reshape((1,) * (y.ndim - 1) + (-1,))
