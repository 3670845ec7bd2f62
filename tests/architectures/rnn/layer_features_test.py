"""Masks, resets, learned carries and the regularisers, over every kind of cell."""

from functools import partial
from itertools import pairwise
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.rnn import (
  RNN,
  Bidirectional,
  ConvLSTMCell,
  ElmanCell,
  GRUCell,
  LSTMCell,
  MinGRUCell,
  ResetBeforeGRUCell,
  Stack,
  dense,
  residual,
)

BATCH, TIME, INPUTS, H = 3, 6, 5, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(BATCH, TIME, INPUTS)).astype(np.float32)
close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
# The fast engine, the linear one and the plain scan.
CELLS = {
  'lstm': LSTMCell(H),
  'mingru': MinGRUCell(H),
  'resetbefore': ResetBeforeGRUCell(H),
}


def run(rnn: Any, variables: Any, x: Any, **call: Any) -> Any:
  return rnn.apply(variables, x, return_carry=True, **call)


def make(cell: Any, **fields: Any) -> Any:
  rnn = RNN(cell, **fields)
  return rnn, rnn.init(jax.random.key(1), X)


@pytest.mark.parametrize('reverse', [False, True])
@pytest.mark.parametrize('name', CELLS)
def test_a_masked_step_is_as_if_it_were_not_there(name: str, reverse: bool) -> None:
  rnn, variables = make(CELLS[name], reverse=reverse, keep_order=True)
  mask = np.array([[1, 0, 1, 1, 0, 1], [0] * 6, [0, 1, 1, 0, 0, 0]], bool)
  carry, y = run(rnn, variables, X, mask=mask)
  assert not np.asarray(y)[~mask].any()
  for b in (0, 2):
    there = X[b : b + 1, mask[b]]
    expected_carry, expected = run(rnn, variables, there)
    close(y[b][mask[b]], expected[0])
    jax.tree.map(lambda a, e, b=b: close(a[b], e[0]), carry, expected_carry)
  start = rnn.cell.initialize_carry(jax.random.key(0), X[:, 0].shape)
  jax.tree.map(lambda a, e: np.testing.assert_array_equal(a[1], e[1]), carry, start)


def test_lengths_and_mask_hold_together() -> None:
  rnn, variables = make(CELLS['lstm'])
  mask = RNG.random((BATCH, TIME)) < 0.5
  lengths = np.array([6, 2, 0])
  got = run(rnn, variables, X, mask=mask, seq_lengths=lengths)
  both = mask & (np.arange(TIME) < lengths[:, None])
  jax.tree.map(close, got, run(rnn, variables, X, mask=both))


@pytest.mark.parametrize('reverse', [False, True])
@pytest.mark.parametrize('name', CELLS)
@pytest.mark.parametrize('learn_carry', [False, True])
def test_resets_equal_pieces_run_by_themselves(
  name: str, reverse: bool, learn_carry: bool
) -> None:
  cell = CELLS[name].clone(carry_init=nn.initializers.normal(1.0))
  if not learn_carry:
    cell = CELLS[name]
  rnn, variables = make(cell, reverse=reverse, keep_order=True, learn_carry=learn_carry)
  resets = np.zeros((BATCH, TIME), bool)
  resets[0, [2, 3]] = resets[1, 0] = True
  start = rnn.cell.initialize_carry(jax.random.key(0), X[:, 0].shape)
  start = jax.tree.map(lambda c: c + 0.5, start)
  carry, y = run(rnn, variables, X, resets=resets, initial_carry=start)
  for b in range(BATCH):
    bounds = [0, *np.flatnonzero(resets[b]), TIME]
    for first, last in pairwise(bounds):
      if first == last:
        continue
      # The given carry belongs to the piece that is run first, unless it was reset.
      given = (last == TIME) if reverse else (first == 0 and not resets[b, 0])
      call = {}
      if given:
        call = {'initial_carry': jax.tree.map(lambda c, b=b: c[b : b + 1], start)}
      final, expected = run(rnn, variables, X[b : b + 1, first:last], **call)
      close(y[b, first:last], expected[0])
      if (first == 0) if reverse else (last == TIME):
        jax.tree.map(lambda a, e, b=b: close(a[b], e[0]), carry, final)


