"""One step of a recurrent cell: what the engine and the layers share."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

Carry = Any  # A pytree of arrays [*batch, ...]; its last leaf is the hidden state h.
Params = Any  # A pytree of a cell's own small arrays: peepholes, norm scales, biases.
Gates = Sequence[Array]  # One array [*batch, features] a gate.
Update = Callable[[Params, Gates, Gates, Carry], Carry]


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


def project(x: Array, kernel: Array) -> Array:
  """Returns `x @ kernel` in the dtype of the kernel.

  Args:
    x: `[..., inputs]`.
    kernel: `[inputs, outputs]`.
  """
  x = x.astype(kernel.dtype)
  if jax.device_count() > 1:
    # The axes stay apart: a batch that is split among devices could not be merged with
    # the time before it, and every device would take the whole of it.
    return jnp.dot(x, kernel)
  # With a plain matrix on both sides the product that differentiation adds needs no
  # transposed copy of its operands.
  rows = jnp.dot(x.reshape(-1, x.shape[-1]), kernel)
  return rows.reshape(*x.shape[:-1], kernel.shape[-1])


def vary_as(tree: Carry, inputs: Array) -> Carry:
  """Gives a `shard_map`'s constant the type of what differs between its devices.

  Args:
    tree: a pytree of arrays, such as a carry of zeros.
    inputs: what differs.
  """
  if not jax.sharding.get_abstract_mesh().manual_axes:
    return tree
  # A choice between two that are the same; the compiler drops it, the type stays.
  flag = jnp.any(lax.stop_gradient(inputs) == 0)
  return jax.tree.map(lambda x: jnp.where(flag, x, x), tree)


def split_gates(z: Array, features: int) -> Gates:
  """Splits `[..., gates * features]` into one array `[..., features]` a gate."""
  return jnp.split(z, z.shape[-1] // features, axis=-1)


class Given(NamedTuple):
  """What is given for each step besides the inputs, and not differentiated.

  Attributes:
    valid: bool `[time, *batch]`. A step that is not valid keeps the carry and outputs
      zero.
    resets: bool `[time, *batch]`: where to go back to `reset_to` before the step.
    zoneout: like the carry, `[time, ...]`: how much of the old state is kept, from 0
      to 1, broadcast to the carry (Krueger et al. 2017,
      https://arxiv.org/abs/1606.01305).
  """

  valid: Array | None = None
  resets: Array | None = None
  zoneout: Carry | None = None


def advance(
  update: Update,
  params: Params,
  zx: Gates,
  zh: Gates,
  carry: Carry,
  given: Given = Given(),  # noqa: B008 (immutable)
) -> Carry:
  """Advances a cell by one step whose matmuls are done.

  The gates are computed in the dtype of the state, whatever that of the matmuls.

  Args:
    update: the cell.
    params: the cell's own parameters.
    zx: the projected inputs of this step, with the bias.
    zh: the projected state.
    carry: the state before the step.
    given: of this step, so without the axis of time; the resets have been made.

  Returns:
    The state after the step, in the dtypes it came in.
  """
  dtype = hidden(carry).dtype
  zx, zh = jax.tree.map(lambda z: z.astype(dtype), (tuple(zx), tuple(zh)))
  new = update(params, zx, zh, carry)
  if given.zoneout is not None:
    new = jax.tree.map(
      lambda kept, old, new: kept * old + (1 - kept) * new,
      jax.tree.map(lambda kept: kept.astype(dtype), given.zoneout),
      carry,
      new,
    )
  return keep(given.valid, new, carry)
