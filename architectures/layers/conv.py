"""Convolution as a Linen module."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer

from ..ops.conv import Padding, conv, per_dimension, resolve_padding
from ..ops.pad import pad


class Conv(nn.Module):
  """Convolves over one, two or three spatial dimensions, channels last.

  The fields are those of `flax.linen.Conv`, whose parameters it shares (`kernel`,
  `bias`); but the padding defaults to none, and is spelled as weights trained
  elsewhere need it: see `convscan.architectures.ops.conv`.

  Attributes:
    features: The number of output channels.
    kernel_size: The window, an int for each spatial dimension.
    strides: Steps of the window; one for all dimensions, or one each.
    padding: An int, an int or a pair `(low, high)` for each dimension, `'SAME'`,
      `'VALID'`, or `'CAUSAL'` in one dimension.
    dilation: Distances between the kernel's taps; one for all, or one each.
    groups: Into how many blocks the channels fall.
    use_bias: Whether to add a bias.
    dtype: Of the computation and the output; by default that which the input and the
      parameters promote to.
    param_dtype: Of the parameters.
    kernel_init: Of `kernel`, `[*kernel_size, in_channels / groups, features]`.
    bias_init: Of `bias`, `[features]`.
    padding_mode: What to pad with: `'zeros'`, `'reflect'`, `'replicate'` or
      `'circular'`, as in `convscan.architectures.ops.pad`.
    kernel_transform: What is done to the kernel before it is used, as
      `convscan.architectures.ops.standardise_kernel`; None for nothing.

  Example:
    >>> layer = Conv(8, (3, 3), strides=2, padding=1)
    >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((1, 7, 7, 3)))
    >>> y.shape, variables['params']['kernel'].shape
    ((1, 4, 4, 8), (3, 3, 3, 8))
  """

  features: int
  kernel_size: Sequence[int]
  strides: int | Sequence[int] = 1
  padding: Padding = 0
  dilation: int | Sequence[int] = 1
  groups: int = 1
  use_bias: bool = True
  dtype: Dtype | None = None
  param_dtype: Dtype = jnp.float32
  kernel_init: Initializer = nn.initializers.lecun_normal()
  bias_init: Initializer = nn.initializers.zeros_init()
  padding_mode: str = 'zeros'
  kernel_transform: Callable[[jax.Array], jax.Array] | None = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Convolves.

    Args:
      x: `[batch, *spatial, in_channels]`.

    Returns:
      `[batch, *out, features]`.

    Raises:
      ValueError: If the fields fit neither each other nor `x`.
    """
    if isinstance(self.kernel_size, int):
      raise ValueError(
        f'kernel_size {self.kernel_size}: expected an int for each spatial dimension, '
        'such as (3, 3)'
      )
    if self.groups < 1 or x.shape[-1] % self.groups:
      raise ValueError(
        f'groups {self.groups}: expected a divisor of the {x.shape[-1]} input channels'
      )
    ndim = len(self.kernel_size)
    if x.ndim != ndim + 2:
      raise ValueError(
        f'x with shape {x.shape}: expected [batch, {ndim} spatial, in_channels] for '
        f'kernel_size {tuple(self.kernel_size)}'
      )
    shape = (*self.kernel_size, x.shape[-1] // self.groups, self.features)
    kernel = self.make_kernel(shape)
    bias = None
    if self.use_bias:
      bias = self.param('bias', self.bias_init, (self.features,), self.param_dtype)
    x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
    padding = self.padding
    if self.padding_mode != 'zeros':
      dilation = per_dimension('dilation', self.dilation, ndim)
      extents = [
        (k - 1) * d + 1 for k, d in zip(self.kernel_size, dilation, strict=True)
      ]
      strides = per_dimension('strides', self.strides, ndim)
      pads = resolve_padding(padding, x.shape[1:-1], extents, strides)
      x, padding = pad(x, pads, self.padding_mode), 0
    y = conv(
      x,
      kernel,
      strides=self.strides,
      padding=padding,
      dilation=self.dilation,
      groups=self.groups,
    )
    return y if bias is None else y + bias.reshape((1,) * (y.ndim - 1) + (-1,))

  @nn.nowrap
  def make_kernel(self, shape: Sequence[int]) -> jax.Array:
    """Makes the kernel of its parameters; a subclass may have others."""
    kernel = self.param('kernel', self.kernel_init, tuple(shape), self.param_dtype)
    return kernel if self.kernel_transform is None else self.kernel_transform(kernel)
