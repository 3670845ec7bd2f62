"""A linear recurrence over time, all of its steps at once."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax


def linear_recurrence(
  a: Array | float,
  b: Array,
  h0: Array,
  *,
  valid: Array | None = None,
  resets: Array | None = None,
  reset_to: Array | None = None,
  reverse: bool = False,
) -> tuple[Array, Array]:
  r"""Runs a linear recurrence by a scan of logarithmic depth.

  .. math::
    h_t = a_t \odot h_{t-1} + b_t

  Two steps in a row are one step of the same form, so that they may be composed in any
  grouping (Martin and Cundy 2018, https://arxiv.org/abs/1709.04057, section 2). The
  tangents obey a recurrence with the same coefficients,

  .. math::
    \dot h_t = a_t \odot \dot h_{t-1} + (\dot a_t \odot h_{t-1} + \dot b_t)

  which is how it is differentiated; forward, reverse and mixed modes of any order work.

  Args:
    a: what is kept of the state, real or complex; it broadcasts to `b`, so that
      `[features]` is constant over time and batch.
    b: `[time, *batch, features]`, what is added to it.
    h0: `[*batch, features]`, the initial state.
    valid: bool `[time, *batch]`; a step that is not valid keeps the state.
    resets: bool `[time, *batch]`; where the state is replaced by `reset_to` before the
      step, valid or not.
    reset_to: `[*batch, features]`, by default zeros.
    reverse: run from the last step to the first; the states stay at their steps, and
      'before' means from the later step.

  Returns:
    `(h_final, h)`: the final state `[*batch, features]` and the state after each step
    `[time, *batch, features]`, in the dtype of the arguments together or float32,
    whichever is wider.

  Raises:
    ValueError: a shape or dtype that does not fit the others.

  >>> h_final, h = linear_recurrence(0.5, jnp.ones((3, 1)), jnp.full((1,), 4.0))
  >>> h.ravel().tolist(), h_final.tolist()
  ([3.0, 2.5, 2.25], [2.25])
  """
  a, b, h0 = map(jnp.asarray, (a, b, h0))
  reset_to = jnp.zeros_like(h0) if reset_to is None else jnp.asarray(reset_to)
  if b.ndim < 2:
    raise ValueError(f'b: got shape {b.shape}, expected (time, *batch, features)')
  tail = zip(a.shape[::-1], b.shape[::-1], strict=False)
  if a.ndim > b.ndim or any(size not in (1, whole) for size, whole in tail):
    raise ValueError(
      f'a: got shape {a.shape}, expected one that broadcasts to {b.shape}'
    )
  _check('h0', h0.shape, b.shape[1:])
  _check('reset_to', reset_to.shape, b.shape[1:])
  for name, flags in (('valid', valid), ('resets', resets)):
    if flags is not None:
      _check(name, (flags.shape, flags.dtype), (b.shape[:-1], jnp.dtype(bool)))

  dtype = jnp.promote_types(jnp.result_type(a, b, h0, reset_to), jnp.float32)
  a, b, h0, reset_to = (x.astype(dtype) for x in (a, b, h0, reset_to))
  # Over batch and features `a` stays as small as it is given.
  a = a.reshape(*(1,) * (b.ndim - a.ndim), *a.shape)
  a = jnp.broadcast_to(a, (*b.shape[:1], *a.shape[1:]))
  if valid is not None:
    a = jnp.where(valid[..., None], a, 1)
    b = jnp.where(valid[..., None], b, 0)
  if resets is not None:
    b = jnp.where(resets[..., None], a * reset_to[None] + b, b)
    a = jnp.where(resets[..., None], 0, a)
  if reverse:
    a, b = jnp.flip(a, 0), jnp.flip(b, 0)
  b = jnp.concatenate([a[:1] * h0[None] + b[:1], b[1:]])
  h = _scan(a, b)
  h_final = h[-1] if len(h) else h0
  return h_final, jnp.flip(h, 0) if reverse else h


def _check(argument: str, value: Any, expected: Any) -> None:
  if value != expected:
    raise ValueError(f'{argument}: got {value}, expected {expected}')


@jax.custom_jvp
def _scan(a: Array, b: Array) -> Array:
  """Returns the states of the recurrence that starts from zero."""

  def compose(first: Any, then: Any) -> Any:
    return first[0] * then[0], then[0] * first[1] + then[1]

  return lax.associative_scan(compose, (a, b))[1]


@_scan.defjvp
def _scan_jvp(primals: Any, tangents: Any) -> Any:
  # Stored for the reverse pass are `a`, its products and `h`, and no partial sums.
  a, b = primals
  a_dot, b_dot = tangents
  h = _scan(a, b)
  before = jnp.concatenate([jnp.zeros_like(h[:1]), h[:-1]])
  return h, _scan(a, a_dot * before + b_dot)
