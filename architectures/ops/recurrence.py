"""A recurrence over time: one engine for every cell.

A cell is a pure function without a matmul in it,

  carry = update(params, zx, zh, carry)

with `zx = x @ W + b` the projected inputs and `zh = h @ R` the projected state, each a
tuple with one array a gate. The engine owns time, the matmuls, lengths, resets,
precision and differentiation.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero

from .step import (
  Carry,
  Gates,
  Given,
  Params,
  Update,
  advance,
  hidden,
  keep,
  project,
  split_gates,
  vary_as,
)

# About how many rows of inputs are projected at a time where none is kept: enough for
# the matmul to be as fast as it gets.
PROJECTED_ROWS = 2048
# At how many rows XLA's CPU backend multiplies faster with the larger matrix first, if
# it has at least so many elements, and in how many steps that repays a transposed copy.
# Rows are counted before a batch is split among devices.
KERNEL_FIRST_ROWS = range(8, 65)
KERNEL_FIRST_SIZE = 2**19
KERNEL_FIRST_STEPS = 8


def recur(
  update: Update,
  params: Params,
  inputs: Array,
  kernel: Array,
  bias: Array | None,
  recurrent_kernel: Array | None,
  carry: Carry,
  *,
  given: Given = Given(),  # noqa: B008 (immutable)
  reset_to: Carry | None = None,
  state_mask: Array | None = None,
  reverse: bool = False,
  unroll: int = 1,
  remat_every: int | None = None,
) -> tuple[Carry, Array]:
  r"""Runs a cell over time, with one matmul a step in each direction.

  With :math:`z^x_t = x_t W + b`, :math:`z^h_t = h_{t-1} R` and
  :math:`s_t = u(\theta, z^x_t, z^h_t, s_{t-1})`, the tangents obey a linear recurrence,

  .. math::
    \dot z^h_t = \dot h_{t-1} R + h_{t-1} \dot R, \qquad
    \dot s_t = \partial u(\theta, z^x_t, z^h_t, s_{t-1})
      \cdot (\dot\theta, \dot z^x_t, \dot z^h_t, \dot s_{t-1})

  in which the terms with :math:`\dot W` and :math:`\dot R` need no loop: each is one
  matmul over all steps. Its transpose, which JAX derives, is one matmul for the
  gradient of each kernel outside the loop, where plain differentiation would sum that
  gradient in the loop's carry (Appleyard et al. 2016,
  https://arxiv.org/abs/1604.01946, section 3.3). Forward, reverse and mixed modes of
  any order work. The gates are recomputed in the reverse pass: what is stored a step is
  the carry and what the gates are computed from, which is the sum `zx + zh` alone for
  a gate that does nothing else with the two.

  Args:
    update: the cell, `(params, zx, zh, carry) -> carry`; the last leaf of its carry
      is the hidden state `[*batch, features]`. It may close over no array that is to
      be differentiated: such belong in `params`.
    params: a pytree of the cell's own parameters.
    inputs: `[time, *batch, inputs]`.
    kernel: W, `[inputs, gates * features]`; its dtype is that of the matmuls and of the
      outputs.
    bias: b, `[gates * features]`, or None.
    recurrent_kernel: R, `[features, gates * features]`; or None for a cell without a
      matmul of its state, whose `zh` is then empty.
    carry: the initial state; its dtypes are kept.
    given: what is given for each step; see `Given`.
    reset_to: the carry after a reset, by default zeros.
    state_mask: `[*batch, features]`, multiplies `h` before its matmul at every step
      (Gal and Ghahramani 2016, https://arxiv.org/abs/1512.05287); not differentiated.
    reverse: run from the last step to the first; the outputs stay in place.
    unroll: how many steps one iteration of the compiled loop holds.
    remat_every: store only the carry of every so many steps, and compute what lies
      between again in the reverse pass (Chen et al. 2016,
      https://arxiv.org/abs/1604.06174).

  Returns:
    `(carry, y)`: the final state and the hidden states `[time, *batch, features]`.

  Raises:
    ValueError: a shape or dtype that does not fit the others; `update` returns no
      carry like the one it takes.

  >>> def update(params, zx, zh, h):
  ...   return jnp.tanh(zx[0] + zh[0])
  >>> inputs = jnp.zeros((7, 2, 5))
  >>> kernel, recurrent_kernel = jnp.ones((5, 3)), jnp.eye(3)
  >>> start = jnp.ones((2, 3))
  >>> carry, y = recur(update, {}, inputs, kernel, None, recurrent_kernel, start)
  >>> y.shape, bool((carry == y[-1]).all())
  ((7, 2, 3), True)
  """
  steps, batch = inputs.shape[0], inputs.shape[1:-1]
  features = hidden(carry).shape[-1]
  _check('carry', hidden(carry).shape, (*batch, features))
  _check('kernel', kernel.shape[0], inputs.shape[-1])
  if kernel.shape[-1] % features:
    raise ValueError(
      f'kernel: got {kernel.shape[-1]} columns, expected a multiple of the '
      f'{features} features of the state'
    )
  if bias is not None:
    _check('bias', bias.shape, kernel.shape[-1:])
  if recurrent_kernel is not None:
    _check('recurrent_kernel', recurrent_kernel.shape, (features, kernel.shape[-1]))
  for name in ('valid', 'resets'):
    flags = getattr(given, name)
    if flags is not None:
      _check(name, (flags.shape, flags.dtype), ((steps, *batch), jnp.dtype(bool)))
  for leaf in jax.tree.leaves(given.zoneout):
    _check('zoneout', leaf.shape[0], steps)
  if state_mask is not None:
    _check('state_mask', state_mask.shape, (*batch, features))
  if remat_every is not None and remat_every < 1:
    raise ValueError(f'remat_every: got {remat_every}, expected at least 1')
  for leaf in jax.tree.leaves(carry):
    _check('carry', leaf.shape[: len(batch)], batch)
  if reset_to is None:
    reset_to = jax.tree.map(jnp.zeros_like, carry)
  _check('reset_to', *(jax.tree.map(jnp.shape, tree) for tree in (reset_to, carry)))
  carry, reset_to = (vary_as(tree, inputs) for tree in (carry, reset_to))
  # In the dtype of the state, for their gradients are summed over the steps.
  params = jax.tree.map(
    lambda p: p.astype(jnp.promote_types(p.dtype, hidden(carry).dtype)), params
  )

  def run(carry: Carry, inputs: Array, given: Given) -> tuple[Carry, Array]:
    weights = _Weights(params, kernel, bias, recurrent_kernel, reset_to)
    return _recur(update, loop, adds, weights, inputs, carry, given, state_mask)

  num_gates = kernel.shape[-1] // features
  gates = [jnp.zeros_like(hidden(carry))] * num_gates
  states = gates if recurrent_kernel is not None else []
  jaxpr, new = jax.make_jaxpr(update, return_shape=True)(params, gates, states, carry)
  _check('update', *(jax.tree.map(lambda x: x.shape, tree) for tree in (new, carry)))
  adds = (False,) * num_gates
  if recurrent_kernel is not None:
    adds = _only_added(jaxpr.jaxpr, len(jax.tree.leaves(params)), num_gates)
  loop = partial(lax.scan, reverse=reverse, unroll=unroll)
  if remat_every is None or remat_every >= steps:
    return run(carry, inputs, given)

  run = jax.checkpoint(run, prevent_cse=False)
  return _in_chunks(run, loop, remat_every, carry, (inputs, given))


def _in_chunks(
  run: Callable[..., Any], loop: partial[Any], every: int, carry: Carry, xs: Any
) -> tuple[Carry, Array]:
  """Runs whole chunks of `every` steps in a loop over chunks, then what is left."""
  steps, reverse = xs[0].shape[0], loop.keywords['reverse']
  whole = steps - steps % every
  bounds = (0, whole) if not reverse else (steps - whole, steps)
  chunked, rest = (
    jax.tree.map(take, xs)
    for take in (
      lambda x: x[slice(*bounds)].reshape(steps // every, every, *x.shape[1:]),
      lambda x: x[: bounds[0]] if reverse else x[bounds[1] :],
    )
  )
  carry, y = lax.scan(lambda carry, x: run(carry, *x), carry, chunked, reverse=reverse)
  y = y.reshape(whole, *y.shape[2:])
  if whole == steps:
    return carry, y
  carry, y_rest = run(carry, *rest)
  return carry, jnp.concatenate([y_rest, y] if reverse else [y, y_rest])


def _check(argument: str, value: Any, expected: Any) -> None:
  if value != expected:
    raise ValueError(f'{argument}: got {value}, expected {expected}')


def _only_added(jaxpr: Any, first: int, num_gates: int) -> tuple[bool, ...]:
  """Tells for each gate whether all that a cell does with its two parts is to add.

  Args:
    jaxpr: of the cell's `update`.
    first: which of its variables is the first gate's `zx`.
    num_gates: how many there are.
  """
  zx = jaxpr.invars[first : first + num_gates]
  zh = jaxpr.invars[first + num_gates : first + 2 * num_gates]

  def uses(var: Any) -> list[Any]:
    eqns = [eqn for eqn in jaxpr.eqns for x in eqn.invars if x is var]
    return eqns + [jaxpr for x in jaxpr.outvars if x is var]

  def added(x: Any, h: Any) -> bool:
    (eqn,) = uses(x) if len(uses(x)) == 1 else (jaxpr,)
    return uses(h) == [eqn] and eqn is not jaxpr and eqn.primitive.name == 'add'

  return tuple(map(added, zx, zh))


def _add_parts(adds: Sequence[bool], zx: Gates, zh: Gates) -> tuple[Any, Any]:
  """For the gates that `adds` marks, replaces `zx` by None and `zh` by the sum."""
  if not zh:
    return zx, zh
  gates = list(zip(adds, zx, zh, strict=True))
  return (
    [None if add else x for add, x, _ in gates],
    [x + h.astype(x.dtype) if add else h for add, x, h in gates],
  )


class _Weights(NamedTuple):
  params: Params
  kernel: Array
  bias: Array | None
  recurrent_kernel: Array | None
  reset_to: Carry


def _start(given: Given, carry: Carry, reset_to: Carry) -> Carry:
  """Returns the carry that a step starts from."""
  if given.resets is None:
    return carry
  return keep(~given.resets, carry, reset_to)


def _masked(h: Array, state_mask: Array | None) -> Array:
  """Masks `h [..., *batch, features]`."""
  if state_mask is None:
    return h
  return h * jnp.broadcast_to(state_mask.astype(h.dtype), h.shape)


def _step(
  update: Update, params: Params, z: Any, carry: Carry, given: Given, dtype: Any
) -> tuple[Carry, Array]:
  """Returns the carry after a step and the output; `z` is what `_add_parts` returns."""
  zx, zh = z
  zx = [jnp.zeros_like(zh[i]) if x is None else x for i, x in enumerate(zx)]
  new = advance(update, params, zx, zh, carry, given)
  y = hidden(new).astype(dtype)
  return new, keep(given.valid, y, jnp.zeros_like(y))


def _add_bias(gates: Sequence[Array | None], bias: Array | None, dtype: Any) -> Any:
  gates = [None if z is None else z.astype(dtype) for z in gates]
  if bias is None:
    return gates
  biases = jnp.split(bias.astype(dtype), len(gates))
  return [
    None if z is None else z + jnp.broadcast_to(b, z.shape)
    for z, b in zip(gates, biases, strict=True)
  ]


def _projection(kernel: Array, sizes: Sequence[int]) -> Callable[[Array], Array]:
  """Returns `project` by a kernel, for use in a loop; `sizes` are `[time, *batch]`."""
  steps, rows = sizes[0], math.prod(sizes[1:])
  known = isinstance(steps, int) and isinstance(rows, int)  # not symbolic
  large = kernel.size >= KERNEL_FIRST_SIZE
  if not (
    known and large and steps >= KERNEL_FIRST_STEPS and rows in KERNEL_FIRST_ROWS
  ):
    return partial(project, kernel=kernel)
  kernel_T = lax.optimization_barrier(kernel.T)

  def kernel_first(h: Array, kernel: Array) -> Array:
    last = (((1,), (h.ndim - 1,)), ((), ()))
    z = lax.dot_general(kernel_T, h.astype(kernel.dtype), last)
    # A barrier, for XLA would put the factors back in order.
    return jnp.moveaxis(lax.optimization_barrier(z), 0, -1)

  return lambda h: lax.platform_dependent(h, kernel, cpu=kernel_first, default=project)


def _run(
  update: Update, loop: partial[Any], adds: Sequence[bool], *args: Any
) -> tuple[Carry, Array, Any]:
  """Returns the final carry, `y`, and by step what differentiation needs.

  That is the carry before the step, the gates' parts from the inputs, without the bias,
  and those from the state; for a gate that `adds` marks, None and their sum.
  """
  weights, inputs, carry, given, state_mask = args
  features, dtype = hidden(carry).shape[-1], hidden(carry).dtype
  # An array of its own for each gate: XLA's CPU backend vectorises a loop that reads
  # one slice of an array, and not one that reads several.
  gates = [project(inputs, w) for w in split_gates(weights.kernel, features)]
  if weights.recurrent_kernel is not None:
    project_state = _projection(weights.recurrent_kernel, inputs.shape[:-1])

  def step(carry: Carry, x: Any) -> tuple[Carry, Any]:
    zx, given = x
    carry = _start(given, carry, weights.reset_to)
    zx = _add_bias(zx, weights.bias, dtype)
    zh: Gates = []
    if weights.recurrent_kernel is not None:
      h = _masked(hidden(carry), state_mask)
      zh = split_gates(project_state(h), features)
    z = _add_parts(adds, zx, zh)
    new, y = _step(update, weights.params, z, carry, given, weights.kernel.dtype)
    return new, (y, carry, z[1])

  final, (y, before, zh) = loop(step, carry, (gates, given))
  kept = [None if add else z for add, z in zip(adds, gates, strict=True)]
  return final, y, (before, kept, zh)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _recur(
  update: Update, loop: partial[Any], adds: Sequence[bool], *args: Any
) -> tuple[Carry, Array]:
  weights, inputs, carry, given, state_mask = args

  def run(carry: Carry, inputs: Array, given: Given) -> tuple[Carry, Array]:
    return _run(update, loop, adds, weights, inputs, carry, given, state_mask)[:2]

  # Nothing is kept for differentiation, so the projected inputs need not be either:
  # of all steps at once they would leave the cache, and be most of the memory.
  steps, rows = inputs.shape[0], math.prod(inputs.shape[1:-1])
  if not (isinstance(steps, int) and isinstance(rows, int)):  # symbolic, in an export
    return run(carry, inputs, given)
  every = max(1, PROJECTED_ROWS // max(1, rows))
  if every >= steps:
    return run(carry, inputs, given)
  return _in_chunks(run, loop, every, carry, (inputs, given))


def _is_zero(tangent: Any) -> bool:
  return isinstance(tangent, SymbolicZero)


def _instantiate(tangents: Any, primals: Any) -> Any:
  """Makes arrays of the tangents that are known to be zero."""
  return jax.tree.map(
    lambda t, p: vary_as(jnp.zeros(t.shape, t.dtype), p) if _is_zero(t) else t,
    tangents,
    primals,
  )


def _sum(*terms: Any) -> Any:
  """Adds the terms that are not None; None if there are none."""
  return sum(present) if (present := [t for t in terms if t is not None]) else None


def _project_dot(x: Any, kernel: Any) -> Array | None:
  """Returns `project(x, kernel)`, or None where a factor is zero or there is none."""
  if kernel is None or _is_zero(kernel) or _is_zero(x):
    return None
  return project(x, kernel)


def _recur_jvp(
  update: Update,
  loop: partial[Any],
  adds: Sequence[bool],
  primals: tuple[Any, ...],
  tangents: tuple[Any, ...],
) -> Any:
  weights, inputs, carry, given, state_mask = primals
  weights_dot, inputs_dot, carry_dot, _, _ = tangents
  params, kernel, bias, recurrent_kernel, _ = weights
  params_dot, carry_dot, reset_dot = (
    _instantiate(*pair)
    for pair in (
      (weights_dot.params, params),
      (carry_dot, carry),
      (weights_dot.reset_to, weights.reset_to),
    )
  )
  final, y, (before, zx, zh) = _run(update, loop, adds, *primals)
  features, dtype = y.shape[-1], hidden(carry_dot).dtype
  num_gates = kernel.shape[-1] // features

  bias_dot = None
  if bias is not None and not _is_zero(weights_dot.bias):
    # As a matmul, for its transpose sums in float32 whatever the dtype.
    ones = jnp.ones((*inputs.shape[:-1], 1), kernel.dtype)
    bias_dot = project(ones, weights_dot.bias[None].astype(kernel.dtype))
  # Each a matmul over all steps, whose transpose is one for the gradient of a kernel.
  zx_dot = _sum(
    _project_dot(inputs_dot, kernel),
    _project_dot(inputs, weights_dot.kernel),
    bias_dot,
  )
  lifted = _project_dot(
    _masked(hidden(before), state_mask), weights_dot.recurrent_kernel
  )
  if all(adds):
    zx_dot, lifted = None, _sum(zx_dot, lifted)

  def split(z: Array | None) -> Gates:
    if z is None:
      return [jnp.zeros(y.shape[1:], dtype)] * num_gates
    return split_gates(z.astype(dtype), features)

  # Rematerialised: what is stored for the reverse pass is what enters the step.
  @partial(jax.checkpoint, prevent_cse=False)
  def step(carry_dot: Carry, x: Any) -> Any:
    given, before, zx, zh, zx_dot, lifted = x
    carry_dot = _start(given, carry_dot, reset_dot)
    z = (_add_bias(zx, bias, dtype), [gate.astype(dtype) for gate in zh])
    zh_dot: Gates = []
    if recurrent_kernel is not None:
      h_dot = _masked(hidden(carry_dot), state_mask)
      zh_dot = split(_sum(project(h_dot, recurrent_kernel), lifted))
    z_dot = _add_parts(adds, split(zx_dot), zh_dot)

    def one(params: Params, z: Any, carry: Carry) -> Any:
      return _step(update, params, z, carry, given, kernel.dtype)

    return jax.jvp(one, (params, z, before), (params_dot, z_dot, carry_dot))[1]

  final_dot, y_dot = loop(step, carry_dot, (given, before, zx, zh, zx_dot, lifted))
  return (final, y), (final_dot, y_dot)


_recur.defjvp(_recur_jvp, symbolic_zeros=True)
