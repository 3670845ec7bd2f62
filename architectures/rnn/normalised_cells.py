"""Recurrent cells with layer normalisation inside (Ba et al. 2016)."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jax import Array

from ..ops.step import Carry, Gates, Params
from .cells import GRUCell, LSTMCell


def _normalise(
  gates: Gates, scale: Array, bias: Array | None, epsilon: float
) -> list[Array]:
  """Normalises over the features of all the gates together.

  Args:
    gates: one array `[*batch, features]` a gate.
    scale: `[gates * features]`.
    bias: likewise, added at the end; or None.
    epsilon: added to the variance.
  """

  # No concatenation: a loop over the gates' own arrays is vectorised on CPU.
  def mean(gates: Gates) -> Array:
    means = [jnp.mean(z, axis=-1, keepdims=True) for z in gates]
    return sum(means[1:], start=means[0]) / len(gates)

  def over_gates(param: Array) -> list[Array]:
    parts = jnp.split(param, len(gates))
    return [jnp.broadcast_to(p, z.shape) for p, z in zip(parts, gates, strict=True)]

  center = mean(gates)
  gates = [z - center for z in gates]
  inverse = jax.lax.rsqrt(mean([jnp.square(z) for z in gates]) + epsilon)
  out = [z * inverse * s for z, s in zip(gates, over_gates(scale), strict=True)]
  return out if bias is None else list(map(jnp.add, out, over_gates(bias)))


class LayerNormLSTMCell(LSTMCell):
  r"""LSTM with layer normalisation, Ba et al. 2016.

  .. math::
    \begin{aligned}
    (\tilde i_t, \tilde f_t, \tilde g_t, \tilde o_t) &=
      \alpha_x \odot N(W x_t) + \alpha_h \odot N(R h_{t-1}) + b \\
    c_t &= \sigma(\tilde f_t) \odot c_{t-1} + \sigma(\tilde i_t) \odot \tanh(\tilde g_t)
      \\
    h_t &= \sigma(\tilde o_t) \odot \tanh(\alpha_c \odot N(c_t) + \beta_c)
    \end{aligned}

  as in the supplementary material of https://arxiv.org/abs/1607.06450, whose three
  biases of the gates are one here, since only their sum counts. N subtracts the mean
  over the features of all the gates together and divides by the standard deviation.
  The parameters are those of `LSTMCell`, `input_scale` and `recurrent_scale`, each
  `[4 * features]`, and `cell_scale` and `cell_bias`, each `[features]`.

  Attributes:
    scale_init: initialiser of the scales.
    epsilon: added to the variance; by default as in the authors' code.

  >>> cell = LayerNormLSTMCell(4)
  >>> x = jnp.ones((2, 3))
  >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
  >>> ((c, h), y), variables = cell.init_with_output(jax.random.key(0), carry, x)
  >>> y.shape, variables['params']['input_scale'].shape
  ((2, 4), (16,))
  """

  scale_init: Initializer = nn.initializers.ones_init()
  epsilon: float = 1e-5

  projection_bias: ClassVar[bool] = False  # It comes after the normalisation.

  @nn.nowrap
  def own_params(self) -> Params:
    """Declares the scales and the biases."""
    size, cell = (4 * self.features,), (self.features,)
    dtype = self.param_dtype
    return {
      'input_scale': self.param('input_scale', self.scale_init, size, dtype),
      'recurrent_scale': self.param('recurrent_scale', self.scale_init, size, dtype),
      'bias': self.param('bias', self.initialize_bias, size, dtype),
      'cell_scale': self.param('cell_scale', self.scale_init, cell, dtype),
      'cell_bias': self.param('cell_bias', self.bias_init, cell, dtype),
    }

  @nn.nowrap
  def gates(self, params: Params, zx: Gates, zh: Gates) -> dict[str, Array]:
    """Returns i, f, g, o as 'input', 'forget', 'cell' and 'output'."""
    zx = _normalise(zx, params['input_scale'], params['bias'], self.epsilon)
    zh = _normalise(zh, params['recurrent_scale'], None, self.epsilon)
    return super().gates(params, zx, zh)

  @nn.nowrap
  def update(self, params: Params, zx: Gates, zh: Gates, carry: Carry) -> Carry:
    """Returns the next `(c, h)`."""
    i, f, g, o = self.gates(params, zx, zh).values()
    c = f * carry[0] + i * g
    scale, bias = params['cell_scale'], params['cell_bias']
    (normalised,) = _normalise([c], scale, bias, self.epsilon)
    return c, o * jnp.tanh(normalised)


class LayerNormGRUCell(GRUCell):
  r"""GRU with layer normalisation, Ba et al. 2016.

  .. math::
    \begin{aligned}
    (\tilde r_t, \tilde z_t) &= \alpha_x \odot N(W_{rz} x_t)
      + \alpha_h \odot N(R_{rz} h_{t-1}) + b_{rz} \\
    n_t &= \tanh(\alpha'_x \odot N(W_n x_t) + b_n
      + \sigma(\tilde r_t) \odot (\alpha'_h \odot N(R_n h_{t-1}) + b'_n)) \\
    h_t &= (1 - \sigma(\tilde z_t)) \odot n_t + \sigma(\tilde z_t) \odot h_{t-1}
    \end{aligned}

  as in the supplementary material of https://arxiv.org/abs/1607.06450 (and not as in
  Haste, which normalises all three gates together): N is over the features of r and z
  together, and over those of n. In the last equation :math:`z` and :math:`1 - z` have
  changed places, as in `GRUCell`, and the two biases of r and z are one. The parameters
  are those of `GRUCell` and `input_scale` and `recurrent_scale`, each `[3 * features]`.

  Attributes:
    scale_init: initialiser of the scales.
    epsilon: added to the variance; by default as in the authors' code.

  >>> cell = LayerNormGRUCell(4)
  >>> x = jnp.ones((2, 3))
  >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
  >>> (carry, y), variables = cell.init_with_output(jax.random.key(0), carry, x)
  >>> y.shape, variables['params']['input_scale'].shape
  ((2, 4), (12,))
  """

  scale_init: Initializer = nn.initializers.ones_init()
  epsilon: float = 1e-5

  projection_bias: ClassVar[bool] = False  # It comes after the normalisation.

  @nn.nowrap
  def own_params(self) -> Params:
    """Declares the scales and the biases."""
    size, dtype = (3 * self.features,), self.param_dtype
    return {
      'input_scale': self.param('input_scale', self.scale_init, size, dtype),
      'recurrent_scale': self.param('recurrent_scale', self.scale_init, size, dtype),
      'bias': self.param('bias', self.initialize_bias, size, dtype),
      'recurrent_bias': super().own_params(),
    }

  @nn.nowrap
  def gates(self, params: Params, zx: Gates, zh: Gates) -> dict[str, Array]:
    """Returns r, z, n as 'reset', 'update' and 'new'."""
    zx = self._normalise(zx, params['input_scale'], params['bias'])
    zh = self._normalise(zh, params['recurrent_scale'], None)
    return super().gates(params['recurrent_bias'], zx, zh)

  @nn.nowrap
  def _normalise(self, z: Gates, scale: Array, bias: Array | None) -> Gates:
    """Normalises r and z together, and n by itself."""
    split = 2 * self.features
    rz, n = (slice(None, split), slice(split, None))
    both = _normalise(
      z[:2], scale[rz], None if bias is None else bias[rz], self.epsilon
    )
    new = _normalise(z[2:], scale[n], None if bias is None else bias[n], self.epsilon)
    return [*both, *new]
