"""Variants of the LSTM and the GRU, and a network of independent neurons."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jax import Array

from ..ops.step import Carry, Gates, Params
from .base_cell import GatedCell
from .cells import GRUCell, LSTMCell


class PeepholeLSTMCell(LSTMCell):
  r"""LSTM whose gates see its cell, Gers and Schmidhuber 2000.

  .. math::
    \begin{aligned}
    i_t &= \sigma(W_i x_t + R_i h_{t-1} + p_i \odot c_{t-1} + b_i) \\
    f_t &= \sigma(W_f x_t + R_f h_{t-1} + p_f \odot c_{t-1} + b_f) \\
    g_t &= \tanh(W_g x_t + R_g h_{t-1} + b_g) \\
    c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
    o_t &= \sigma(W_o x_t + R_o h_{t-1} + p_o \odot c_t + b_o) \\
    h_t &= o_t \odot \tanh(c_t)
    \end{aligned}

  in the notation of Greff et al. 2017 (https://arxiv.org/abs/1503.04069), with
  :math:`g` for their block input :math:`z`. The peepholes are the parameters
  `input_peephole`, `forget_peephole` and `output_peephole`, each `[features]`; for the
  rest see `LSTMCell`.

  Attributes:
    peephole_init: initialiser of the peepholes; at zero the cell is an `LSTMCell`.

  >>> cell = PeepholeLSTMCell(4)
  >>> x = jnp.ones((2, 3))
  >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
  >>> ((c, h), y), variables = cell.init_with_output(jax.random.key(0), carry, x)
  >>> y.shape, variables['params']['input_peephole'].shape
  ((2, 4), (4,))
  """

  peephole_init: Initializer = nn.initializers.zeros_init()

  gates = GatedCell.gates  # They depend on c, which is no output.

  @nn.nowrap
  def own_params(self) -> Params:
    """Declares the peepholes."""
    return {
      gate: self.param(
        f'{gate}_peephole', self.peephole_init, (self.features,), self.param_dtype
      )
      for gate in ('input', 'forget', 'output')
    }

  @nn.nowrap
  def update(self, params: Params, zx: Gates, zh: Gates, carry: Carry) -> Carry:
    """Returns the next `(c, h)`."""
    i, f, g, o = map(jnp.add, zx, zh)
    c, _ = carry
    p = {gate: jnp.broadcast_to(p, c.shape) for gate, p in params.items()}
    i = nn.sigmoid(i + p['input'] * c)
    f = nn.sigmoid(f + p['forget'] * c)
    c = f * c + i * jnp.tanh(g)
    return c, nn.sigmoid(o + p['output'] * c) * jnp.tanh(c)


class CoupledLSTMCell(LSTMCell):
  r"""LSTM that forgets as much as it takes in, CIFG of Greff et al. 2017.

  .. math::
    \begin{aligned}
    f_t &= \sigma(W_f x_t + R_f h_{t-1} + b_f) \\
    g_t &= \tanh(W_g x_t + R_g h_{t-1} + b_g) \\
    o_t &= \sigma(W_o x_t + R_o h_{t-1} + b_o) \\
    c_t &= f_t \odot c_{t-1} + (1 - f_t) \odot g_t \\
    h_t &= o_t \odot \tanh(c_t)
    \end{aligned}

  It deviates from https://arxiv.org/abs/1503.04069 in that it has no
  peepholes, and that its parameters are those of :math:`f = 1 - i` and not of
  :math:`i`. The gates lie in the order f, g, o; for the rest see `LSTMCell`.

  >>> cell = CoupledLSTMCell(4)
  >>> x = jnp.ones((2, 3))
  >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
  >>> ((c, h), y), variables = cell.init_with_output(jax.random.key(0), carry, x)
  >>> y.shape, variables['params']['kernel'].shape
  ((2, 4), (3, 12))
  """

  num_gates: ClassVar[int] = 3
  forget_gate: ClassVar[int] = 0

  @nn.nowrap
  def gates(self, params: Params, zx: Gates, zh: Gates) -> dict[str, Array]:
    """Returns 1 - f, f, g, o as 'input', 'forget', 'cell' and 'output'."""
    f, g, o = map(jnp.add, zx, zh)
    f = nn.sigmoid(f)
    return {
      'input': 1 - f,
      'forget': f,
      'cell': jnp.tanh(g),
      'output': nn.sigmoid(o),
    }


class MGUCell(GRUCell):
  r"""Minimal gated unit, Zhou et al. 2016 (https://arxiv.org/abs/1603.09420).

  .. math::
    \begin{aligned}
    f_t &= \sigma(W_f x_t + R_f h_{t-1} + b_f) \\
    n_t &= \tanh(W_n x_t + b_n + f_t \odot (R_n h_{t-1} + b'_n)) \\
    h_t &= (1 - f_t) \odot n_t + f_t \odot h_{t-1}
    \end{aligned}

  which is a `GRUCell` with one gate for both of its own. It deviates from the paper as
  flax does: the gate acts after the product with :math:`R_n`, not before it, and in the
  last equation :math:`f` and :math:`1 - f` have changed places. The gates lie in the
  order f, n; flax starts :math:`b_f` at one, and this cell as `bias_init` says; for the
  rest see `GRUCell`.

  >>> cell = MGUCell(4)
  >>> x = jnp.ones((2, 3))
  >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
  >>> (carry, y), variables = cell.init_with_output(jax.random.key(0), carry, x)
  >>> y.shape, variables['params']['kernel'].shape
  ((2, 4), (3, 8))
  """

  num_gates: ClassVar[int] = 2

  @nn.nowrap
  def gates(self, params: Params, zx: Gates, zh: Gates) -> dict[str, Array]:
    """Returns f, n as 'forget' and 'new'."""
    (xf, xn), (hf, hn) = zx, zh
    f = nn.sigmoid(xf + hf)
    n = jnp.tanh(xn + f * (hn + jnp.broadcast_to(params, hn.shape)))
    return {'forget': f, 'new': n}

  @nn.nowrap
  def update(self, params: Params, zx: Gates, zh: Gates, carry: Carry) -> Carry:
    """Returns the next `h`."""
    f, n = self.gates(params, zx, zh).values()
    return (1 - f) * n + f * carry


class IndRNNCell(GatedCell):
  r"""Independently recurrent network, Li et al. 2018.

  .. math::
    h_t = \phi(W x_t + u \odot h_{t-1} + b)

  as in https://arxiv.org/abs/1803.04831, with :math:`\phi` the rectifier.
  There is no matmul of the state: the parameter `recurrent_kernel [features]` is
  :math:`u`. It deviates from the paper, which keeps :math:`|u|` at most
  :math:`\gamma^{1/T}` during training: that is a projection after the optimizer's step.
  The carry is `h [*batch, features]`; for the other fields see `RecurrentCell`.

  Attributes:
    recurrent_kernel_init: initialiser of :math:`u`, by default uniform in [-1, 1].
    activation_fn: :math:`\phi`.

  >>> cell = IndRNNCell(4)
  >>> x = jnp.ones((2, 3))
  >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
  >>> (carry, y), variables = cell.init_with_output(jax.random.key(0), carry, x)
  >>> y.shape, variables['params']['recurrent_kernel'].shape
  ((2, 4), (4,))
  """

  recurrent_kernel_init: Initializer = partial(jax.random.uniform, minval=-1.0)
  activation_fn: Callable[[Array], Array] = nn.relu

  num_gates: ClassVar[int] = 1
  recurrent_matmul: ClassVar[bool] = False

  @nn.nowrap
  def own_params(self) -> Params:
    """Declares u."""
    return self.param(
      'recurrent_kernel', self.recurrent_kernel_init, (self.features,), self.param_dtype
    )

  @nn.nowrap
  def update(self, params: Params, zx: Gates, zh: Gates, carry: Carry) -> Carry:
    """Returns the next `h`; `zh` is empty."""
    return self.activation_fn(zx[0] + jnp.broadcast_to(params, carry.shape) * carry)
