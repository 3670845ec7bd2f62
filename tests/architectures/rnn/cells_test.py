from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.rnn import (
  RNN,
  ConvLSTMCell,
  CoupledLSTMCell,
  ElmanCell,
  GatedCell,
  GRUCell,
  IndRNNCell,
  LayerNormLSTMCell,
  LSTMCell,
  MGUCell,
  PeepholeLSTMCell,
  ProjectedLSTMCell,
  ResetBeforeGRUCell,
  identity_init,
)

BATCH, TIME, INPUTS, H = 3, 6, 5, 4
close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)

# Ours, flax's, and the names of flax's gates in our order.
CELLS = {
  'elman': (ElmanCell, nn.SimpleCell, ['']),
  'lstm': (LSTMCell, nn.OptimizedLSTMCell, ['i', 'f', 'g', 'o']),
  'gru': (GRUCell, nn.GRUCell, ['r', 'z', 'n']),
  'mgu': (MGUCell, nn.MGUCell, ['f', 'n']),
}
PARAMS = {
  'elman': {'kernel': (INPUTS, H), 'recurrent_kernel': (H, H), 'bias': (H,)},
  'lstm': {'kernel': (INPUTS, 4 * H), 'recurrent_kernel': (H, 4 * H), 'bias': (4 * H,)},
  'gru': {
    'kernel': (INPUTS, 3 * H),
    'recurrent_kernel': (H, 3 * H),
    'bias': (3 * H,),
    'recurrent_bias': (H,),
  },
  'mgu': {
    'kernel': (INPUTS, 2 * H),
    'recurrent_kernel': (H, 2 * H),
    'bias': (2 * H,),
    'recurrent_bias': (H,),
  },
}
X = jnp.asarray(np.random.default_rng(0).normal(size=(BATCH, TIME, INPUTS)), np.float32)


def to_flax(name: str, params: Any) -> Any:
  """Writes our parameters under flax's names; the map is linear, so it has a vjp."""
  gates = CELLS[name][2]
  n = len(gates)
  kernels = jnp.split(params['kernel'], n, axis=1)
  recurrent_kernels = jnp.split(params['recurrent_kernel'], n, axis=1)
  biases = jnp.split(params['bias'], n)
  out = {}
  for gate, W, R, b in zip(gates, kernels, recurrent_kernels, biases, strict=True):
    out[f'i{gate}'], out[f'h{gate}'] = {'kernel': W}, {'kernel': R}
    # The LSTM of flax has its bias on the recurrent side.
    out[f'{"h" if name == "lstm" else "i"}{gate}']['bias'] = b
  if 'recurrent_bias' in params:
    out['hn']['bias'] = params['recurrent_bias']
  return out


def randomised(name: str) -> Any:
  """Parameters with biases that are not zero."""
  rng = np.random.default_rng(1)
  return {
    key: jnp.asarray(rng.normal(size=shape) / np.sqrt(shape[0]), jnp.float32)
    for key, shape in PARAMS[name].items()
  }


@pytest.mark.parametrize('name', CELLS)
def test_parameters_have_the_documented_shapes(name: str) -> None:
  cell = CELLS[name][0](H)
  carry = cell.initialize_carry(jax.random.key(0), X[:, 0].shape)
  variables = cell.init(jax.random.key(0), carry, X[:, 0])
  assert jax.tree.map(jnp.shape, variables) == {'params': PARAMS[name]}


@pytest.mark.parametrize('name', CELLS)
def test_a_step_equals_flax(name: str) -> None:
  ours, flax_cell, _ = CELLS[name]
  carry = jax.tree.map(
    lambda x: x + 0.3, ours(H).initialize_carry(jax.random.key(0), (BATCH, INPUTS))
  )
  params = randomised(name)
  got = ours(H).apply({'params': params}, carry, X[:, 0])
  expected = flax_cell(H).apply({'params': to_flax(name, params)}, carry, X[:, 0])
  jax.tree.map(close, got, expected)


