"""Gated cells that are linear in their state: minGRU, minLSTM, SRU."""

from typing import Any

import flax.linen as nn
from jax import Array

from .linear_cell import LinearCell


class MinGRUCell(LinearCell):
  r"""The minimal GRU of Feng et al. 2024, https://arxiv.org/abs/2410.01201.

  .. math::
    \begin{aligned}
    z_t &= \sigma(W_z x_t + b_z) \\
    \tilde h_t &= W_h x_t + b_h \\
    h_t &= (1 - z_t) \odot h_{t-1} + z_t \odot \tilde h_t
    \end{aligned}

  as in section 3.1 of the paper, so without the function that makes :math:`\tilde h`
  positive for the logarithms of its appendix. The blocks lie in the order z, h; the
  carry is `h [*batch, features]`; for the fields see `LinearCell`.

  >>> import jax
  >>> import jax.numpy as jnp
  >>> cell = MinGRUCell(4)
  >>> x = jnp.ones((2, 3))
  >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
  >>> (carry, y), variables = cell.init_with_output(jax.random.key(0), carry, x)
  >>> y.shape, variables['params']['kernel'].shape
  ((2, 4), (3, 8))
  >>> _, ys = cell.apply(variables, carry, jnp.ones((7, 2, 3)), method='run')
  >>> ys.shape
  (7, 2, 4)
  """

  @nn.compact
  def coefficients(self, inputs: Array) -> tuple[Array, Array, Any]:
    """Returns `1 - z` and `z * h~`."""
    z, h = self.project(inputs, blocks=2, biased=2)
    return nn.sigmoid(-z), nn.sigmoid(z) * h, None


class MinLSTMCell(LinearCell):
  r"""The minimal LSTM of Feng et al. 2024, https://arxiv.org/abs/2410.01201.

  .. math::
    \begin{aligned}
    f_t &= \sigma(W_f x_t + b_f), \quad i_t = \sigma(W_i x_t + b_i) \\
    \tilde h_t &= W_h x_t + b_h \\
    f'_t &= \frac{f_t}{f_t + i_t}, \quad i'_t = \frac{i_t}{f_t + i_t} \\
    h_t &= f'_t \odot h_{t-1} + i'_t \odot \tilde h_t
    \end{aligned}

  as in section 3.2 of the paper, so without the function that makes :math:`\tilde h`
  positive for the logarithms of its appendix. The blocks lie in the order f, i, h; the
  carry is `h [*batch, features]`; for the fields see `LinearCell`.

  >>> import jax
  >>> import jax.numpy as jnp
  >>> cell = MinLSTMCell(4)
  >>> x = jnp.ones((2, 3))
  >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
  >>> (carry, y), variables = cell.init_with_output(jax.random.key(0), carry, x)
  >>> y.shape, variables['params']['kernel'].shape
  ((2, 4), (3, 12))
  """

  @nn.compact
  def coefficients(self, inputs: Array) -> tuple[Array, Array, Any]:
    """Returns `f'` and `i' * h~`."""
    f, i, h = self.project(inputs, blocks=3, biased=3)
    # The logarithm of f / i: both may round to zero, and their quotient is still right.
    ratio = nn.log_sigmoid(f) - nn.log_sigmoid(i)
    return nn.sigmoid(ratio), nn.sigmoid(-ratio) * h, None


class SRUCell(LinearCell):
  r"""Simple recurrent unit, Lei et al. 2017, https://arxiv.org/abs/1709.02755.

  .. math::
    \begin{aligned}
    f_t &= \sigma(W_f x_t + b_f) \\
    r_t &= \sigma(W_r x_t + b_r) \\
    c_t &= f_t \odot c_{t-1} + (1 - f_t) \odot (W x_t) \\
    h_t &= r_t \odot c_t + (1 - r_t) \odot x_t
    \end{aligned}

  This is the linear form: the terms :math:`v \odot c_{t-1}` that later versions of the
  paper have in both gates would tie each step to the one before, and are left out, as
  is their constant that scales the highway's :math:`x_t`. Where the sizes of inputs and
  outputs differ, :math:`x_t` in the last equation is :math:`W_x x_t`, as in the
  authors' code. The blocks lie in the order f, r, W and, if there is one, W_x; f and r
  have biases. The carry is `c [*batch, features]` and the output `h`; for the fields
  see `LinearCell`.

  >>> import jax
  >>> import jax.numpy as jnp
  >>> cell = SRUCell(4)
  >>> x = jnp.ones((2, 3))
  >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
  >>> (carry, y), variables = cell.init_with_output(jax.random.key(0), carry, x)
  >>> y.shape, variables['params']['kernel'].shape
  ((2, 4), (3, 16))
  """

  @nn.compact
  def coefficients(self, inputs: Array) -> tuple[Array, Array, Any]:
    """Returns `f`, `(1 - f) * W x` and `(r, x)`."""
    highway = [inputs] if inputs.shape[-1] == self.features else []
    f, r, w, *projected = self.project(inputs, blocks=4 - len(highway), biased=2)
    (x,) = highway or projected
    rest = nn.sigmoid(r), nn.sigmoid(-r) * x.astype(r.dtype)
    return nn.sigmoid(f), nn.sigmoid(-f) * w, rest

  @nn.nowrap
  def output(self, state: Array, rest: Any) -> Array:
    """Returns `r * c + (1 - r) * x`."""
    r, highway = rest
    return r * state + highway
