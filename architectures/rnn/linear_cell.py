"""What the cells share that are linear in their state, so that time is parallel.

A cell steps by itself, `carry, y = cell(carry, x)`, as any `flax.linen` cell does, and
takes all steps at once with `run`, which `RNN` calls. A new cell subclasses
`LinearCell` and writes `coefficients`, and `output` where that is not the state.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import canonicalize_dtype
from jax import Array
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike

from ..ops.linear_recurrence import linear_recurrence
from ..ops.step import Carry
from .base_cell import state_dtype


class LinearCell(nn.RNNCellBase):
  r"""A cell whose state obeys a linear recurrence; base of the cells.

  .. math::
    h_t = a_t \odot h_{t-1} + b_t, \qquad y_t = o(h_t, x_t)

  with :math:`a_t` and :math:`b_t` functions of :math:`x_t` alone. The parameters are
  `kernel [inputs, blocks * features]` and `bias [biased * features]`, the blocks side
  by side in the order that the cell's docstring gives, and what else it says.

  Attributes:
    features: the size of the outputs, and of the state unless the cell says otherwise.
    dtype: dtype of the matmuls and of the outputs; by default that of inputs and
      parameters together.
    param_dtype: dtype of the parameters. The carry's is this or float32, whichever is
      wider, so the state of a bfloat16 cell is float32.
    kernel_init: initialiser of `kernel`.
    bias_init: initialiser of `bias`.
    carry_init: initialiser of the state.
  """

  features: int
  dtype: DTypeLike | None = None
  param_dtype: DTypeLike = jnp.float32
  kernel_init: Initializer = nn.initializers.lecun_normal()
  bias_init: Initializer = nn.initializers.zeros_init()
  carry_init: Initializer = nn.initializers.zeros_init()

  def coefficients(self, inputs: Array) -> tuple[Array, Array, Any]:
    """Declares the parameters and computes what the recurrence needs (`nn.compact`).

    Args:
      inputs: `[*steps, inputs]`, of any number of steps.

    Returns:
      `(a, b, rest)`, in the dtype of the state: `a` broadcasts to
      `b [*steps, features]`, and `rest` is what `output` needs besides the state.
    """
    raise NotImplementedError

  @nn.nowrap
  def output(self, state: Array, rest: Any) -> Array:
    """Returns the outputs `[*steps, features]`; pure. By default the state.

    Args:
      state: `[*steps, features]`, the states after the steps.
      rest: what `coefficients` returned.
    """
    return state

  @nn.nowrap
  def project(
    self, inputs: Array, blocks: int, biased: int, size: int | None = None
  ) -> list[Array]:
    """Declares `kernel` and `bias` and projects inputs, in one matmul.

    Args:
      inputs: `[*steps, inputs]`.
      blocks: how many projections there are.
      biased: how many of them, from the first, have a bias.
      size: the size of each, by default `features`.

    Returns:
      The projections, each `[*steps, size]` in the dtype of the state.
    """
    size = self.features if size is None else size
    shape = (inputs.shape[-1], blocks * size)
    kernel = self.param('kernel', self.kernel_init, shape, self.param_dtype)
    dtype = self._dtype(inputs)
    z = jnp.dot(inputs.astype(dtype), kernel.astype(dtype))
    z = z.astype(state_dtype(dtype))
    if biased:
      bias = self.param('bias', self.bias_init, (biased * size,), self.param_dtype)
      bias = jnp.pad(bias.astype(z.dtype), (0, (blocks - biased) * size))
      z = z + jnp.broadcast_to(bias, z.shape)
    return jnp.split(z, blocks, axis=-1)

  @nn.nowrap
  def _dtype(self, inputs: Array) -> Any:
    """Returns the dtype of the matmuls and of the outputs."""
    params = jnp.zeros((), self.param_dtype)
    return canonicalize_dtype(inputs, params, dtype=self.dtype)

  def run(
    self,
    carry: Carry,
    xs: Array,
    *,
    valid: Array | None = None,
    resets: Array | None = None,
    reset_to: Carry | None = None,
    reverse: bool = False,
  ) -> tuple[Carry, Array]:
    """Takes all steps at once.

    Args:
      carry: the carry, as `initialize_carry` makes it.
      xs: `[time, *batch, inputs]`.
      valid: bool `[time, *batch]`. A step that is not valid keeps the carry and outputs
        zero.
      resets: bool `[time, *batch]`: where the carry is replaced by `reset_to` before
        the step, valid or not.
      reset_to: like the carry, by default zeros.
      reverse: run from the last step to the first; the outputs stay in place.

    Returns:
      `(carry, ys)`: the final carry, in the dtypes it came in, and the outputs
      `[time, *batch, features]`.

    Raises:
      ValueError: a shape or dtype that does not fit the others.
    """
    a, b, rest = self.coefficients(xs)
    final, states = linear_recurrence(
      a, b, carry, valid=valid, resets=resets, reset_to=reset_to, reverse=reverse
    )
    ys = self.output(states, rest).astype(self._dtype(xs))
    if valid is not None:
      ys = jnp.where(valid[..., None], ys, 0)
    return final.astype(carry.dtype), ys

  def __call__(self, carry: Carry, inputs: Array) -> tuple[Carry, Array]:
    """Takes one step.

    Args:
      carry: the carry, as `initialize_carry` makes it.
      inputs: `[*batch, inputs]`.

    Returns:
      `(carry, y)`: the next carry and the output `[*batch, features]`.
    """
    carry, ys = self.run(carry, inputs[None])
    return carry, ys[0]

  @nn.nowrap
  def initialize_carry(self, rng: Array, input_shape: tuple[int, ...]) -> Carry:
    """Returns the initial carry for inputs of shape `[*batch, inputs]`."""
    shape = (*input_shape[:-1], self.features)
    return self.carry_init(rng, shape, state_dtype(self.param_dtype))

  @property
  def num_feature_axes(self) -> int:
    """The number of axes of the inputs that are not batch: 1."""
    return 1
