"""Recurrent cells: each is its gate arithmetic and its parameters.

A cell steps by itself, `carry, y = cell(carry, x)`, as any `flax.linen` cell does;
`RNN` runs it over time with the engine of `convscan.architectures.ops.recurrence`.
A new cell subclasses `GatedCell` and writes `num_gates` and `update`.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import Array
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike

from ..ops.recurrence import Carry, Params, advance, hidden, project


def _state_dtype(dtype: DTypeLike) -> Any:
  return jnp.promote_types(dtype, jnp.float32)


def _per_gate(init: Initializer, num_gates: int) -> Callable[..., Array]:
  """Initialises each gate's block of columns by itself, in float32 or wider."""

  def initializer(key: Array, shape: tuple[int, int], dtype: DTypeLike) -> Array:
    block = (shape[0], shape[1] // num_gates)
    keys = jax.random.split(key, num_gates)
    blocks = [init(key, block, _state_dtype(dtype)) for key in keys]
    return jnp.concatenate(blocks, axis=1).astype(dtype)

  return initializer


class GatedCell(nn.RNNCellBase):
  """A recurrent cell on one input and one recurrent product; base of the cells.

  The parameters are `kernel [inputs, gates * features]`, `recurrent_kernel
  [features, gates * features]` and `bias [gates * features]`, the gates side by side
  in the order that the cell's docstring gives.

  Attributes:
    features: the size of the hidden state.
    dtype: dtype of the matmuls and of the outputs; by default that of inputs and
      parameters together.
    param_dtype: dtype of the parameters. The carry's is this or float32, whichever is
      wider, so the state of a bfloat16 cell is float32.
    kernel_init: initialiser of `kernel`.
    recurrent_kernel_init: initialiser of `recurrent_kernel`, called once for each
      gate's block `[features, features]`.
    bias_init: initialiser of the biases.
    carry_init: initialiser of the carry.
  """

  features: int
  dtype: DTypeLike | None = None
  param_dtype: DTypeLike = jnp.float32
  kernel_init: Initializer = nn.initializers.lecun_normal()
  recurrent_kernel_init: Initializer = nn.initializers.orthogonal()
  bias_init: Initializer = nn.initializers.zeros_init()
  carry_init: Initializer = nn.initializers.zeros_init()

  num_gates: ClassVar[int]

  @nn.nowrap
  def update(self, params: Params, zx: Array, zh: Array, carry: Carry) -> Carry:
    """Returns the next carry; pure, and without a matmul.

    Args:
      params: what `own_params` returned.
      zx: `[*batch, gates * features]`, the inputs' product, with the bias.
      zh: `[*batch, gates * features]`, the hidden state's product.
      carry: the carry before the step; its last leaf is the hidden state.
    """
    raise NotImplementedError

  @nn.nowrap
  def gates(self, params: Params, zx: Array, zh: Array) -> dict[str, Array]:
    """Returns the gates' activations by name; arguments as for `update`.

    Raises:
      ValueError: the cell has no gates.
    """
    raise ValueError(f'cell: {type(self).__name__} has no gates')

  @nn.nowrap
  def own_params(self) -> Params:
    """Declares what parameters the cell has besides the two kernels and the bias."""
    return {}

  @nn.compact
  def project_inputs(self, inputs: Array) -> tuple[Params, Array, Array]:
    """Declares the parameters and projects inputs, of any number of steps at once.

    Args:
      inputs: `[..., inputs]`.

    Returns:
      `(params, zx, recurrent_kernel)`, as `recur` takes them; `zx` is
      `[..., gates * features]`.
    """
    size = self.num_gates * self.features
    recurrent_init = _per_gate(self.recurrent_kernel_init, self.num_gates)
    kernel = self.param(
      'kernel', self.kernel_init, (inputs.shape[-1], size), self.param_dtype
    )
    recurrent_kernel = self.param(
      'recurrent_kernel', recurrent_init, (self.features, size), self.param_dtype
    )
    bias = self.param('bias', self.bias_init, (size,), self.param_dtype)
    inputs, kernel, recurrent_kernel, bias = promote_dtype(
      inputs, kernel, recurrent_kernel, bias, dtype=self.dtype
    )
    zx = jnp.dot(inputs, kernel)
    return self.own_params(), zx + jnp.broadcast_to(bias, zx.shape), recurrent_kernel

  def __call__(self, carry: Carry, inputs: Array) -> tuple[Carry, Array]:
    """Takes one step.

    Args:
      carry: the carry, as `initialize_carry` makes it.
      inputs: `[*batch, inputs]`.

    Returns:
      `(carry, y)`: the next carry and the output `[*batch, features]`.
    """
    params, zx, recurrent_kernel = self.project_inputs(inputs)
    zh = project(hidden(carry), recurrent_kernel)
    return advance(self.update, params, zx, zh, carry)

  @nn.nowrap
  def initialize_carry(self, rng: Array, input_shape: tuple[int, ...]) -> Carry:
    """Returns the initial carry for inputs of shape `[*batch, inputs]`."""
    shape = (*input_shape[:-1], self.features)
    return self.carry_init(rng, shape, _state_dtype(self.param_dtype))

  @property
  def num_feature_axes(self) -> int:
    """The number of axes of the inputs that are not batch: 1."""
    return 1


class ElmanCell(GatedCell):
  r"""The simple recurrent network of Elman, *Finding Structure in Time*, 1990.

  .. math::
    h_t = \phi(W x_t + R h_{t-1} + b)

  with :math:`\phi = \tanh`, where the paper has the logistic function. The carry is
  `h [*batch, features]`; for the other fields see `GatedCell`.

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
  def update(self, params: Params, zx: Array, zh: Array, carry: Carry) -> Carry:
    """Returns the next `h`."""
    return self.activation_fn(zx + zh)


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
  the order i, f, g, o; the carry is `(c, h)`, each `[*batch, features]`; for the
  fields see `GatedCell`.

  >>> cell = LSTMCell(4)
  >>> x = jnp.ones((2, 3))
  >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
  >>> ((c, h), y), variables = cell.init_with_output(jax.random.key(0), carry, x)
  >>> y.shape, variables['params']['kernel'].shape
  ((2, 4), (3, 16))
  """

  num_gates: ClassVar[int] = 4

  @nn.nowrap
  def gates(self, params: Params, zx: Array, zh: Array) -> dict[str, Array]:
    """Returns i, f, g, o as 'input', 'forget', 'cell' and 'output'."""
    i, f, g, o = jnp.split(zx + zh, 4, axis=-1)
    return {
      'input': nn.sigmoid(i),
      'forget': nn.sigmoid(f),
      'cell': jnp.tanh(g),
      'output': nn.sigmoid(o),
    }

  @nn.nowrap
  def update(self, params: Params, zx: Array, zh: Array, carry: Carry) -> Carry:
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
  `h [*batch, features]`; for the fields see `GatedCell`.

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
  def gates(self, params: Params, zx: Array, zh: Array) -> dict[str, Array]:
    """Returns r, z, n as 'reset', 'update' and 'new'."""
    (xr, xz, xn), (hr, hz, hn) = (jnp.split(z, 3, axis=-1) for z in (zx, zh))
    r = nn.sigmoid(xr + hr)
    n = jnp.tanh(xn + r * (hn + jnp.broadcast_to(params, hn.shape)))
    return {'reset': r, 'update': nn.sigmoid(xz + hz), 'new': n}

  @nn.nowrap
  def update(self, params: Params, zx: Array, zh: Array, carry: Carry) -> Carry:
    """Returns the next `h`."""
    _, z, n = self.gates(params, zx, zh).values()
    return (1 - z) * n + z * carry
