"""Recurrent cells: each is its gate arithmetic and its parameters.

A cell steps by itself, `carry, y = cell(carry, x)`, as any `flax.linen` cell does;
`RNN` runs it over time with the engine of `convscan.architectures.ops.recurrence`.
A new cell subclasses `GatedCell` and writes `num_gates` and `update`.
"""

from collections.abc import Callable
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ..ops.step import Carry, Gates, Params
from .base_cell import GatedCell


def identity_init(key: Array, shape: tuple[int, int], dtype: DTypeLike) -> Array:
  """Initialises a matrix with the identity; the arguments are an initialiser's.

  >>> identity_init(jax.random.key(0), (2, 2), jnp.float32).tolist()
  [[1.0, 0.0], [0.0, 1.0]]
  """
  return jnp.eye(*shape, dtype=dtype)


class ElmanCell(GatedCell):
  r"""The simple recurrent network of Elman, *Finding Structure in Time*, 1990.

  .. math::
    h_t = \phi(W x_t + R h_{t-1} + b)

  with :math:`\phi = \tanh`, where the paper has the logistic function. The carry is
  `h [*batch, features]`; for the other fields see `RecurrentCell`.

  The IRNN of Le et al. 2015 (https://arxiv.org/abs/1504.00941) is `ElmanCell(features,
  activation_fn=nn.relu, recurrent_kernel_init=identity_init)`; in the paper
  `kernel_init` is `nn.initializers.normal(0.001)`.

  Attributes:
    activation_fn: :math:`\phi`.

  >>> cell = ElmanCell(4)
  >>> x = jnp.ones((2, 3))
  >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
  >>> (carry, y), variables = cell.init_with_output(jax.random.key(0), carry, x)
  >>> y.shape
  (2, 4)
  """

  activation_fn: Callable[[Array], Array] = jnp.tanh

  num_gates: ClassVar[int] = 1

  @nn.nowrap
  def update(self, params: Params, zx: Gates, zh: Gates, carry: Carry) -> Carry:
    """Returns the next `h`."""
    return self.activation_fn(zx[0] + zh[0])


class LSTMCell(GatedCell):
  r"""Long short-term memory with forget gates, Gers et al. 2000.

  .. math::
    \begin{aligned}
    i_t &= \sigma(W_i x_t + R_i h_{t-1} + b_i) \\
    f_t &= \sigma(W_f x_t + R_f h_{t-1} + b_f) \\
    g_t &= \tanh(W_g x_t + R_g h_{t-1} + b_g) \\
    o_t &= \sigma(W_o x_t + R_o h_{t-1} + b_o) \\
    c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
    h_t &= o_t \odot \tanh(c_t)
    \end{aligned}

  in the notation of Greff et al. 2017 (https://arxiv.org/abs/1503.04069), without
  their peepholes and with :math:`g` for their block input :math:`z`. The gates lie in
  the order i, f, g, o; the carry is `(c, h)`, each `[*batch, features]`; for the other
  fields see `RecurrentCell`.

  Attributes:
    forget_bias: added to the initial value of :math:`b_f`; 1 lets a new network
      remember (Jozefowicz et al. 2015, section 2.2).

  >>> cell = LSTMCell(4)
  >>> x = jnp.ones((2, 3))
  >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
  >>> ((c, h), y), variables = cell.init_with_output(jax.random.key(0), carry, x)
  >>> y.shape, variables['params']['kernel'].shape
  ((2, 4), (3, 16))
  """

  forget_bias: float = 0.0

  num_gates: ClassVar[int] = 4
  forget_gate: ClassVar[int] = 1  # Its place among the gates.

  @nn.nowrap
  def initialize_bias(
    self, key: Array, shape: tuple[int, ...], dtype: DTypeLike
  ) -> Array:
    """Initialises `bias`, and adds to that of the forget gate."""
    bias = super().initialize_bias(key, shape, dtype)
    start = self.forget_gate * self.features
    return bias.at[start : start + self.features].add(self.forget_bias)

  @nn.nowrap
  def gates(self, params: Params, zx: Gates, zh: Gates) -> dict[str, Array]:
    """Returns i, f, g, o as 'input', 'forget', 'cell' and 'output'."""
    i, f, g, o = map(jnp.add, zx, zh)
    return {
      'input': nn.sigmoid(i),
      'forget': nn.sigmoid(f),
      'cell': jnp.tanh(g),
      'output': nn.sigmoid(o),
    }

  @nn.nowrap
  def update(self, params: Params, zx: Gates, zh: Gates, carry: Carry) -> Carry:
    """Returns the next `(c, h)`."""
    i, f, g, o = self.gates(params, zx, zh).values()
    c = f * carry[0] + i * g
    return c, o * jnp.tanh(c)

  @nn.nowrap
  def initialize_carry(self, rng: Array, input_shape: tuple[int, ...]) -> Carry:
    """Returns the initial `(c, h)` for inputs of shape `[*batch, inputs]`."""
    c_rng, h_rng = jax.random.split(rng)
    initialize = super().initialize_carry
    return initialize(c_rng, input_shape), initialize(h_rng, input_shape)


class GRUCell(GatedCell):
  r"""Gated recurrent unit, Cho et al. 2014 (https://arxiv.org/abs/1406.1078).

  .. math::
    \begin{aligned}
    r_t &= \sigma(W_r x_t + R_r h_{t-1} + b_r) \\
    z_t &= \sigma(W_z x_t + R_z h_{t-1} + b_z) \\
    n_t &= \tanh(W_n x_t + b_n + r_t \odot (R_n h_{t-1} + b'_n)) \\
    h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}
    \end{aligned}

  It deviates from the paper as torch, cuDNN and flax do: the reset gate acts after
  the product with :math:`R_n`, not before it. The gates lie in the order r, z, n;
  :math:`b'_n` is the parameter `recurrent_bias [features]`; the carry is
  `h [*batch, features]`; for the fields see `RecurrentCell`.

  >>> cell = GRUCell(4)
  >>> x = jnp.ones((2, 3))
  >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
  >>> (carry, y), variables = cell.init_with_output(jax.random.key(0), carry, x)
  >>> y.shape, sorted(variables['params'])
  ((2, 4), ['bias', 'kernel', 'recurrent_bias', 'recurrent_kernel'])
  """

  num_gates: ClassVar[int] = 3

  @nn.nowrap
  def own_params(self) -> Params:
    """Declares the recurrent bias of the candidate."""
    return self.param(
      'recurrent_bias', self.bias_init, (self.features,), self.param_dtype
    )

  @nn.nowrap
  def gates(self, params: Params, zx: Gates, zh: Gates) -> dict[str, Array]:
    """Returns r, z, n as 'reset', 'update' and 'new'."""
    (xr, xz, xn), (hr, hz, hn) = zx, zh
    r = nn.sigmoid(xr + hr)
    n = jnp.tanh(xn + r * (hn + jnp.broadcast_to(params, hn.shape)))
    return {'reset': r, 'update': nn.sigmoid(xz + hz), 'new': n}

  @nn.nowrap
  def update(self, params: Params, zx: Gates, zh: Gates, carry: Carry) -> Carry:
    """Returns the next `h`."""
    _, z, n = self.gates(params, zx, zh).values()
    return (1 - z) * n + z * carry
