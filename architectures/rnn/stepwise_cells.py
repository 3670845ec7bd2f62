"""Cells with two products in sequence within a step, which `RNN` scans as they are."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jax import Array
from jax.typing import DTypeLike

from ..ops.step import Carry, project, split_gates
from .base_cell import RecurrentCell, add_bias, state_dtype


class ResetBeforeGRUCell(RecurrentCell):
  r"""Gated recurrent unit as published, Cho et al. 2014.

  .. math::
    \begin{aligned}
    r_t &= \sigma(W_r x_t + R_r h_{t-1} + b_r) \\
    z_t &= \sigma(W_z x_t + R_z h_{t-1} + b_z) \\
    n_t &= \tanh(W_n x_t + R_n (r_t \odot h_{t-1}) + b_n) \\
    h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}
    \end{aligned}

  as in equations 5 to 8 of https://arxiv.org/abs/1406.1078, with biases. The reset gate
  acts before the product with :math:`R_n`, so that a step has two products of the state
  in sequence: `GRUCell` is faster, and its weights do not convert to this cell's. The
  gates lie in the order r, z, n; the carry is `h [*batch, features]`; for the fields
  see `RecurrentCell`.

  >>> cell = ResetBeforeGRUCell(4)
  >>> x = jnp.ones((2, 3))
  >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
  >>> (carry, y), variables = cell.init_with_output(jax.random.key(0), carry, x)
  >>> y.shape, sorted(variables['params'])
  ((2, 4), ['bias', 'kernel', 'recurrent_kernel'])
  """

  num_gates: ClassVar[int] = 3

  @nn.compact
  def __call__(self, carry: Carry, inputs: Array) -> tuple[Carry, Array]:
    """Takes one step.

    Args:
      carry: the carry, as `initialize_carry` makes it.
      inputs: `[*batch, inputs]`.

    Returns:
      `(carry, y)`: the next carry and the output `[*batch, features]`.
    """
    inputs, kernel, bias, recurrent_kernel = self.declare(inputs)
    R_rz, R_n = jnp.split(recurrent_kernel, [2 * self.features], axis=-1)
    h = carry
    zx = add_bias(project(inputs, kernel).astype(h.dtype), bias)
    xr, xz, xn = split_gates(zx, self.features)
    hr, hz = split_gates(project(h, R_rz).astype(h.dtype), self.features)
    r, z = nn.sigmoid(xr + hr), nn.sigmoid(xz + hz)
    n = jnp.tanh(xn + project(r * h, R_n).astype(h.dtype))
    h = ((1 - z) * n + z * h).astype(h.dtype)
    return h, h.astype(kernel.dtype)


class ProjectedLSTMCell(RecurrentCell):
  r"""LSTM whose hidden state is a projection, LSTMP of Sak et al. 2014.

  .. math::
    \begin{aligned}
    i_t &= \sigma(W_i x_t + R_i h_{t-1} + b_i) \\
    f_t &= \sigma(W_f x_t + R_f h_{t-1} + b_f) \\
    g_t &= \tanh(W_g x_t + R_g h_{t-1} + b_g) \\
    o_t &= \sigma(W_o x_t + R_o h_{t-1} + b_o) \\
    c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
    h_t &= P (o_t \odot \tanh(c_t))
    \end{aligned}

  It deviates from https://arxiv.org/abs/1402.1128 as `torch.nn.LSTM(proj_size=...)`
  does: it has no peepholes, no non-recurrent projection and no layer of outputs. The
  gates lie in the order i, f, g, o. `recurrent_kernel` is `[projection, 4 * features]`
  and P the parameter `projection [features, projection]`. The carry is
  `(c [*batch, features], h [*batch, projection])`; for the other fields see
  `RecurrentCell`.

  Attributes:
    projection: the size of the hidden state and of the outputs; `features` is that of
      the cell c.
    projection_init: initialiser of `projection`.
    forget_bias: added to the initial value of :math:`b_f`.

  >>> cell = ProjectedLSTMCell(8, projection=4)
  >>> x = jnp.ones((2, 3))
  >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
  >>> ((c, h), y), variables = cell.init_with_output(jax.random.key(0), carry, x)
  >>> c.shape, h.shape, y.shape
  ((2, 8), (2, 4), (2, 4))
  """

  projection: int
  projection_init: Initializer = nn.initializers.lecun_normal()
  forget_bias: float = 0.0

  num_gates: ClassVar[int] = 4

  def __post_init__(self) -> None:
    """Checks the fields."""
    self.check_positive('projection')
    super().__post_init__()

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
      inputs: `[*batch, inputs]`.

    Returns:
      `(carry, y)`: the next carry and the output `[*batch, projection]`.
    """
    inputs, kernel, bias, recurrent_kernel = self.declare(inputs, state=self.projection)
    shape = (self.features, self.projection)
    projection = self.param(
      'projection', self.projection_init, shape, self.param_dtype
    ).astype(kernel.dtype)
    c, h = carry
    zx = add_bias(project(inputs, kernel).astype(c.dtype), bias)
    z = zx + project(h, recurrent_kernel).astype(c.dtype)
    i, f, g, o = split_gates(z, self.features)
    c = (nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)).astype(c.dtype)
    y = project(nn.sigmoid(o) * jnp.tanh(c), projection)
    return (c, y.astype(h.dtype)), y

  @nn.nowrap
  def initialize_carry(self, rng: Array, input_shape: tuple[int, ...]) -> Carry:
    """Returns the initial `(c, h)` for inputs of shape `[*batch, inputs]`."""
    c_rng, h_rng = jax.random.split(rng)
    batch, dtype = input_shape[:-1], state_dtype(self.param_dtype)
    return (
      self.carry_init(c_rng, (*batch, self.features), dtype),
      self.carry_init(h_rng, (*batch, self.projection), dtype),
    )