@pytest.mark.parametrize('reverse', [False, True])
def test_a_reset_past_a_length_changes_nothing(reverse: bool) -> None:
  rnn, variables = make(CELLS['lstm'], reverse=reverse, keep_order=True)
  lengths = np.array([4, 0, 6])
  padding = np.arange(TIME) >= lengths[:, None]
  call = {'seq_lengths': lengths, 'initial_carry': (np.ones((BATCH, H)),) * 2}
  jax.tree.map(
    np.testing.assert_array_equal,
    run(rnn, variables, X, resets=padding, **call),
    run(rnn, variables, X, **call),
  )


@pytest.mark.parametrize('name', CELLS)
def test_padding_may_hold_anything(name: str) -> None:
  rnn, variables = make(CELLS[name])
  lengths = np.array([4, 0, 6])
  padding = (np.arange(TIME) >= lengths[:, None])[..., None]
  loss = lambda v, x: jnp.sum(rnn.apply(v, x, seq_lengths=lengths) ** 2)  # noqa: E731
  got = jax.grad(loss)(variables, np.where(padding, np.nan, X))
  jax.tree.map(close, got, jax.grad(loss)(variables, X))


def test_gates_follow_the_zoneout_of_the_call() -> None:
  rnn, variables = make(GRUCell(H), zoneout_rate=0.5)
  gates, y = rnn.apply(variables, X, method='gates'), rnn.apply(variables, X)
  before = np.concatenate([np.zeros_like(y[:, :1]), y[:, :-1]], 1)
  z, n = gates['update'], gates['new']
  close(y, 0.5 * before + 0.5 * ((1 - z) * n + z * before))


@pytest.mark.parametrize('name', CELLS)
def test_a_stream_in_pieces_equals_the_whole(name: str) -> None:
  rnn, variables = make(CELLS[name])
  carry, first = run(rnn, variables, X[:, :2])
  carry, second = run(rnn, variables, X[:, 2:], initial_carry=carry)
  whole = run(rnn, variables, X)
  jax.tree.map(close, (carry, jnp.concatenate([first, second], 1)), whole)


def test_a_learned_carry_is_a_parameter_with_a_gradient() -> None:
  cell = LSTMCell(H, carry_init=nn.initializers.normal(1.0))
  rnn, variables = make(cell, learn_carry=True)
  learned = variables['params']['initial_carry']
  assert jax.tree.map(jnp.shape, learned) == ((H,), (H,))
  plain = {'params': {'cell': variables['params']['cell']}}
  start = jax.tree.map(lambda c: jnp.broadcast_to(c, (BATCH, H)), learned)
  expected = RNN(cell).apply(plain, X, initial_carry=start)
  np.testing.assert_array_equal(rnn.apply(variables, X), expected)
  grads = jax.grad(lambda v: jnp.sum(rnn.apply(v, X) ** 2))(variables)
  assert all(jnp.abs(g).max() > 1e-4 for g in grads['params']['initial_carry'])


def gradient_program(remat_every: int | None, features: int, *shape: int) -> Any:
  """Compiles the gradient of an LSTM for inputs of a shape; runs nothing."""
  rnn = RNN(LSTMCell(features), remat_every=remat_every)
  x = jax.ShapeDtypeStruct(shape, jnp.float32)
  variables = jax.eval_shape(rnn.init, jax.random.key(0), x)
  loss = lambda v, x: jnp.sum(rnn.apply(v, x) ** 2)  # noqa: E731
  return jax.jit(jax.grad(loss)).lower(variables, x).compile()


def test_remat_changes_no_gradient() -> None:
  x = jnp.sin(jnp.arange(2 * 20 * INPUTS, dtype=jnp.float32)).reshape(2, 20, INPUTS)
  variables = RNN(LSTMCell(H)).init(jax.random.key(0), x)
  plain, saving = (gradient_program(k, H, *x.shape)(variables, x) for k in (None, 8))
  jax.tree.map(close, saving, plain)


