"""A recurrence over time: one engine for every cell.

A cell is a pure function without a matmul in it,

  carry = update(params, zx, zh, carry)

with `zx = x @ W + b` the projected inputs and `zh = h @ R` the projected state. The
engine owns time, the product with `R`, lengths, precision and differentiation.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

Carry = Any  # A pytree of arrays [*batch, ...]; its last leaf is the hidden state h.
Params = Any  # A pytree of a cell's own small arrays: peepholes, norm scales, biases.
Update = Callable[[Params, Array, Array, Carry], Carry]


def hidden(carry: Carry) -> Array:
  """Returns the hidden state `h` of a carry: its last leaf."""
  return jax.tree.leaves(carry)[-1]


def keep(valid: Array | None, new: Carry, old: Carry) -> Carry:
  """Selects `new` where `valid` and `old` elsewhere.

  Args:
    valid: bool `[*batch]`, or None where every element is valid.
    new: a pytree of arrays `[*batch, ...]`.
    old: a pytree like `new`; it decides the dtypes.

  Returns:
    A pytree like `old`.
  """

  def select(new: Array, old: Array) -> Array:
    new = new.astype(old.dtype)
    if valid is None:
      return new
    return jnp.where(jnp.expand_dims(valid, range(valid.ndim, new.ndim)), new, old)

  return jax.tree.map(select, new, old)


def advance(
  update: Update,
  params: Params,
  zx: Array,
  zh: Array,
  carry: Carry,
  valid: Array | None = None,
) -> tuple[Carry, Array]:
  """Advances a cell by one step whose matmuls are done.

  The gates are computed in the dtype of the state, whatever that of the matmuls.

  Args:
    update: the cell.
    params: the cell's own parameters.
    zx: `[*batch, gates * features]`, the projected inputs of this step.
    zh: `[*batch, gates * features]`, the projected state `h @ R`.
    carry: the state before the step.
    valid: bool `[*batch]`; elsewhere the carry is kept and the output is zero.

  Returns:
    `(carry, y)`: the state after the step, in the dtypes it came in, and the output
    `[*batch, features]` in the dtype of `zh`.
  """
  dtype = hidden(carry).dtype
  new = update(params, zx.astype(dtype), zh.astype(dtype), carry)
  y = hidden(new).astype(zh.dtype)
  return keep(valid, new, carry), keep(valid, y, jnp.zeros_like(y))


def project(h: Array, recurrent_kernel: Array) -> Array:
  """Returns `h @ R`, in the dtype of `R`."""
  return jnp.dot(h.astype(recurrent_kernel.dtype), recurrent_kernel)


def recur(
  update: Update,
  params: Params,
  zx: Array,
  recurrent_kernel: Array,
  carry: Carry,
  *,
  valid: Array | None = None,
  reverse: bool = False,
  unroll: int = 1,
) -> tuple[Carry, Array]:
  r"""Runs a cell over time, with one matmul a step in each direction.

  With :math:`z^h_t = h_{t-1} R` and :math:`s_t = u(\theta, z^x_t, z^h_t, s_{t-1})`,
  the tangents obey the linear recurrence

  .. math::
    \dot z^h_t = \dot h_{t-1} R + h_{t-1} \dot R, \qquad
    \dot s_t = \partial u(\theta, z^x_t, z^h_t, s_{t-1})
      \cdot (\dot\theta, \dot z^x_t, \dot z^h_t, \dot s_{t-1})

  in which the term with :math:`\dot R` needs no loop: it is one matmul over all steps.
  Its transpose, which JAX derives, is one matmul for the gradient of `R` after the
  loop, where plain differentiation would sum that gradient in the loop's carry
  (Appleyard et al. 2016, https://arxiv.org/abs/1604.01946, section 3.3). Forward,
  reverse and mixed modes of any order work. The gates are recomputed in the reverse
  pass, so that what is stored a step is the carry, `zx` and `zh`.

  Args:
    update: the cell, `(params, zx, zh, carry) -> carry`; the last leaf of its carry
      is the hidden state `[*batch, features]`. It may close over no array that is to
      be differentiated: such belong in `params`.
    params: a pytree of the cell's own parameters.
    zx: `[time, *batch, gates * features]`, the projected inputs.
    recurrent_kernel: `[features, gates * features]`; its dtype is that of the matmul
      and of the outputs.
    carry: the initial state; its dtypes are kept.
    valid: bool `[time, *batch]`. A step that is not valid keeps the carry and outputs
      zero.
    reverse: run from the last step to the first; the outputs stay in place.
    unroll: how many steps one iteration of the compiled loop holds.

  Returns:
    `(carry, y)`: the final state and the hidden states `[time, *batch, features]`.

  Raises:
    ValueError: a shape or dtype that does not fit the others.

  >>> def update(params, zx, zh, h):
  ...   return jnp.tanh(zx + zh)
  >>> zx = jnp.zeros((7, 2, 3))
  >>> carry, y = recur(update, {}, zx, jnp.eye(3), jnp.ones((2, 3)))
  >>> y.shape, bool((carry == y[-1]).all())
  ((7, 2, 3), True)
  """
  features = hidden(carry).shape[-1]
  _check('recurrent_kernel', recurrent_kernel.shape, (features, *zx.shape[-1:]))
  _check('carry', hidden(carry).shape, (*zx.shape[1:-1], features))
  if valid is not None:
    _check('valid', (valid.shape, valid.dtype), (zx.shape[:-1], jnp.dtype(bool)))
  scan = partial(lax.scan, reverse=reverse, unroll=unroll)
  return _recur(update, scan, params, zx, recurrent_kernel, carry, valid)


def _check(argument: str, value: Any, expected: Any) -> None:
  if value != expected:
    raise ValueError(f'{argument}: got {value}, expected {expected}')


def _run(
  update: Update,
  scan: Callable[..., Any],
  params: Params,
  zx: Array,
  recurrent_kernel: Array,
  carry: Carry,
  valid: Array | None,
) -> tuple[Carry, tuple[Array, Carry, Array]]:
  """Returns the final carry and, for each step, `y` and the `carry` and `zh` before."""

  def step(carry: Carry, x: Any) -> Any:
    zx, valid = x
    zh = project(hidden(carry), recurrent_kernel)
    new, y = advance(update, params, zx, zh, carry, valid)
    return new, (y, carry, zh)

  return scan(step, carry, (zx, valid))


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _recur(
  update: Update, scan: Callable[..., Any], *primals: Any
) -> tuple[Carry, Array]:
  final, (y, _, _) = _run(update, scan, *primals)
  return final, y


@_recur.defjvp
def _recur_jvp(
  update: Update, scan: Callable[..., Any], primals: Any, tangents: Any
) -> Any:
  params, zx, recurrent_kernel, _, valid = primals
  params_dot, zx_dot, kernel_dot, carry_dot, _ = tangents
  final, (y, prev, zh) = _run(update, scan, *primals)
  lifted = project(hidden(prev), kernel_dot)  # One matmul over all steps.

  # Rematerialised: what is stored for the reverse pass is what enters the step.
  @partial(jax.checkpoint, prevent_cse=False)
  def step(carry_dot: Carry, x: Any) -> Any:
    zx, zh, prev, valid, zx_dot, lifted = x
    zh_dot = project(hidden(carry_dot), recurrent_kernel) + lifted
    _, tangents = jax.jvp(
      partial(advance, update, valid=valid),
      (params, zx, zh, prev),
      (params_dot, zx_dot, zh_dot, carry_dot),
    )
    return tangents

  final_dot, y_dot = scan(step, carry_dot, (zx, zh, prev, valid, zx_dot, lifted))
  return (final, y), (final_dot, y_dot)
