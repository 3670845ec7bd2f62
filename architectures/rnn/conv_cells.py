"""Recurrent cells whose products are convolutions, for sequences of images."""

from collections.abc import Sequence
from numbers import Integral
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ..ops.conv import conv
from ..ops.step import Carry, split_gates
from .base_cell import RecurrentCell, add_bias


class _ConvCell(RecurrentCell):
  kernel_size: Sequence[int]

  def __post_init__(self) -> None:
    """Checks the fields."""
    size = self.kernel_size
    if (
      isinstance(size, Integral)
      or len(size) not in (1, 2, 3)
      or not all(isinstance(k, Integral) and k > 0 for k in size)
    ):
      raise ValueError(
        f'kernel_size: got {size!r}, expected 1 to 3 positive ints, such as (3, 3)'
      )
    super().__post_init__()

  @nn.nowrap
  def convolve(self, x: Array, kernel: Array, dtype: DTypeLike) -> Array:
    """Convolves `[*batch, *spatial, channels]` in the dtype of the kernel."""
    images = x.astype(kernel.dtype).reshape(-1, *x.shape[-self.num_feature_axes :])
    y = conv(images, kernel, padding='SAME')
    return y.reshape(*x.shape[:-1], -1).astype(dtype)

  @property
  def num_feature_axes(self) -> int:
    """The number of axes of the inputs that are not batch: of space, and one more."""
    return len(self.kernel_size) + 1


class ConvLSTMCell(_ConvCell):
  r"""LSTM of images, Shi et al. 2015 (https://arxiv.org/abs/1506.04214).

  .. math::
    \begin{aligned}
    i_t &= \sigma(W_i * x_t + R_i * h_{t-1} + b_i) \\
    f_t &= \sigma(W_f * x_t + R_f * h_{t-1} + b_f) \\
    g_t &= \tanh(W_g * x_t + R_g * h_{t-1} + b_g) \\
    o_t &= \sigma(W_o * x_t + R_o * h_{t-1} + b_o) \\
    c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
    h_t &= o_t \odot \tanh(c_t)
    \end{aligned}

  with :math:`*` a convolution over one, two or three axes of space, padded to keep
  their sizes. It deviates from the paper in that it has no peepholes. The parameters
  are `kernel [*kernel_size, inputs, 4 * features]`, `recurrent_kernel [*kernel_size,
  features, 4 * features]` and `bias [4 * features]`, with the gates in the order
  i, f, g, o; the carry is `(c, h)`, each `[*batch, *spatial, features]`. In comparison
  with `flax.linen.ConvLSTMCell` the order is another, there is one bias for two, and 1
  is not added to :math:`b_f`. For the other fields see `RecurrentCell`.

  Attributes:
    kernel_size: the size of the window in each axis of space.
    forget_bias: added to the initial value of :math:`b_f`.

  >>> cell = ConvLSTMCell(4, kernel_size=(3, 3))
  >>> x = jnp.ones((2, 8, 8, 3))
  >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
  >>> ((c, h), y), variables = cell.init_with_output(jax.random.key(0), carry, x)
  >>> y.shape, variables['params']['kernel'].shape
  ((2, 8, 8, 4), (3, 3, 3, 16))
  """

  forget_bias: float = 0.0

  num_gates: ClassVar[int] = 4

  @nn.nowrap
  def initialize_bias(
    self, key: Array, shape: tuple[int, ...], dtype: DTypeLike
  ) -> Array:
    """Initialises `bias`, and adds to that of the forget gate."""
    bias = super().initialize_bias(key, shape, dtype)
    return bias.at[self.features : 2 * self.features].add(self.forget_bias)

  @nn.compact
  def __call__(self, carry: Carry, inputs: Array) -> tuple[Carry, Array]:
    """Takes one step.

    Args:
      carry: the carry, as `initialize_carry` makes it.
      inputs: `[*batch, *spatial, inputs]`.

    Returns:
      `(carry, y)`: the next carry and the output `[*batch, *spatial, features]`.
    """
    inputs, kernel, bias, recurrent_kernel = self.declare(
      inputs, window=tuple(self.kernel_size)
    )
    c, h = carry
    zx = add_bias(self.convolve(inputs, kernel, c.dtype), bias)
    z = zx + self.convolve(h, recurrent_kernel, c.dtype)
    i, f, g, o = split_gates(z, self.features)
    c = (nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)).astype(c.dtype)
    h = (nn.sigmoid(o) * jnp.tanh(c)).astype(h.dtype)
    return (c, h), h.astype(kernel.dtype)

  @nn.nowrap
  def initialize_carry(self, rng: Array, input_shape: tuple[int, ...]) -> Carry:
    """Returns the initial `(c, h)` for inputs `[*batch, *spatial, inputs]`."""
    c_rng, h_rng = jax.random.split(rng)
    initialize = super().initialize_carry
    return initialize(c_rng, input_shape), initialize(h_rng, input_shape)


class ConvGRUCell(_ConvCell):
  r"""GRU of images, Ballas et al. 2016 (https://arxiv.org/abs/1511.06432).

  .. math::
    \begin{aligned}
    r_t &= \sigma(W_r * x_t + R_r * h_{t-1} + b_r) \\
    z_t &= \sigma(W_z * x_t + R_z * h_{t-1} + b_z) \\
    n_t &= \tanh(W_n * x_t + R_n * (r_t \odot h_{t-1}) + b_n) \\
    h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}
    \end{aligned}

  with :math:`*` a convolution over one, two or three axes of space, padded to keep
  their sizes. It deviates from the paper's GRU-RCN in that it has biases, and
  that :math:`z` and :math:`1 - z` have changed places, as in `GRUCell`. The parameters
  are `kernel [*kernel_size, inputs, 3 * features]`, `recurrent_kernel [*kernel_size,
  features, 3 * features]` and `bias [3 * features]`, with the gates in the order
  r, z, n; the carry is `h [*batch, *spatial, features]`. For the other fields see
  `RecurrentCell`.

  Attributes:
    kernel_size: the size of the window in each axis of space.

  >>> cell = ConvGRUCell(4, kernel_size=(3, 3))
  >>> x = jnp.ones((2, 8, 8, 3))
  >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
  >>> (carry, y), variables = cell.init_with_output(jax.random.key(0), carry, x)
  >>> y.shape, variables['params']['kernel'].shape
  ((2, 8, 8, 4), (3, 3, 3, 12))
  """

  num_gates: ClassVar[int] = 3

  @nn.compact
  def __call__(self, carry: Carry, inputs: Array) -> tuple[Carry, Array]:
    """Takes one step.

    Args:
      carry: the carry, as `initialize_carry` makes it.
      inputs: `[*batch, *spatial, inputs]`.

    Returns:
      `(carry, y)`: the next carry and the output `[*batch, *spatial, features]`.
    """
    inputs, kernel, bias, recurrent_kernel = self.declare(
      inputs, window=tuple(self.kernel_size)
    )
    R_rz, R_n = jnp.split(recurrent_kernel, [2 * self.features], axis=-1)
    h = carry
    zx = add_bias(self.convolve(inputs, kernel, h.dtype), bias)
    xr, xz, xn = split_gates(zx, self.features)
    hr, hz = split_gates(self.convolve(h, R_rz, h.dtype), self.features)
    r, z = nn.sigmoid(xr + hr), nn.sigmoid(xz + hz)
    n = jnp.tanh(xn + self.convolve(r * h, R_n, h.dtype))
    h = ((1 - z) * n + z * h).astype(h.dtype)
    return h, h.astype(kernel.dtype)