@pytest.mark.parametrize('name', CELLS)
def test_a_sequence_and_its_gradients_equal_flax(name: str) -> None:
  ours, flax_cell, _ = CELLS[name]

  def run(rnn: Any, names: Any, params: Any, x: jax.Array) -> Any:
    carry, y = rnn.apply({'params': {'cell': names(params)}}, x, return_carry=True)
    return jnp.sum(jnp.sin(y) * jnp.arange(y.size).reshape(y.shape)), (carry, y)

  results = [
    jax.jit(jax.value_and_grad(partial(run, rnn, names), (0, 1), has_aux=True))(
      randomised(name), X
    )
    for rnn, names in [
      (RNN(ours(H)), lambda params: params),
      (nn.RNN(flax_cell(H)), partial(to_flax, name)),
    ]
  ]
  jax.tree.map(partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-4), *results)


def test_recurrent_kernel_is_orthogonal_in_each_gate() -> None:
  for name, (cell, _, gates) in CELLS.items():
    carry = cell(H).initialize_carry(jax.random.key(0), (BATCH, INPUTS))
    params = cell(H).init(jax.random.key(0), carry, X[:, 0])['params']
    blocks = np.split(np.asarray(params['recurrent_kernel']), len(gates), axis=1)
    for block in blocks:
      close(block.T @ block, np.eye(H), err_msg=name)
    assert len({block.tobytes() for block in blocks}) == len(gates)
    assert not any(params[key].any() for key in params if 'bias' in key)


def test_initialisers_and_activation_are_the_callers() -> None:
  ones = nn.initializers.ones
  cell = ElmanCell(
    H,
    activation_fn=lambda z: z,
    kernel_init=ones,
    recurrent_kernel_init=ones,
    bias_init=ones,
    carry_init=ones,
  )
  x = jnp.ones((BATCH, INPUTS))
  carry = cell.initialize_carry(jax.random.key(0), x.shape)
  (_, y), _ = cell.init_with_output(jax.random.key(0), carry, x)
  close(y, np.full((BATCH, H), INPUTS + H + 1))


def drawn(*shapes: tuple[int, ...]) -> list[Any]:
  """Arrays of normal numbers, scaled by the square root of their first axis."""
  rng = np.random.default_rng(2)
  return [(rng.normal(size=s) / np.sqrt(s[0])).astype(np.float32) for s in shapes]


def test_a_conv_lstm_step_equals_flax() -> None:
  kernel, recurrent_kernel, bias = drawn((3, 2, 5, 4 * H), (3, 2, H, 4 * H), (4 * H,))
  x, c, h = drawn((2, 4, 3, 5), (2, 4, 3, H), (2, 4, 3, H))
  cell = ConvLSTMCell(H, kernel_size=(3, 2))
  params = {'kernel': kernel, 'recurrent_kernel': recurrent_kernel, 'bias': bias}
  got = cell.apply({'params': params}, (c, h), x)

  def i_g_f_o(w: Any) -> Any:
    i, f, g, o = np.split(w, 4, axis=-1)
    return np.concatenate([i, g, f, o], axis=-1)

  # It has a bias on either side, and adds 1 to that of the forget gate.
  forget = np.repeat(np.float32([0, 0, -1, 0]), H)
  params = {
    'ih': {'kernel': i_g_f_o(kernel), 'bias': i_g_f_o(bias)},
    'hh': {'kernel': i_g_f_o(recurrent_kernel), 'bias': forget},
  }
  flax_cell = nn.ConvLSTMCell(H, kernel_size=(3, 2))
  jax.tree.map(close, got, flax_cell.apply({'params': params}, (c, h), x))


