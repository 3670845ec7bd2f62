"""A recurrent cell run over time, with `flax.linen.RNN`'s call."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict
from jax import Array

from ..ops.recurrence import recur
from ..ops.step import Carry, Given, hidden, keep, project, split_gates, vary_as
from .arguments import check_carry, check_flags, check_lengths, flip, valid_steps
from .base_cell import GatedCell, add_bias
from .linear_cell import LinearCell


class RNN(nn.Module):
  """Runs a cell over a sequence; `flax.linen.RNN`'s arguments, and its results.

  A `GatedCell` takes one matmul a step in each direction (see `recur`); a `LinearCell`
  runs all steps in parallel (see `linear_recurrence`); any other
  `flax.linen.RNNCellBase` is scanned as it is. The parameters are the cell's, under
  `cell`. Two deviations from `flax.linen.RNN`, both past the end of a sequence: the
  outputs are zero, and a length of 0 returns the initial carry.

  The fields after `split_rngs` have no counterpart in flax. The rates draw where the
  call says `train=True`, with a key of the stream `dropout` and outside the loop; they
  and `remat_every` are for a `GatedCell`.

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
    learn_carry: the initial carry is a parameter, `initial_carry`, without axes of
      batch; the cell's `carry_init` initialises it.
    remat_every: for long sequences: store the carry of every so many steps only, and
      run the steps between once more in the reverse pass.
    recurrent_dropout_rate: the rate at which units of the hidden state are dropped
      before their matmul, the same ones at each step of a sequence (Gal and Ghahramani
      2016, https://arxiv.org/abs/1512.05287).
    zoneout_rate: the rate at which each unit of the carry keeps its old value (Krueger
      et al. 2017, https://arxiv.org/abs/1606.01305), one for all or a pytree like the
      carry; without `train` the expected value is taken.
    dropconnect_rate: the rate at which weights of the recurrent kernel are dropped, the
      same ones for the whole call (Wan et al. 2013; Merity et al. 2018,
      https://arxiv.org/abs/1708.02182).

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
  learn_carry: bool = False
  remat_every: int | None = None
  recurrent_dropout_rate: float = 0.0
  zoneout_rate: Any = 0.0
  dropconnect_rate: float = 0.0

  def __post_init__(self) -> None:
    """Checks the fields."""
    if not isinstance(self.cell, nn.RNNCellBase):
      raise ValueError(
        f'cell: got {self.cell!r}, expected a cell such as LSTMCell(256)'
      )
    rates = {
      name: getattr(self, name)
      for name in ('recurrent_dropout_rate', 'zoneout_rate', 'dropconnect_rate')
    }
    for name, rate in rates.items():
      if not all(0 <= r < 1 for r in jax.tree.leaves(rate)):
        raise ValueError(f'{name}: got {rate}, expected 0 <= rate < 1')
    if not isinstance(self.cell, GatedCell):
      refused, reason = {**rates, 'remat_every': self.remat_every}, 'is no GatedCell'
    elif not self.cell.recurrent_matmul:
      refused, reason = dict(rates), 'has no matmul of its state'
      refused.pop('zoneout_rate')
    else:
      refused, reason = {}, ''
    for name, value in refused.items():
      if value:
        raise ValueError(
          f'{name}: got {value}, but {type(self.cell).__name__} {reason}'
        )
    super().__post_init__()

  @nn.compact
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
    mask: Array | None = None,
    resets: Array | None = None,
    train: bool = False,
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
      mask: bool `[*batch, time]`, laid out as the inputs; a step where it is False
        keeps the carry and outputs zero.
      resets: bool, laid out as `mask`; True at the first step of a new sequence, which
        starts from the cell's initial carry (not from `initial_carry`), in either
        direction. It acts where `mask` is False too, but not past a length.
      train: apply dropout, zoneout and DropConnect.

    Returns:
      The outputs, laid out as the inputs, or `(carry, outputs)` if `return_carry`.

    Raises:
      ValueError: an argument whose shape, dtype or value does not fit. Lengths out of
        range are seen where they are concrete, so outside `jax.jit`.
    """
    time_major = self.time_major if time_major is None else time_major
    reverse = self.reverse if reverse is None else reverse
    keep_order = self.keep_order if keep_order is None else keep_order
    return_carry = self.return_carry if return_carry is None else return_carry

    xs, time_axis = self._time_first(inputs, time_major)
    initial = self._initial(xs, init_key)
    carry = vary_as(initial, xs)
    if initial_carry is not None:
      carry = vary_as(check_carry(initial_carry, initial), xs)
    sizes = xs.shape[0], self._batch(xs)
    if seq_lengths is not None:
      seq_lengths = check_lengths(seq_lengths, *sizes)
    within = valid_steps((sizes[0], *sizes[1]), 0, seq_lengths, None)
    valid = within
    if mask is not None:
      mask = check_flags('mask', mask, *sizes, time_axis)
      valid = mask if within is None else within & mask
    if valid is not None:  # Whatever the padding holds, a gradient of 0 stays 0.
      xs = keep(valid, xs, jnp.zeros_like(xs))
    if resets is not None:
      resets = check_flags('resets', resets, *sizes, time_axis)
      if within is not None:
        resets &= within
      if reverse:  # A sequence ends one step before the next one's first.
        resets = jnp.concatenate([resets[1:], jnp.zeros_like(resets[:1])])
    if isinstance(self.cell, GatedCell):
      params, xs, kernel, bias, recurrent_kernel = self.cell.weights(xs)
      if train and self.dropconnect_rate and recurrent_kernel is not None:
        recurrent_kernel *= self._dropout(
          self.dropconnect_rate, recurrent_kernel.shape, recurrent_kernel.dtype
        )
      state_mask = None
      if train and self.recurrent_dropout_rate:
        h = hidden(carry)
        state_mask = self._dropout(self.recurrent_dropout_rate, h.shape, h.dtype)
      carry, ys = recur(
        self.cell.update,
        params,
        xs,
        kernel,
        bias,
        recurrent_kernel,
        carry,
        given=Given(valid, resets, self._zoneout(xs.shape[0], carry, train)),
        reset_to=initial,
        state_mask=state_mask,
        reverse=reverse,
        unroll=self.unroll,
        remat_every=self.remat_every,
      )
    elif isinstance(self.cell, LinearCell):
      carry, ys = self.cell.run(
        carry, xs, valid=valid, resets=resets, reset_to=initial, reverse=reverse
      )
    else:
      carry, ys = self._scan(carry, xs, valid, resets, initial, reverse)
    if reverse and not keep_order:
      ys = flip(ys, seq_lengths)
    ys = jax.tree.map(lambda y: jnp.moveaxis(y, 0, time_axis), ys)
    return (carry, ys) if return_carry else ys

  @nn.compact
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
    cell = self.cell
    if not isinstance(cell, GatedCell) or type(cell).gates is GatedCell.gates:
      raise ValueError(f'cell: {type(cell).__name__} has no gates')
    xs, time_axis = self._time_first(inputs, self.time_major)
    start = self._initial(xs, None)
    if initial_carry is not None:
      start = check_carry(initial_carry, start)
    weights = params, xs, kernel, bias, recurrent_kernel = cell.weights(xs)
    given = Given(zoneout=self._zoneout(xs.shape[0], start, train=False))
    _, ys = recur(cell.update, *weights, start, given=given, reverse=self.reverse)
    first = hidden(start)[None].astype(ys.dtype)
    pieces = [ys[1:], first] if self.reverse else [first, ys[:-1]]
    zx = project(xs, kernel)
    zh = jnp.zeros_like(zx)
    if recurrent_kernel is not None:
      zh = project(jnp.concatenate(pieces), recurrent_kernel)
    if bias is not None:
      zx = add_bias(zx, bias)
    gates = cell.gates(params, *(split_gates(z, ys.shape[-1]) for z in (zx, zh)))
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

  def _initial(self, xs: Array, key: Array | None) -> Carry:
    """Returns the initial carry for time-major inputs."""
    key = jax.random.key(0) if key is None else key
    if not self.learn_carry:
      return self.cell.initialize_carry(key, xs.shape[1:])
    features = xs.shape[xs.ndim - self.cell.num_feature_axes :]
    learned = self.param('initial_carry', self.cell.initialize_carry, features)
    batch = self._batch(xs)
    return jax.tree.map(lambda c: jnp.broadcast_to(c, (*batch, *c.shape)), learned)

  def _batch(self, xs: Array) -> tuple[int, ...]:
    return xs.shape[1 : xs.ndim - self.cell.num_feature_axes]

  def _dropout(self, rate: float, shape: tuple[int, ...], dtype: Any) -> Array:
    """Draws factors that are 0 at the rate, and of mean 1."""
    kept = jax.random.bernoulli(self.make_rng('dropout'), 1 - rate, shape)
    return kept.astype(dtype) / jnp.asarray(1 - rate, dtype)

  def _zoneout(self, steps: int, carry: Carry, train: bool) -> Carry | None:
    """Returns how much of the old carry each step keeps, or None if nothing."""
    if not any(jax.tree.leaves(self.zoneout_rate)):
      return None

    def kept(state: Array, rate: float) -> Array:
      if not train:
        return jnp.full((steps, *(1,) * state.ndim), float(rate), state.dtype)
      return jax.random.bernoulli(self.make_rng('dropout'), rate, (steps, *state.shape))

    rates = self.zoneout_rate
    if not isinstance(rates, tuple | list | dict):
      rates = jax.tree.map(lambda _: self.zoneout_rate, carry)
    structure: Any = jax.tree.structure(carry)
    if jax.tree.structure(rates) != structure:
      raise ValueError(
        f'zoneout_rate: got {rates}, expected a number or one for each part of the '
        f'carry, {jax.tree.map(jnp.shape, carry)}'
      )
    return jax.tree.map(kept, carry, rates)

  def _scan(
    self,
    carry: Carry,
    xs: Array,
    valid: Array | None,
    resets: Array | None,
    initial: Carry,
    reverse: bool,
  ) -> tuple[Carry, Any]:
    """Scans a foreign cell."""

    def step(cell: Any, carry: Carry, x: Any) -> tuple[Carry, Any]:
      x, valid, reset = x
      if reset is not None:
        carry = keep(~reset, carry, initial)
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
    return scan(self.cell, carry, (xs, valid, resets))
