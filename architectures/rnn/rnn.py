"""A recurrent cell run over time, with `flax.linen.RNN`'s call."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict
from jax import Array

from ..ops.recurrence import Carry, hidden, keep, project, recur
from .cells import GatedCell


class RNN(nn.Module):
  """Runs a cell over a sequence; `flax.linen.RNN`'s arguments, and its results.

  The cells of this package take one matmul a step (see `recur`); any other
  `flax.linen.RNNCellBase` is scanned as it is. The parameters are the cell's, under
  `cell`. Two deviations from `flax.linen.RNN`, both past the end of a sequence: the
  outputs are zero, and a length of 0 returns the initial carry.

  Attributes:
    cell: the cell.
    time_major: inputs and outputs are `[time, *batch, features]` and not
      `[*batch, time, features]`.
    return_carry: return `(carry, outputs)` and not `outputs` alone.
    reverse: run from each sequence's last step to its first.
    keep_order: with `reverse`, leave the outputs at the steps of their inputs, and not
      in the order in which they were computed.
    unroll: how many steps one iteration of the compiled loop holds.
    variable_axes: for a foreign cell, passed to `flax.linen.scan`.
    variable_broadcast: as `variable_axes`.
    variable_carry: as `variable_axes`.
    split_rngs: as `variable_axes`.

  >>> from convscan.architectures.rnn import RNN, LSTMCell
  >>> x = jnp.ones((2, 7, 3))
  >>> rnn = RNN(LSTMCell(4))
  >>> y, variables = rnn.init_with_output(
  ...   jax.random.key(0), x, seq_lengths=jnp.array([7, 0])
  ... )
  >>> y.shape, bool(y[1].any())
  ((2, 7, 4), False)
  """

  cell: nn.RNNCellBase
  time_major: bool = False
  return_carry: bool = False
  reverse: bool = False
  keep_order: bool = False
  unroll: int = 1
  variable_axes: Mapping[Any, Any] = FrozenDict()
  variable_broadcast: Any = 'params'
  variable_carry: Any = False
  split_rngs: Mapping[Any, bool] = FrozenDict({'params': False})

  def __call__(
    self,
    inputs: Array,
    *,
    initial_carry: Carry | None = None,
    init_key: Array | None = None,
    seq_lengths: Array | None = None,
    return_carry: bool | None = None,
    time_major: bool | None = None,
    reverse: bool | None = None,
    keep_order: bool | None = None,
  ) -> Any:
    """Runs the cell over the inputs.

    Args:
      inputs: `[*batch, time, features]`, or `[time, *batch, features]` if
        `time_major`; a cell such as `ConvLSTMCell` has more axes of features.
      initial_carry: the carry to start from, by default the cell's initial one.
      init_key: key for `initialize_carry`, by default `jax.random.key(0)`.
      seq_lengths: int `[*batch]`; a step at or past its sequence's length keeps the
        carry and outputs zero.
      return_carry: overrides the field, as do the following.
      time_major: see the field.
      reverse: see the field.
      keep_order: see the field.

    Returns:
      The outputs, laid out as the inputs, or `(carry, outputs)` if `return_carry`.

    Raises:
      ValueError: an argument whose shape or dtype does not fit.
    """
    time_major = self.time_major if time_major is None else time_major
    reverse = self.reverse if reverse is None else reverse
    keep_order = self.keep_order if keep_order is None else keep_order
    return_carry = self.return_carry if return_carry is None else return_carry

    xs, time_axis = self._time_first(inputs, time_major)
    carry = self._start(xs, initial_carry, init_key)
    valid = None
    if seq_lengths is not None:
      seq_lengths = self._check_lengths(xs, seq_lengths)
      steps = jnp.arange(xs.shape[0]).reshape(-1, *(1,) * seq_lengths.ndim)
      valid = steps < seq_lengths[None]
    if isinstance(self.cell, GatedCell):
      params, zx, recurrent_kernel = self.cell.project_inputs(xs)
      carry, ys = recur(
        self.cell.update,
        params,
        zx,
        recurrent_kernel,
        carry,
        valid=valid,
        reverse=reverse,
        unroll=self.unroll,
      )
    else:
      carry, ys = self._scan(carry, xs, valid, reverse)
    if reverse and not keep_order:
      ys = _flip(ys, seq_lengths)
    ys = jnp.moveaxis(ys, 0, time_axis)
    return (carry, ys) if return_carry else ys

  def gates(
    self, inputs: Array, *, initial_carry: Carry | None = None
  ) -> dict[str, Array]:
    """Returns the activations of the cell's gates at every step, by name.

    They follow from the outputs, without another loop: the state before a step is the
    output of the step before it.

    Args:
      inputs: as for the call; so is the layout of the results.
      initial_carry: the carry to start from, by default the cell's initial one.

    Returns:
      For `LSTMCell` the keys `input`, `forget`, `cell` and `output`, for `GRUCell`
      `reset`, `update` and `new`; each `[*batch, time, features]`.

    Raises:
      ValueError: the cell has no gates.
    """
    if not isinstance(self.cell, GatedCell):
      raise ValueError(f'cell: {type(self.cell).__name__} has no gates')
    xs, time_axis = self._time_first(inputs, self.time_major)
    start = self._start(xs, initial_carry, None)
    params, zx, recurrent_kernel = self.cell.project_inputs(xs)
    _, ys = recur(
      self.cell.update, params, zx, recurrent_kernel, start, reverse=self.reverse
    )
    first = hidden(start)[None].astype(ys.dtype)
    pieces = [ys[1:], first] if self.reverse else [first, ys[:-1]]
    zh = project(jnp.concatenate(pieces), recurrent_kernel)
    gates = self.cell.gates(params, zx, zh)
    return {name: jnp.moveaxis(gate, 0, time_axis) for name, gate in gates.items()}

  def _time_first(self, inputs: Array, time_major: bool) -> tuple[Array, int]:
    """Returns the inputs time-major, and where their time axis was."""
    time_axis = inputs.ndim - self.cell.num_feature_axes - 1
    if time_axis < 0:
      raise ValueError(
        f'inputs: got shape {inputs.shape}, expected a time axis and '
        f'{self.cell.num_feature_axes} of features'
      )
    time_axis = 0 if time_major else time_axis
    return jnp.moveaxis(inputs, time_axis, 0), time_axis

  def _start(self, xs: Array, carry: Carry | None, key: Array | None) -> Carry:
    """Returns the given carry, checked, or else the cell's initial one."""
    key = jax.random.key(0) if key is None else key
    shape = xs.shape[1:]
    if carry is None:
      return self.cell.initialize_carry(key, shape)
    wanted = jax.eval_shape(lambda: self.cell.initialize_carry(key, shape))
    got, expected = (
      jax.tree.map(lambda x: f'{jnp.result_type(x)}{jnp.shape(x)}', tree)
      for tree in (carry, wanted)
    )
    if got != expected:
      raise ValueError(f'initial_carry: got {got}, expected {expected}')
    return carry

  def _check_lengths(self, xs: Array, seq_lengths: Array) -> Array:
    batch = xs.shape[1 : xs.ndim - self.cell.num_feature_axes]
    lengths = jnp.asarray(seq_lengths)
    if lengths.shape != batch or not jnp.issubdtype(lengths.dtype, jnp.integer):
      raise ValueError(
        f'seq_lengths: got {lengths.dtype}{lengths.shape}, expected integers {batch}'
      )
    return lengths

  def _scan(
    self, carry: Carry, xs: Array, valid: Array | None, reverse: bool
  ) -> tuple[Carry, Any]:
    """Scans a foreign cell."""

    def step(cell: Any, carry: Carry, x: Any) -> tuple[Carry, Any]:
      x, valid = x
      new, y = cell(carry, x)
      return keep(valid, new, carry), keep(valid, y, jax.tree.map(jnp.zeros_like, y))

    scan = nn.scan(
      step,
      reverse=reverse,
      unroll=self.unroll,
      variable_axes=self.variable_axes,
      variable_broadcast=self.variable_broadcast,
      variable_carry=self.variable_carry,
      split_rngs=self.split_rngs,
    )
    return scan(self.cell, carry, (xs, valid))


def _flip(ys: Array, seq_lengths: Array | None) -> Array:
  """Reverses each sequence of `ys [time, *batch, ...]` within its length."""
  if seq_lengths is None:
    return jnp.flip(ys, axis=0)
  steps = jnp.arange(ys.shape[0]).reshape(-1, *(1,) * seq_lengths.ndim)
  lengths = jnp.minimum(seq_lengths, ys.shape[0])[None]
  source = jnp.where(steps < lengths, lengths - 1 - steps, steps)
  source = jnp.expand_dims(source, range(source.ndim, ys.ndim))
  return jnp.take_along_axis(ys, source, axis=0)