def test_remat_takes_a_quarter_of_the_memory_of_a_long_sequence() -> None:
  plain, saving = (
    gradient_program(k, 512, 32, 4096, 512).memory_analysis().temp_size_in_bytes
    for k in (None, 64)
  )
  assert saving < plain / 4


def draws(rnn: Any, variables: Any, x: Any, num: int = 3, **call: Any) -> Any:
  keys = jax.random.split(jax.random.key(2), num)
  apply = lambda key: rnn.apply(variables, x, train=True, rngs={'dropout': key}, **call)  # noqa: E731
  return jax.vmap(apply)(keys)


def identity_rnn(**fields: Any) -> Any:
  """An RNN whose state sums what it is fed: h' = x + h."""
  linear = ElmanCell(
    H,
    activation_fn=lambda x: x,
    kernel_init=nn.initializers.ones,
    recurrent_kernel_init=lambda key, shape, dtype: jnp.eye(*shape, dtype=dtype),
  )
  rnn = RNN(linear, **fields)
  x = np.ones((2, 5, 1), np.float32)
  return rnn, RNN(linear).init(jax.random.key(0), x), x


def test_recurrent_dropout_drops_the_same_units_at_each_step() -> None:
  rnn, variables, x = identity_rnn(recurrent_dropout_rate=0.5)
  np.testing.assert_array_equal(rnn.apply(variables, x)[0, :, 0], [1, 2, 3, 4, 5])
  y = np.asarray(draws(rnn, variables, x, 200))
  # A dropped unit forgets at each step; a kept one is doubled at each step.
  kinds = {tuple(unit) for unit in np.moveaxis(y, 2, -1).reshape(-1, 5)}
  assert kinds == {(1, 1, 1, 1, 1), (1, 3, 7, 15, 31)}
  assert 0.4 < (y[:, :, -1] == 1).mean() < 0.6
  assert any(len(set(row[:, -1, 0].tolist())) == 2 for row in y)  # Not one for all.


def test_zoneout_keeps_units_of_the_old_state() -> None:
  rnn, variables, x = identity_rnn(zoneout_rate=0.25)
  y = np.asarray(draws(rnn, variables, x, 200))
  steps = np.diff(y, axis=2, prepend=0)
  assert set(np.unique(steps)) == {0, 1}
  assert abs((steps == 0).mean() - 0.25) < 0.02
  # Without training, what is expected: h' = rate * h + (1 - rate) * (x + h).
  expected = 0.75 * np.arange(1, 6)
  close(rnn.apply(variables, x)[0, :, 0], expected)


def test_zoneout_of_the_cell_state_alone() -> None:
  rnn, variables = make(LSTMCell(H), zoneout_rate=(0.75, 0.0))
  cell = {'params': variables['params']['cell']}
  c, h = jnp.zeros((2, BATCH, H))
  for t in range(TIME):
    (new, h), _ = LSTMCell(H).apply(cell, (c, h), X[:, t])
    c = 0.75 * c + 0.25 * new
  jax.tree.map(close, rnn.apply(variables, X, return_carry=True)[0], (c, h))


def test_dropconnect_drops_weights_once_for_the_whole_call() -> None:
  rnn, variables, x = identity_rnn(dropconnect_rate=0.5)
  y = np.asarray(draws(rnn, variables, x, 200))
  kinds = {tuple(unit) for unit in np.moveaxis(y, 2, -1).reshape(-1, 5)}
  assert kinds == {(1, 1, 1, 1, 1), (1, 3, 7, 15, 31)}
  np.testing.assert_array_equal(y[:, 0], y[:, 1])  # The same for all sequences.
  np.testing.assert_array_equal(rnn.apply(variables, x)[0, :, 0], [1, 2, 3, 4, 5])


