from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.rnn import RNN, ElmanCell, GRUCell, LSTMCell

BATCH, TIME, INPUTS, H = 3, 6, 5, 4
close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)

# Ours, flax's, and the names of flax's gates in our order.
CELLS = {
  'elman': (ElmanCell, nn.SimpleCell, ['']),
  'lstm': (LSTMCell, nn.OptimizedLSTMCell, ['i', 'f', 'g', 'o']),
  'gru': (GRUCell, nn.GRUCell, ['r', 'z', 'n']),
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
  if name == 'gru':
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


@pytest.mark.parametrize('name', CELLS)
def test_bfloat16_cells_keep_a_float32_state(name: str) -> None:
  cell = CELLS[name][0](H, dtype=jnp.bfloat16, param_dtype=jnp.bfloat16)
  carry = cell.initialize_carry(jax.random.key(0), (BATCH, INPUTS))
  variables = cell.init(jax.random.key(0), carry, X[:, 0])
  carry, y = cell.apply(variables, carry, X[:, 0])
  dtypes = lambda tree: {x.dtype for x in jax.tree.leaves(tree)}  # noqa: E731
  assert dtypes(variables) == dtypes(y) == {jnp.dtype(jnp.bfloat16)}
  assert dtypes(carry) == {jnp.dtype(jnp.float32)}


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
