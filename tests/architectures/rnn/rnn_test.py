from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.rnn import RNN, ElmanCell, GRUCell, LSTMCell

BATCH, TIME, INPUTS, H = 4, 6, 5, 3
LENGTHS = np.array([6, 3, 0, 1])
RNG = np.random.default_rng(0)
X = RNG.normal(size=(BATCH, TIME, INPUTS)).astype(np.float32)
CELLS = {'elman': ElmanCell, 'lstm': LSTMCell, 'gru': GRUCell}
close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)


def sigmoid(x: Any) -> Any:
  return 1 / (1 + np.exp(-x))


def numpy_step(name: str, p: Any, x: Any, c: Any, h: Any) -> Any:
  """One step of one sequence in float64: the new c and h, and the gates."""
  z, R = x @ p['kernel'] + p['bias'], p['recurrent_kernel']
  if name == 'elman':
    return c, np.tanh(z + h @ R), {}
  if name == 'lstm':
    i, f, g, o = np.split(z + h @ R, 4)
    gates = {'input': sigmoid(i), 'forget': sigmoid(f)}
    gates |= {'cell': np.tanh(g), 'output': sigmoid(o)}
    c = gates['forget'] * c + gates['input'] * gates['cell']
    return c, gates['output'] * np.tanh(c), gates
  (xr, xz, xn), (hr, hz, hn) = np.split(z, 3), np.split(h @ R, 3)
  r, u = sigmoid(xr + hr), sigmoid(xz + hz)
  n = np.tanh(xn + r * (hn + p['recurrent_bias']))
  return c, (1 - u) * n + u * h, {'reset': r, 'update': u, 'new': n}


def numpy_rnn(name: str, params: Any, c: Any, h: Any, reverse: bool = False) -> Any:
  """Sequence by sequence and step by step, up to each one's length."""
  p = {key: np.asarray(value, np.float64) for key, value in params.items()}
  c, h, y = np.array(c, np.float64), np.array(h, np.float64), np.zeros((BATCH, TIME, H))
  for b in range(BATCH):
    for t in range(LENGTHS[b])[:: -1 if reverse else 1]:
      c[b], h[b], _ = numpy_step(name, p, X[b, t].astype(np.float64), c[b], h[b])
      y[b, t] = h[b]
  return (c, h) if name == 'lstm' else h, y


def make(name: str, **fields: Any) -> tuple[RNN, Any]:
  """An RNN whose biases are not zero."""
  rnn = RNN(CELLS[name](H, bias_init=nn.initializers.normal(1.0)), **fields)
  return rnn, rnn.init(jax.random.key(1), X)


@pytest.mark.parametrize('reverse', [False, True])
@pytest.mark.parametrize('name', CELLS)
def test_equals_a_float64_loop(name: str, reverse: bool) -> None:
  rnn, variables = make(name, reverse=reverse, keep_order=True, return_carry=True)
  c, h = RNG.normal(size=(2, BATCH, H)).astype(np.float32)
  got = rnn.apply(
    variables, X, seq_lengths=LENGTHS, initial_carry=(c, h) if name == 'lstm' else h
  )
  expected = numpy_rnn(name, variables['params']['cell'], c, h, reverse)
  jax.tree.map(close, got, expected)


def test_length_zero_returns_the_initial_carry_and_zeros() -> None:
  rnn, variables = make('lstm')
  start = jax.tree.map(jnp.asarray, tuple(RNG.normal(size=(2, BATCH, H)).astype('f')))
  (c, h), y = rnn.apply(
    variables, X, seq_lengths=LENGTHS, initial_carry=start, return_carry=True
  )
  np.testing.assert_array_equal((c[2], h[2]), (start[0][2], start[1][2]))
  assert not np.asarray(y)[np.arange(TIME) >= LENGTHS[:, None]].any()


def test_padding_has_no_gradient() -> None:
  rnn, variables = make('gru')
  f = lambda x: jnp.sum(rnn.apply(variables, x, seq_lengths=LENGTHS) ** 2)  # noqa: E731
  nonzero = np.asarray(jax.grad(f)(X)).any(axis=-1)
  np.testing.assert_array_equal(nonzero, np.arange(TIME) < LENGTHS[:, None])


@pytest.mark.parametrize('lengths', [None, np.array([6, 3, 2, 1])])
@pytest.mark.parametrize('keep_order', [False, True])
@pytest.mark.parametrize('time_major', [False, True])
def test_order_and_layout_are_those_of_flax(
  time_major: bool, keep_order: bool, lengths: Any
) -> None:
  rnn, variables = make('elman')
  p = variables['params']['cell']
  flax_params = {
    'i': {'kernel': p['kernel'], 'bias': p['bias']},
    'h': {'kernel': p['recurrent_kernel']},
  }
  call: Any = dict(
    time_major=time_major,
    keep_order=keep_order,
    reverse=True,
    return_carry=True,
    seq_lengths=lengths,
  )
  x = X.swapaxes(0, 1) if time_major else X
  carry, y = rnn.apply(variables, x, **call)
  flax_variables = {'params': {'cell': flax_params}}
  expected: Any = nn.RNN(nn.SimpleCell(H)).apply(flax_variables, x, **call)
  close(carry, expected[0])
  if lengths is not None:  # flax leaves what it computed on padding.
    padding = np.arange(TIME) >= lengths[:, None]
    padding = (padding.T if time_major else padding)[..., None]
    expected = expected[0], jnp.where(padding, 0, expected[1])
  close(y, expected[1])