@pytest.mark.parametrize(
  ('cell', 'blocks'),
  [
    (LSTMCell(H, forget_bias=1.0), [0, 1, 0, 0]),
    (PeepholeLSTMCell(H, forget_bias=1.0), [0, 1, 0, 0]),
    (LayerNormLSTMCell(H, forget_bias=1.0), [0, 1, 0, 0]),
    (CoupledLSTMCell(H, forget_bias=1.0), [1, 0, 0]),
    (ProjectedLSTMCell(H, 3, forget_bias=1.0), [0, 1, 0, 0]),
    (ConvLSTMCell(H, (1,), forget_bias=1.0), [0, 1, 0, 0]),
    (LSTMCell(H, bias_init=nn.initializers.ones), [1, 1, 1, 1]),
  ],
)
def test_forget_bias_is_where_the_bias_starts(cell: Any, blocks: list[int]) -> None:
  zeros = nn.initializers.zeros  # Soon compiled.
  cell = cell.clone(kernel_init=zeros, recurrent_kernel_init=zeros)
  carry = cell.initialize_carry(jax.random.key(0), X.shape)
  params = jax.jit(cell.init)(jax.random.key(0), carry, X)['params']
  np.testing.assert_array_equal(params['bias'], np.repeat(blocks, H))


def test_irnn_starts_as_a_sum_of_its_inputs() -> None:
  cell = ElmanCell(
    INPUTS,
    activation_fn=nn.relu,
    recurrent_kernel_init=identity_init,
    kernel_init=identity_init,
  )
  y, _ = RNN(cell).init_with_output(jax.random.key(0), jnp.abs(X))
  close(y, jnp.cumsum(jnp.abs(X), axis=1))


def test_indrnn_starts_between_minus_one_and_one() -> None:
  cell = IndRNNCell(1000)
  carry = cell.initialize_carry(jax.random.key(0), (1, INPUTS))
  u = cell.init(jax.random.key(0), carry, X[:1, 0])['params']['recurrent_kernel']
  assert -1 <= u.min() < -0.95
  assert 0.95 < u.max() <= 1
  assert abs(u.mean()) < 0.1


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (lambda: LSTMCell(0), 'features: got 0, expected a positive int'),
    (lambda: GRUCell(2.0), 'features: got 2.0, expected a positive int'),
    (lambda: ProjectedLSTMCell(4, -1), 'projection: got -1, expected a positive int'),
    (lambda: ConvLSTMCell(4, 3), 'kernel_size: got 3, expected 1 to 3 positive ints'),
    (lambda: ConvLSTMCell(4, (3, 0)), r'kernel_size: got \(3, 0\), expected 1 to 3'),
  ],
)
def test_fields_are_checked(make: Any, message: str) -> None:
  with pytest.raises(ValueError, match=message):
    make()


@pytest.mark.parametrize(
  'cell', [LSTMCell(H), ResetBeforeGRUCell(H), ConvLSTMCell(H, (1,))]
)
def test_inputs_are_checked(cell: Any) -> None:
  x = jnp.ones((2, 6, INPUTS + 1))
  carry = cell.initialize_carry(jax.random.key(0), x.shape)
  variables = jax.eval_shape(cell.init, jax.random.key(0), carry, x[..., 1:])
  message = f'inputs: got {INPUTS + 1} features, expected {INPUTS}'
  with pytest.raises(ValueError, match=message):
    jax.eval_shape(cell.apply, variables, carry, x)


def test_what_a_cell_of_ones_own_lacks_is_named() -> None:
  class Unfinished(GatedCell):
    pass

  with pytest.raises(ValueError, match='num_gates: Unfinished has none'):
    Unfinished(H)
  Unfinished.num_gates = 1
  with pytest.raises(NotImplementedError, match=r'Unfinished\.update.*: expected a'):
    RNN(Unfinished(H)).init(jax.random.key(0), X)


def test_gates_that_depend_on_the_cell_are_refused() -> None:
  with pytest.raises(ValueError, match='PeepholeLSTMCell has no gates that follow'):
    PeepholeLSTMCell(H).gates({}, [], [])
