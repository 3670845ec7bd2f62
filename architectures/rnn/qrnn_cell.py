"""The quasi-recurrent cell: a convolution over time and a linear recurrence."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from ..ops.linear_recurrence import linear_recurrence
from ..ops.step import Carry
from .base_cell import state_dtype
from .linear_cell import LinearCell


class QRNNCell(LinearCell):
  r"""Quasi-recurrent network, Bradbury et al. 2016, https://arxiv.org/abs/1611.01576.

  .. math::
    \begin{aligned}
    z_t &= \tanh(\textstyle\sum_{k=1}^w W_z^k x_{t-w+k} + b_z) \\
    f_t &= \sigma(\textstyle\sum_{k=1}^w W_f^k x_{t-w+k} + b_f) \\
    o_t &= \sigma(\textstyle\sum_{k=1}^w W_o^k x_{t-w+k} + b_o) \\
    c_t &= f_t \odot c_{t-1} + (1 - f_t) \odot z_t \\
    h_t &= o_t \odot c_t
    \end{aligned}

  the fo-pooling of section 2.1, with biases, which the paper leaves out. `kernel` is
  `[w * inputs, 3 * features]`, its rows from the oldest input of the window to the
  newest, its blocks in the order z, f, o. The carry is `(past, c)`: the last inputs
  `[*batch, w - 1, inputs]` from the oldest to the newest, at first zeros, and
  `c [*batch, features]`; the output is `h`. A step that is not valid is no part of the
  window. For the other fields see `LinearCell`.

  Attributes:
    window: :math:`w`, the width of the convolution over time.

  >>> cell = QRNNCell(4)
  >>> x = jnp.ones((2, 3))
  >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
  >>> ((past, c), y), variables = cell.init_with_output(jax.random.key(0), carry, x)
  >>> past.shape, y.shape, variables['params']['kernel'].shape
  ((2, 1, 3), (2, 4), (6, 12))
  """

  window: int = 2

  @nn.compact
  def coefficients(self, inputs: Array) -> tuple[Array, Array, Any]:
    """Returns `f`, `(1 - f) * z` and `o`; the inputs are windows."""
    z, f, o = self.project(inputs, blocks=3, biased=3)
    return nn.sigmoid(f), nn.sigmoid(-f) * jnp.tanh(z), nn.sigmoid(o)

  @nn.nowrap
  def output(self, state: Array, rest: Any) -> Array:
    """Returns `o * c`."""
    return rest * state

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
    """Takes all steps at once; see `LinearCell.run`."""
    if reset_to is None:
      reset_to = jax.tree.map(jnp.zeros_like, carry)
    (past, c), (reset_past, reset_c) = carry, reset_to
    self._check_past('carry', past, xs)
    self._check_past('reset_to', reset_past, xs)
    given: Any = dict(valid=valid, resets=resets, reverse=reverse)
    # Each place in the window holds what the place after it held before the step.
    columns: list[Array] = [xs]
    slots: list[Array] = []
    for k in reversed(range(self.window - 1)):
      before, last = _delay(
        columns[0], past[..., k, :], reset_to=reset_past[..., k, :], **given
      )
      columns.insert(0, before)
      slots.insert(0, last)
    windows = jnp.concatenate(columns, axis=-1)
    c, ys = super().run(c, windows, reset_to=reset_c, **given)
    return (jnp.stack(slots, axis=-2) if slots else past, c), ys

  @nn.nowrap
  def _check_past(self, argument: str, past: Array, xs: Array) -> None:
    expected = (*xs.shape[1:-1], self.window - 1, xs.shape[-1])
    if past.shape != expected:
      raise ValueError(
        f'{argument}: got past inputs of shape {past.shape}, expected {expected}'
      )

  @nn.nowrap
  def initialize_carry(self, rng: Array, input_shape: tuple[int, ...]) -> Carry:
    """Returns the initial `(past, c)` for inputs of shape `[*batch, inputs]`."""
    if self.window < 1:
      raise ValueError(f'window: got {self.window}, expected at least 1')
    *batch, inputs = input_shape
    dtype = state_dtype(self.param_dtype)
    past = jnp.zeros((*batch, self.window - 1, inputs), dtype)
    return past, super().initialize_carry(rng, input_shape)


def _delay(
  xs: Array,
  first: Array,
  *,
  valid: Array | None,
  resets: Array | None,
  reset_to: Array,
  reverse: bool,
) -> tuple[Array, Array]:
  """Delays inputs by one valid step.

  Args:
    xs: `[time, *batch, inputs]`.
    first: `[*batch, inputs]`, what comes before the first step.
    valid: as for `LinearCell.run`, and so the others.
    resets: likewise.
    reset_to: `[*batch, inputs]`, what comes before a step with a reset.
    reverse: likewise.

  Returns:
    For each step the input of the valid step before it, `[time, *batch, inputs]`, and
    the input of the last valid step, in the dtype of `first`.
  """
  held = xs  # The input of the last valid step up to each step.
  if valid is not None:
    _, held = linear_recurrence(
      0.0, xs, first, valid=valid, resets=resets, reset_to=reset_to, reverse=reverse
    )
  start = first[None].astype(held.dtype)
  held = jnp.concatenate([held, start] if reverse else [start, held])
  before, last = (held[1:], held[0]) if reverse else (held[:-1], held[-1])
  if resets is not None:
    before = jnp.where(resets[..., None], reset_to[None], before)
  return before.astype(xs.dtype), last.astype(first.dtype)