@pytest.mark.parametrize('reverse', [False, True])
def test_foreign_cells_run_as_in_flax(reverse: bool) -> None:
  ours, theirs = RNN(nn.OptimizedLSTMCell(H)), nn.RNN(nn.OptimizedLSTMCell(H))
  variables = ours.init(jax.random.key(0), X)
  jax.tree.map(
    np.testing.assert_array_equal, variables, theirs.init(jax.random.key(0), X)
  )
  call: Any = dict(reverse=reverse, keep_order=True, return_carry=True)
  jax.tree.map(
    close, ours.apply(variables, X, **call), theirs.apply(variables, X, **call)
  )
  carry, y = ours.apply(variables, X, seq_lengths=LENGTHS, **call)
  for b, length in enumerate(LENGTHS[:2]):
    expected = theirs.apply(variables, X[b : b + 1, :length], **call)
    got = jax.tree.map(lambda x: x[b : b + 1], (carry, y[:, :length]))  # noqa: B023
    jax.tree.map(close, got, expected)
  assert not any(x[2].any() for x in (*carry, y))


def test_convolutional_foreign_cell() -> None:
  x = jnp.ones((2, 3, 2, 2, 1))
  ours, theirs = (R(nn.ConvLSTMCell(2, (2, 2))) for R in (RNN, nn.RNN))
  y, variables = ours.init_with_output(jax.random.key(0), x)
  close(y, theirs.apply(variables, x))
  y = ours.apply(variables, x, seq_lengths=np.array([3, 0]))
  assert not np.asarray(y)[1].any()


@pytest.mark.parametrize('reverse', [False, True])
@pytest.mark.parametrize('name', ['lstm', 'gru'])
def test_gates_equal_a_float64_loop(name: str, reverse: bool) -> None:
  rnn, variables = make(name, reverse=reverse)
  got = rnn.apply(variables, X, method='gates')
  p = jax.tree.map(lambda x: np.asarray(x, np.float64), variables['params']['cell'])
  for b in range(BATCH):
    c = h = np.zeros(H)
    for t in range(TIME)[:: -1 if reverse else 1]:
      c, h, expected = numpy_step(name, p, X[b, t].astype(np.float64), c, h)
      assert got.keys() == expected.keys()
      jax.tree.map(close, {key: got[key][b, t] for key in got}, expected)


@pytest.mark.parametrize('cell', [ElmanCell(H), nn.SimpleCell(H)])
def test_cells_without_gates_say_so(cell: Any) -> None:
  rnn = RNN(cell)
  variables = rnn.init(jax.random.key(0), X)
  with pytest.raises(ValueError, match=f'{type(cell).__name__} has no gates'):
    rnn.apply(variables, X, method='gates')


def test_bfloat16_runs_close_to_float32() -> None:
  rnn, variables = make('lstm')
  half = RNN(LSTMCell(H, dtype=jnp.bfloat16), return_carry=True)
  carry, y = half.apply(variables, X)
  assert y.dtype == jnp.bfloat16
  assert {x.dtype for x in carry} == {jnp.dtype(jnp.float32)}
  np.testing.assert_allclose(y.astype(jnp.float32), rnn.apply(variables, X), atol=0.03)


def test_batch_axes_are_any_number() -> None:
  rnn, variables = make('gru')
  y = rnn.apply(variables, X, seq_lengths=LENGTHS)
  x, lengths = X.reshape(2, 2, TIME, INPUTS), LENGTHS.reshape(2, 2)
  close(rnn.apply(variables, x, seq_lengths=lengths).reshape(y.shape), y)
  close(rnn.apply(variables, X[0]), y[0])


def test_arguments_that_do_not_fit_are_named() -> None:
  rnn, variables = make('lstm')
  with pytest.raises(ValueError, match=r'inputs: got shape \(5,\), expected a time'):
    rnn.apply(variables, X[0, 0])
  with pytest.raises(ValueError, match=r'seq_lengths: got int32\(3,\), expected .*4'):
    rnn.apply(variables, X, seq_lengths=jnp.arange(3))
  with pytest.raises(ValueError, match=r'seq_lengths: got float32\(4,\), expected int'):
    rnn.apply(variables, X, seq_lengths=jnp.ones(4))
  with pytest.raises(ValueError, match=r'initial_carry: got float32\(4, 3\), expected'):
    rnn.apply(variables, X, initial_carry=jnp.ones((4, 3)))
