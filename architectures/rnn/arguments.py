"""Checks of what a sequence layer is called with, and the order of its outputs."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..ops.step import Carry


def check_layer(argument: str, layer: Any) -> None:
  """Refuses a cell where a layer belongs."""
  if isinstance(layer, nn.RNNCellBase):
    name = type(layer).__name__
    raise ValueError(
      f'{argument}: got the cell {name}, expected a layer such as RNN({name}(...))'
    )


def check_lengths(seq_lengths: Array, steps: int, batch: tuple[int, ...]) -> Array:
  """Returns the lengths, if they are integers `batch` from 0 to `steps`."""
  lengths = jnp.asarray(seq_lengths)
  if lengths.shape != batch or not jnp.issubdtype(lengths.dtype, jnp.integer):
    raise ValueError(
      f'seq_lengths: got {lengths.dtype}{lengths.shape}, expected integers {batch}'
    )
  if not isinstance(lengths, jax.core.Tracer):
    values = np.asarray(lengths)
    wrong = values[(values < 0) | (values > steps)]
    if wrong.size:
      raise ValueError(
        f'seq_lengths: got {wrong[0]}, expected 0 to {steps}, the number of steps'
      )
  return lengths


def check_flags(
  name: str, flags: Array, steps: int, batch: tuple[int, ...], time_axis: int
) -> Array:
  """Returns `flags`, which have the time at `time_axis`, as `[time, *batch]`."""
  flags = jnp.asarray(flags)
  expected = (*batch[:time_axis], steps, *batch[time_axis:])
  if flags.shape != expected or flags.dtype != bool:
    raise ValueError(f'{name}: got {flags.dtype}{flags.shape}, expected bool{expected}')
  return jnp.moveaxis(flags, time_axis, 0)


def valid_steps(
  shape: tuple[int, ...], time_axis: int, seq_lengths: Array | None, mask: Array | None
) -> Array | None:
  """Returns which steps count, bool `shape`; None where all do.

  Args:
    shape: the batch's axes and, at `time_axis`, that of time.
    time_axis: where it is.
    seq_lengths: int `[*batch]`, or None.
    mask: bool `shape`, or None.
  """
  if seq_lengths is None:
    return mask
  steps = jnp.arange(shape[time_axis])
  steps = jnp.expand_dims(steps, [a for a in range(len(shape)) if a != time_axis])
  within = steps < jnp.expand_dims(jnp.asarray(seq_lengths), time_axis)
  return within if mask is None else within & jnp.asarray(mask)


def check_carry(carry: Carry, wanted: Carry) -> Carry:
  """Returns the carry, if its structure and shapes are those wanted."""
  got, expected = (
    jax.tree.map(lambda x: f'{jnp.result_type(x)}{jnp.shape(x)}', tree)
    for tree in (carry, wanted)
  )
  shapes = (jax.tree.map(jnp.shape, tree) for tree in (carry, wanted))
  if next(shapes) != next(shapes):
    raise ValueError(f'initial_carry: got {got}, expected {expected}')
  return jax.tree.map(jnp.asarray, carry)


def flip(ys: Any, seq_lengths: Array | None) -> Any:
  """Reverses each sequence of `ys [time, *batch, ...]` within its length."""

  def reverse(y: Array) -> Array:
    if seq_lengths is None:
      return jnp.flip(y, axis=0)
    steps = jnp.arange(y.shape[0]).reshape(-1, *(1,) * seq_lengths.ndim)
    lengths = jnp.minimum(seq_lengths, y.shape[0])[None]
    source = jnp.where(steps < lengths, lengths - 1 - steps, steps)
    source = jnp.expand_dims(source, range(source.ndim, y.ndim))
    return jnp.take_along_axis(y, source, axis=0)

  return jax.tree.map(reverse, ys)