def test_the_regularisers_keep_the_one_matmul_a_step() -> None:
  rnn, variables = make(
    LSTMCell(H), recurrent_dropout_rate=0.5, zoneout_rate=0.1, dropconnect_rate=0.2
  )
  resets = jnp.zeros((BATCH, TIME), bool)

  def loss(variables: Any) -> jax.Array:
    rngs = {'dropout': jax.random.key(0)}
    y = rnn.apply(variables, X, train=True, rngs=rngs, mask=~resets, resets=resets)
    return jnp.sum(y**2)

  def count(jaxpr: Any, name: str) -> int:
    inner = [v for e in jaxpr.eqns for v in jax.tree.leaves(list(e.params.values()))]
    inner = [
      getattr(v, 'jaxpr', v) for v in inner if hasattr(getattr(v, 'jaxpr', v), 'eqns')
    ]
    here = sum(e.primitive.name == name for e in jaxpr.eqns)
    return here + sum(count(j, name) for j in inner)

  jaxpr = jax.make_jaxpr(jax.grad(loss))(variables).jaxpr

  def scans(jaxpr: Any) -> Any:
    for e in jaxpr.eqns:
      for v in jax.tree.leaves(list(e.params.values())):
        j = getattr(v, 'jaxpr', v)
        if hasattr(j, 'eqns'):
          if e.primitive.name == 'scan':
            yield count(j, 'dot_general'), count(j, 'random_bits')
          else:
            yield from scans(j)

  assert list(scans(jaxpr)) == [(1, 0), (1, 0)]


def test_bidirectional_is_two_layers() -> None:
  layer = Bidirectional(RNN(GRUCell(H)), RNN(LSTMCell(H)))
  lengths, mask = np.array([6, 0, 3]), RNG.random((BATCH, TIME)) < 0.7
  variables = layer.init(jax.random.key(0), X)
  call = dict(seq_lengths=lengths, mask=mask, return_carry=True)
  carries, y = layer.apply(variables, X, **call)
  forward, backward = (
    rnn.apply({'params': variables['params'][name]}, X, **call)
    for rnn, name in (
      (RNN(GRUCell(H)), 'forward_rnn'),
      (RNN(LSTMCell(H), reverse=True, keep_order=True), 'backward_rnn'),
    )
  )
  jax.tree.map(close, carries, (forward[0], backward[0]))
  close(y, np.concatenate([forward[1], backward[1]], -1))


def test_bidirectional_equals_flax() -> None:
  ours = Bidirectional(RNN(nn.GRUCell(H)), RNN(nn.GRUCell(H)), merge_fn=jnp.add)
  theirs = nn.Bidirectional(
    nn.RNN(nn.GRUCell(H)), nn.RNN(nn.GRUCell(H)), merge_fn=jnp.add
  )
  variables = theirs.init(jax.random.key(0), X)
  lengths = np.array([6, 1, 3])
  call = dict(seq_lengths=lengths, return_carry=True, init_key=jax.random.key(3))
  got, expected = (m.apply(variables, X, **call) for m in (ours, theirs))
  jax.tree.map(close, got[0], expected[0])
  there = np.arange(TIME) < lengths[:, None]
  close(got[1][there], expected[1][there])


@pytest.mark.parametrize(
  ('connect', 'features'), [(residual, H), (dense, 2 * H + INPUTS)]
)
def test_a_stack_connects_its_layers(connect: Any, features: int) -> None:
  layers = [RNN(GRUCell(H)), RNN(LSTMCell(H))]
  x = X[..., :H] if connect is residual else X
  stack = Stack(layers, connect=connect)
  (carries, y), variables = stack.init_with_output(
    jax.random.key(0), x, return_carry=True
  )
  assert y.shape == (BATCH, TIME, features)
  for i, layer in enumerate(layers):
    params = {'params': variables['params'][f'layers_{i}']}
    carry, out = layer.apply(params, x, return_carry=True)
    jax.tree.map(close, carries[i], carry)
    x = x + out if connect is residual else np.concatenate([x, out], -1)
  close(y, x)
  lengths = np.array([6, 0, 2])
  y = stack.apply(
    variables, X[..., : H if connect is residual else INPUTS], seq_lengths=lengths
  )
  assert not np.asarray(y)[np.arange(TIME) >= lengths[:, None]].any()


def test_dropout_lies_between_the_layers_only() -> None:
  stack = Stack([RNN(GRUCell(H))], dropout_rate=0.9)
  variables = stack.init(jax.random.key(0), X)
  np.testing.assert_array_equal(
    draws(stack, variables, X)[0], stack.apply(variables, X)
  )
  stack = Stack([RNN(GRUCell(H)), RNN(GRUCell(H))], dropout_rate=0.9)
  variables = stack.init(jax.random.key(0), X)
  y = draws(stack, variables, X)
  assert jnp.abs(y[0] - y[1]).max() > 1e-3


