"""What the recurrent cells share: their fields, parameters and protocol."""

from collections.abc import Callable
from dataclasses import KW_ONLY
from numbers import Integral
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from flax.typing import Initializer
from jax import Array
from jax.typing import DTypeLike

from ..ops.recurrence import recur
from ..ops.step import Carry, Gates, Params


def state_dtype(dtype: DTypeLike) -> Any:
  """Returns the dtype of a state for parameters of a dtype."""
  return jnp.promote_types(dtype, jnp.float32)


def _per_gate(init: Initializer, num_gates: int) -> Callable[..., Array]:
  """Initialises each gate's block of columns by itself, in float32 or wider."""

  def initializer(key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    block = (*shape[:-1], shape[-1] // num_gates)
    keys = jax.random.split(key, num_gates)
    blocks = [init(key, block, state_dtype(dtype)) for key in keys]
    return jnp.concatenate(blocks, axis=-1).astype(dtype)

  return initializer


def add_bias(z: Array, bias: Array) -> Array:
  """Adds a bias `[features]` to `[..., features]`, in the dtype of the latter."""
  return z + jnp.broadcast_to(bias.astype(z.dtype), z.shape)


class RecurrentCell(nn.RNNCellBase):
  """A recurrent cell, which takes one step; base of the cells.

  `RNN` scans it as it is. The parameters are `kernel [inputs, gates * features]`,
  `recurrent_kernel [features, gates * features]` and `bias [gates * features]`, the
  gates side by side in the order that the cell's docstring gives.

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
  _: KW_ONLY
  dtype: DTypeLike | None = None
  param_dtype: DTypeLike = jnp.float32
  kernel_init: Initializer = nn.initializers.lecun_normal()
  recurrent_kernel_init: Initializer = nn.initializers.orthogonal()
  bias_init: Initializer = nn.initializers.zeros_init()
  carry_init: Initializer = nn.initializers.zeros_init()

  num_gates: ClassVar[int]
  # Whether there is a bias that adds to the inputs' product, and a matmul of the state.
  projection_bias: ClassVar[bool] = True
  recurrent_matmul: ClassVar[bool] = True

  def __post_init__(self) -> None:
    """Checks the fields."""
    self.check_positive('features')
    if not hasattr(self, 'num_gates'):
      raise ValueError(
        f'num_gates: {type(self).__name__} has none, expected an int attribute of '
        'the class, `num_gates: ClassVar[int] = 2`'
      )
    super().__post_init__()

  @nn.nowrap
  def check_positive(self, field: str) -> None:
    """Raises ValueError if a field is not a positive int."""
    value = getattr(self, field)
    if not isinstance(value, Integral) or value < 1:
      raise ValueError(f'{field}: got {value!r}, expected a positive int')

  @nn.nowrap
  def declare(
    self, inputs: Array, *, window: tuple[int, ...] = (), state: int | None = None
  ) -> tuple[Array, Array, Any, Any]:
    """Declares the kernels and the bias for inputs `[..., inputs]`.

    Args:
      inputs: the inputs.
      window: the first axes of the kernels, if they are not matrices.
      state: the size of the hidden state, if it is not `features`.

    Returns:
      `(inputs, kernel, bias, recurrent_kernel)`: arrays, all but the bias in the dtype
      of the matmuls. The last two are None where the class has none.

    Raises:
      ValueError: the cell has a kernel for another number of inputs.
    """
    features, size = inputs.shape[-1], self.num_gates * self.features
    if self.has_variable('params', 'kernel'):
      expected = nn.unbox(self.get_variable('params', 'kernel')).shape[-2]
      if features != expected:
        raise ValueError(f'inputs: got {features} features, expected {expected}')
    bias = recurrent_kernel = None
    kernel = self.param(
      'kernel', self.kernel_init, (*window, features, size), self.param_dtype
    )
    if self.recurrent_matmul:
      recurrent_kernel = self.param(
        'recurrent_kernel',
        _per_gate(self.recurrent_kernel_init, self.num_gates),
        (*window, state or self.features, size),
        self.param_dtype,
      )
    if self.projection_bias:
      bias = self.param('bias', self.initialize_bias, (size,), self.param_dtype)
    inputs, kernel, recurrent_kernel = promote_dtype(
      inputs, kernel, recurrent_kernel, dtype=self.dtype
    )
    return inputs, kernel, bias, recurrent_kernel

  @nn.nowrap
  def initialize_bias(
    self, key: Array, shape: tuple[int, ...], dtype: DTypeLike
  ) -> Array:
    """Initialises `bias`; by default as `bias_init` does."""
    return self.bias_init(key, shape, dtype)

  @nn.nowrap
  def initialize_carry(self, rng: Array, input_shape: tuple[int, ...]) -> Carry:
    """Returns the initial carry for inputs of shape `[*batch, inputs]`."""
    shape = (*input_shape[:-1], self.features)
    return self.carry_init(rng, shape, state_dtype(self.param_dtype))

  @property
  def num_feature_axes(self) -> int:
    """The number of axes of the inputs that are not batch: 1."""
    return 1


class GatedCell(RecurrentCell):
  """A recurrent cell on one input and one recurrent product; base of the fast cells.

  It writes `update`, which has no matmul in it, and leaves time and the matmuls to the
  engine. For the parameters and the fields see `RecurrentCell`.
  """

  @nn.nowrap
  def update(self, params: Params, zx: Gates, zh: Gates, carry: Carry) -> Carry:
    """Returns the next carry; pure, and without a matmul.

    What is to be differentiated comes in by the arguments: an array that the function
    closes over would be a leaked tracer.

    Args:
      params: what `own_params` returned.
      zx: the inputs' product with the bias, one array `[*batch, features]` a gate.
      zh: the hidden state's product, likewise.
      carry: the carry before the step; its last leaf is the hidden state.
    """
    raise NotImplementedError(
      f'{type(self).__name__}.update(params, zx, zh, carry): expected a definition'
    )

  @nn.nowrap
  def gates(self, params: Params, zx: Gates, zh: Gates) -> dict[str, Array]:
    """Returns the gates' activations by name; arguments as for `update`.

    Raises:
      ValueError: the cell has no gates.
    """
    raise ValueError(
      f'cell: {type(self).__name__} has no gates that follow from its outputs'
    )

  @nn.nowrap
  def own_params(self) -> Params:
    """Declares what parameters the cell has besides the two kernels and the bias."""
    return {}

  @nn.compact
  def weights(
    self, inputs: Array
  ) -> tuple[Params, Array, Array, Array | None, Array | None]:
    """Declares the parameters for inputs `[..., inputs]`.

    Returns:
      `(params, inputs, kernel, bias, recurrent_kernel)`, as `recur` takes them.

    Raises:
      ValueError: the cell has a kernel for another number of inputs.
    """
    declared = self.declare(inputs)
    return self.own_params(), *declared

  def __call__(self, carry: Carry, inputs: Array) -> tuple[Carry, Array]:
    """Takes one step.

    Args:
      carry: the carry, as `initialize_carry` makes it.
      inputs: `[*batch, inputs]`.

    Returns:
      `(carry, y)`: the next carry and the output `[*batch, features]`.
    """
    carry, y = recur(self.update, *self.weights(inputs[None]), carry)
    return carry, y[0]
