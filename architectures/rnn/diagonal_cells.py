"""Cells with a diagonal recurrent matrix: LRU, RG-LRU."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike

from ..ops.step import Carry
from .linear_cell import LinearCell


class LRUCell(LinearCell):
  r"""Linear recurrent unit, Orvieto et al. 2023, https://arxiv.org/abs/2303.06349.

  .. math::
    \begin{aligned}
    \lambda &= \exp(-\exp(\nu) + i \exp(\theta)) \\
    h_t &= \lambda \odot h_{t-1} + \exp(\gamma) \odot (B x_t) \\
    y_t &= \mathrm{Re}(C h_t) + D x_t
    \end{aligned}

  with a complex state of size N. At first :math:`\lambda` is uniform on the ring
  between `r_min` and `r_max` with a phase up to `max_phase`, and
  :math:`\exp(\gamma) = \sqrt{1 - |\lambda|^2}`, as in the paper's appendix A; B and C
  have the variance of that appendix.

  The parameters are `nu_log`, `theta_log` and `gamma_log`, each `[N]`; B as `kernel
  [inputs, 2 * N]`, its real and imaginary parts side by side; C as `output_kernel
  [2 * N, features]`, its real part above the imaginary; and D, diagonal as in the
  appendix, as `skip [features]` or, where the sizes of inputs and outputs differ, a
  matrix `skip_kernel [inputs, features]`. The carry is `h [*batch, N]`, complex64 for
  parameters of float32 and less; for the other fields see `LinearCell`.

  Attributes:
    state_features: N, by default `features`.
    r_min: the smallest modulus at first.
    r_max: the largest.
    max_phase: the largest phase at first, in radians.
    output_kernel_init: initialiser of `output_kernel`.
    skip_init: initialiser of `skip`.
    skip_kernel_init: initialiser of `skip_kernel`.

  >>> cell = LRUCell(4, state_features=5, r_min=0.9, r_max=0.999)
  >>> x = jnp.ones((2, 3))
  >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
  >>> (carry, y), variables = cell.init_with_output(jax.random.key(0), carry, x)
  >>> carry.shape, carry.dtype, y.shape, y.dtype
  ((2, 5), dtype('complex64'), (2, 4), dtype('float32'))
  """

  kernel_init: Initializer = nn.initializers.variance_scaling(0.5, 'fan_in', 'normal')
  state_features: int | None = None
  r_min: float = 0.0
  r_max: float = 1.0
  max_phase: float = 6.28
  output_kernel_init: Initializer = nn.initializers.variance_scaling(
    2.0, 'fan_in', 'normal'
  )
  skip_init: Initializer = nn.initializers.normal(1.0)
  skip_kernel_init: Initializer = nn.initializers.lecun_normal()

  @nn.compact
  def coefficients(self, inputs: Array) -> tuple[Array, Array, Any]:
    """Returns `lambda`, `exp(gamma) * B x` and `(C, D x)`."""
    if not 0 <= self.r_min < self.r_max <= 1:
      raise ValueError(
        f'r_min, r_max: got {self.r_min}, {self.r_max}, expected '
        '0 <= r_min < r_max <= 1'
      )
    size, dtype = self._state_features, self._dtype(inputs)
    real, imag = self.project(inputs, blocks=2, biased=0, size=size)

    def nu_init(key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
      inner, outer = self.r_min**2, self.r_max**2
      squared = _uniform(key, shape) * (outer - inner) + inner
      return jnp.log(-0.5 * jnp.log(squared)).astype(dtype)

    def theta_init(key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
      return jnp.log(self.max_phase * _uniform(key, shape)).astype(dtype)

    def gamma_init(key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
      return (0.5 * jnp.log(-jnp.expm1(-2 * jnp.exp(nu)))).astype(dtype)

    # Before gamma's initialiser, which reads it.
    nu = self.param('nu_log', nu_init, (size,), self.param_dtype).astype(real.dtype)
    theta, gamma = (
      self.param(name, init, (size,), self.param_dtype).astype(real.dtype)
      for name, init in (('theta_log', theta_init), ('gamma_log', gamma_init))
    )
    output_kernel = self.param(
      'output_kernel',
      self.output_kernel_init,
      (2 * size, self.features),
      self.param_dtype,
    ).astype(dtype)
    if inputs.shape[-1] == self.features:
      skip = self.param('skip', self.skip_init, (self.features,), self.param_dtype)
      skipped = inputs * jnp.broadcast_to(skip, inputs.shape)
    else:
      skip = self.param(
        'skip_kernel',
        self.skip_kernel_init,
        (inputs.shape[-1], self.features),
        self.param_dtype,
      )
      skipped = jnp.dot(inputs.astype(dtype), skip.astype(dtype))
    a = jnp.exp(lax.complex(-jnp.exp(nu), jnp.exp(theta)))
    b = lax.complex(real, imag) * jnp.broadcast_to(jnp.exp(gamma), real.shape)
    return a, b, (output_kernel, skipped.astype(real.dtype))

  @nn.nowrap
  def output(self, state: Array, rest: Any) -> Array:
    """Returns `Re(C h) + D x`."""
    output_kernel, skipped = rest
    parts = jnp.concatenate([state.real, -state.imag], axis=-1)
    y = jnp.dot(parts.astype(output_kernel.dtype), output_kernel)
    return y.astype(skipped.dtype) + skipped

  @property
  def _state_features(self) -> int:
    return self.features if self.state_features is None else self.state_features

  @nn.nowrap
  def initialize_carry(self, rng: Array, input_shape: tuple[int, ...]) -> Carry:
    """Returns the initial carry for inputs of shape `[*batch, inputs]`."""
    shape = (*input_shape[:-1], self._state_features)
    dtype = jnp.promote_types(self.param_dtype, jnp.complex64)
    return self.carry_init(rng, shape, dtype)


def _uniform(key: Array, shape: tuple[int, ...]) -> Array:
  """Draws from (0, 1): the logarithm of 0 would make a parameter infinite."""
  return jax.random.uniform(key, shape, minval=jnp.finfo(jnp.float32).tiny)


class RGLRUCell(LinearCell):
  r"""Real-gated LRU of Griffin, De et al. 2024, https://arxiv.org/abs/2402.19427.

  .. math::
    \begin{aligned}
    r_t &= \sigma(W_a x_t + b_a) \\
    i_t &= \sigma(W_x x_t + b_x) \\
    a_t &= \exp(-c \, \mathrm{softplus}(\Lambda) \odot r_t) \\
    h_t &= a_t \odot h_{t-1} + \sqrt{1 - a_t^2} \odot (i_t \odot x_t)
    \end{aligned}

  as in section 2.4 of the paper, with the sign of :math:`\Lambda` of its appendix A and
  of the authors' code. At first :math:`a^c = \exp(-c \, \mathrm{softplus}(\Lambda))` is
  uniform between `a_min` and `a_max`. It deviates from the authors' code, whose gates
  have block-diagonal kernels, and which leaves out :math:`\sqrt{1 - a_t^2}` at the
  first step of a sequence. Where the sizes of inputs and outputs differ, :math:`x_t` in
  the last equation is :math:`W x_t`; in the paper a layer before the cell makes them
  equal. The blocks lie in the order a, x and, if there is one, W; a and x have biases;
  :math:`\Lambda` is the parameter `decay [features]`. The carry is
  `h [*batch, features]`; for the other fields see `LinearCell`.

  Attributes:
    c: :math:`c`.
    a_min: the smallest :math:`a^c` at first.
    a_max: the largest.

  >>> cell = RGLRUCell(4)
  >>> x = jnp.ones((2, 4))
  >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
  >>> (carry, y), variables = cell.init_with_output(jax.random.key(0), carry, x)
  >>> y.shape, variables['params']['kernel'].shape
  ((2, 4), (4, 8))
  """

  c: float = 8.0
  a_min: float = 0.9
  a_max: float = 0.999

  @nn.compact
  def coefficients(self, inputs: Array) -> tuple[Array, Array, Any]:
    """Returns `a` and `sqrt(1 - a^2) * i * x`."""
    if not 0 < self.a_min < self.a_max < 1:
      raise ValueError(
        f'a_min, a_max: got {self.a_min}, {self.a_max}, expected 0 < a_min < a_max < 1'
      )

    def decay_init(key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
      a = jax.random.uniform(key, shape, minval=self.a_min, maxval=self.a_max)
      return jnp.log(jnp.expm1(-jnp.log(a) / self.c)).astype(dtype)

    same = [inputs] if inputs.shape[-1] == self.features else []
    r, i, *projected = self.project(inputs, blocks=3 - len(same), biased=2)
    (x,) = same or projected
    decay = self.param('decay', decay_init, (self.features,), self.param_dtype)
    rate = self.c * nn.softplus(decay.astype(r.dtype))
    log_a = -jnp.broadcast_to(rate, r.shape) * nn.sigmoid(r)
    # 1 - a^2 without cancellation, and no infinite slope where `a` rounds to 1.
    rest = -jnp.expm1(2 * log_a)
    scale = jnp.where(rest > 0, jnp.sqrt(jnp.where(rest > 0, rest, 1)), 0)
    return jnp.exp(log_a), scale * nn.sigmoid(i) * x.astype(r.dtype), None