FIT = pytest.mark.parametrize(
  ('call', 'message'),
  [
    ({'seq_lengths': np.array([6, -1, 0])}, 'seq_lengths: got -1, expected 0 to 6'),
    ({'seq_lengths': np.array([7, 1, 0])}, 'seq_lengths: got 7, expected 0 to 6'),
    (
      {'mask': np.ones((BATCH, TIME))},
      r'mask: got float32\(3, 6\), expected bool\(3, 6',
    ),
    (
      {'mask': np.ones((TIME, BATCH), bool)},
      r'mask: got bool\(6, 3\), expected bool\(3',
    ),
    (
      {'resets': np.ones((BATCH, 1), bool)},
      r'resets: got bool\(3, 1\), expected bool\(3',
    ),
    (
      {'initial_carry': np.ones((BATCH, 2))},
      r'initial_carry: got .*\(3, 2\), expected',
    ),
  ],
)


@FIT
@pytest.mark.parametrize('cell', [GRUCell(H), MinGRUCell(H), nn.GRUCell(H)])
def test_what_does_not_fit_is_named(cell: Any, call: Any, message: str) -> None:
  rnn, variables = make(cell)
  with pytest.raises(ValueError, match=message):
    rnn.apply(variables, X, **call)


@pytest.mark.parametrize(
  ('build', 'message'),
  [
    (lambda: RNN(16), 'cell: got 16, expected a cell such as'),
    (lambda: RNN(LSTMCell), 'cell: got .*LSTMCell.*, expected a cell such as'),
    (lambda: RNN(LSTMCell(0)), 'features: got 0, expected'),
    (
      lambda: RNN(LSTMCell(4), zoneout_rate=1.0),
      'zoneout_rate: got 1.0, expected 0 <=',
    ),
    (
      lambda: RNN(nn.GRUCell(4), remat_every=8),
      'remat_every: got 8, but GRUCell is no GatedCell',
    ),
    (
      lambda: RNN(MinGRUCell(4), recurrent_dropout_rate=0.5),
      'recurrent_dropout_rate: got 0.5, but MinGRUCell is no GatedCell',
    ),
    (
      lambda: Bidirectional(nn.RNN(nn.GRUCell(4)), RNN(GRUCell(4))),
      r"forward_rnn: got flax's RNN\(GRUCell\), expected convscan's",
    ),
    (
      lambda: Bidirectional(RNN(GRUCell(4)), GRUCell(4)),
      r'backward_rnn: got the cell GRUCell, expected a layer such as RNN\(GRUCell',
    ),
    (
      lambda: Stack([RNN(GRUCell(4)), LSTMCell(2)]).init(jax.random.key(0), X),
      r'layers\[1\]: got the cell LSTMCell, expected a layer such as',
    ),
    (lambda: Stack([]).init(jax.random.key(0), X), 'layers: got none'),
    (
      lambda: Stack([RNN(GRUCell(4))], connect=residual).init(jax.random.key(0), X),
      r'residual: got inputs \(3, 6, 5\) and outputs \(3, 6, 4\)',
    ),
  ],
)
def test_a_layer_that_cannot_be_is_refused(build: Any, message: str) -> None:
  with pytest.raises(ValueError, match=message):
    build()


def test_a_convolutional_cell_takes_mask_and_resets() -> None:
  x = RNG.normal(size=(2, 4, 3, 3, 1)).astype(np.float32)
  rnn = RNN(ConvLSTMCell(2, (2, 2)))
  variables = rnn.init(jax.random.key(0), x)
  resets = np.zeros((2, 4), bool)
  resets[:, 2] = True
  y = rnn.apply(variables, x, resets=resets)
  pieces = [rnn.apply(variables, part) for part in (x[:, :2], x[:, 2:])]
  close(y, np.concatenate(pieces, 1))
  y = rnn.apply(variables, x, mask=np.zeros((2, 4), bool))
  assert not np.asarray(y).any()
