"""Weights to and from torch: both layers compute the same."""

import re
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import convscan.architectures as arch
from convscan.architectures.rnn import (
  RNN,
  Bidirectional,
  ElmanCell,
  GRUCell,
  LanguageModel,
  LSTMCell,
  Stack,
)
from convscan.architectures.rnn.stepwise_cells import (
  ProjectedLSTMCell,
  ResetBeforeGRUCell,
)
from convscan.architectures.rnn.variant_cells import MGUCell, PeepholeLSTMCell

BATCH, TIME, INPUTS, H = 2, 6, 5, 4
SHAPE = (BATCH, TIME, INPUTS)
X = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
# By name: a cell here, the layer there, and its fields.
KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
  'elman': (ElmanCell(H), torch.nn.RNN, {}),
  'relu': (ElmanCell(H, activation_fn=nn.relu), torch.nn.RNN, {'nonlinearity': 'relu'}),
  'lstm': (LSTMCell(H), torch.nn.LSTM, {}),
  'gru': (GRUCell(H), torch.nn.GRU, {}),
  'projected': (ProjectedLSTMCell(H, projection=2), torch.nn.LSTM, {'proj_size': 2}),
}
SIZES = [(1, False), (2, False), (3, False), (1, True), (2, True)]
pytestmark = pytest.mark.filterwarnings(
  'ignore:LSTM with projections is not supported with oneDNN:UserWarning'
)
close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)


def make(kind: str, layers: int = 1, both: bool = False) -> tuple[nn.Module, Any]:
  """Returns a model, and torch's, whose weights and biases are random."""
  cell, theirs, fields = KINDS[kind]
  one: list[Any] = [RNN(cell.clone()) for _ in range(layers)]
  if both:
    one = [Bidirectional(RNN(cell.clone()), RNN(cell.clone())) for _ in range(layers)]
  torch.manual_seed(0)
  module = theirs(INPUTS, H, layers, batch_first=True, bidirectional=both, **fields)
  return one[0] if layers == 1 else Stack(one), module


def run(model: nn.Module) -> Any:
  """Returns `variables -> (outputs, a gradient by the inputs, *final states)`."""

  @jax.jit
  def call(variables: Any) -> list[Any]:
    f = lambda x: model.apply(variables, x, return_carry=True)[::-1]  # noqa: E731
    y, vjp, carry = jax.vjp(f, X, has_aux=True)
    return [y, *vjp(jnp.cos(y)), *jax.tree.leaves(carry)]

  return call


def run_torch(module: Any) -> list[np.ndarray]:
  """As `run`: the states are each layer's and direction's c, if it has one, and h."""
  x = torch.from_numpy(X).requires_grad_()
  y, states = module(x)
  y.backward(torch.cos(y.detach()))
  states = states[::-1] if isinstance(states, tuple) else (states,)
  states = [s for layer in zip(*states, strict=True) for s in layer]
  return [a.detach().numpy() for a in (y, x.grad, *states)]


@pytest.mark.parametrize(('layers', 'both'), SIZES)
@pytest.mark.parametrize('kind', KINDS)
def test_torch_computes_the_same(kind: str, layers: int, both: bool) -> None:
  model, module = make(kind, layers, both)
  variables = arch.weights.from_torch(model, module.state_dict(), SHAPE)
  expected, call = run_torch(module), run(model)
  jax.tree.map(close, call(variables), expected)
  # And the way back: another model's weights, in torch.
  variables = jax.tree.map(lambda x: 0.8 * jnp.roll(x, 1), variables)
  state = arch.weights.to_torch(model, variables)
  module.load_state_dict({key: torch.from_numpy(a) for key, a in state.items()})
  got = run_torch(module)
  assert not np.allclose(got[0], expected[0], atol=1e-2)
  jax.tree.map(close, call(variables), got)


@pytest.mark.parametrize(('layers', 'both'), [(1, False), (2, True)])
@pytest.mark.parametrize('kind', KINDS)
def test_there_and_back_is_exact(kind: str, layers: int, both: bool) -> None:
  model, module = make(kind, layers, both)
  variables = arch.weights.from_torch(model, module.state_dict(), SHAPE)
  state = arch.weights.to_torch(model, variables)
  again = arch.weights.from_torch(model, state, SHAPE)
  jax.tree.map(np.testing.assert_array_equal, again, variables)
  wanted = jax.eval_shape(model.init, jax.random.key(0), X)
  assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, wanted)
  # torch's own come back too, but for how a bias is divided in two.
  for key, tensor in module.state_dict().items():
    if not key.startswith('bias'):
      np.testing.assert_array_equal(state[key], tensor.numpy())
  assert list(state) == list(module.state_dict())


@pytest.mark.parametrize('kind', KINDS)
def test_every_number_counts(kind: str) -> None:
  model, module = make(kind)
  variables = arch.weights.from_torch(model, module.state_dict(), SHAPE)
  leaves, tree = jax.tree.flatten(variables)
  expected = run_torch(module)[0]
  apply = jax.jit(model.apply)
  for i, leaf in enumerate(leaves):
    # One block of the size of a gate after the other.
    for block in np.split(np.arange(leaf.shape[-1]), max(1, leaf.shape[-1] // H)):
      wrong = leaf.at[..., block].add(0.3)
      mutant = tree.unflatten([*leaves[:i], wrong, *leaves[i + 1 :]])
      assert not np.allclose(apply(mutant, X), expected, rtol=1e-3, atol=1e-3)


def test_other_dtypes() -> None:
  model, module = make('lstm')
  state = module.to(torch.bfloat16).state_dict()
  variables = arch.weights.from_torch(model, state, SHAPE)
  kernel = variables['params']['cell']['kernel']
  assert kernel.dtype == jnp.float32
  np.testing.assert_array_equal(kernel.T, state['weight_ih_l0'].float().numpy())

  model = RNN(LSTMCell(H, param_dtype=jnp.bfloat16))
  variables = arch.weights.from_torch(model, state, SHAPE)
  assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype(jnp.bfloat16)}
  for array in arch.weights.to_torch(model, variables).values():
    assert torch.from_numpy(array).dtype == torch.float32


def without(key: str) -> Any:
  return lambda state: {k: v for k, v in state.items() if k != key}


LSTM = RNN(LSTMCell(H))
BOTH = Bidirectional(RNN(LSTMCell(H)), RNN(LSTMCell(H)))


@pytest.mark.parametrize(
  ('model', 'source', 'change', 'message'),
  [
    pytest.param(
      LSTM,
      ('lstm',),
      without('bias_hh_l0'),
      'state_dict for LSTMCell(4): 1 of 4 keys do not fit: 1 missing\n'
      '  bias_hh_l0: missing, expected shape (16,)',
      id='missing',
    ),
    pytest.param(
      LSTM,
      ('lstm',),
      lambda state: state | {'head.bias': torch.zeros(3)},
      'LSTMCell(4): 1 of 5 keys do not fit: 1 unexpected\n'
      '  head.bias: unexpected, got shape (3,)',
      id='extra',
    ),
    pytest.param(
      LSTM,
      ('lstm',),
      lambda state: state | {'weight_ih_l0': state['weight_ih_l0'].T},
      'LSTMCell(4): 1 of 4 keys do not fit: 1 of another shape\n'
      '  weight_ih_l0: got shape (5, 16), expected (16, 5)',
      id='shape',
    ),
    pytest.param(
      LSTM,
      ('lstm', 1, True),
      dict,
      'LSTMCell(4): 4 of 8 keys do not fit: 4 unexpected\n'
      '  weight_ih_l0_reverse: unexpected, got shape (16, 5)',
      id='bidirectional into one direction',
    ),
    pytest.param(
      BOTH,
      ('lstm',),
      dict,
      'forward_rnn/LSTMCell(4), backward_rnn/LSTMCell(4): 4 of 8 keys do not fit: '
      '4 missing\n'
      '  weight_ih_l0_reverse: missing, expected shape (16, 5)',
      id='one direction into bidirectional',
    ),
    pytest.param(
      LSTM,
      ('lstm', 2),
      dict,
      'LSTMCell(4): 4 of 8 keys do not fit: 4 unexpected\n'
      '  weight_ih_l1: unexpected, got shape (16, 4)',
      id='two layers into one',
    ),
    pytest.param(
      LSTM,
      ('gru',),
      dict,
      'LSTMCell(4): 4 of 4 keys do not fit: 4 of another shape\n'
      '  weight_ih_l0: got shape (12, 5), expected (16, 5)',
      id='another cell',
    ),
    pytest.param(
      Stack([RNN(LSTMCell(H)), RNN(GRUCell(H))]),
      ('lstm', 2),
      dict,
      'model: got layers_0/LSTMCell(4), layers_1/GRUCell(4); torch has one type',
      id='mixed types',
    ),
    pytest.param(
      Stack([RNN(LSTMCell(H)), RNN(LSTMCell(2))]),
      ('lstm', 2),
      dict,
      'model: got layers_0/LSTMCell(4), layers_1/LSTMCell(2); torch has one type',
      id='mixed sizes',
    ),
    pytest.param(
      Stack([RNN(LSTMCell(H)), BOTH]), ('lstm', 2), dict, 'in every', id='directions'
    ),
    pytest.param(
      RNN(LSTMCell(H), learn_carry=True),
      ('lstm',),
      dict,
      'model: no weight map has its params/initial_carry',
      id='more parameters',
    ),
    pytest.param(
      Stack([RNN(ProjectedLSTMCell(H, projection=p)) for p in (2, 3)]),
      ('lstm', 2),
      dict,
      'model: got layers_0/ProjectedLSTMCell(4), layers_1/ProjectedLSTMCell(4); torch',
      id='mixed projections',
    ),
    pytest.param(
      RNN(ResetBeforeGRUCell(H)),
      ('gru',),
      dict,
      'model: ResetBeforeGRUCell has no weights in torch: its GRU resets after the',
      id='reset before',
    ),
    pytest.param(
      RNN(MGUCell(H)),
      ('gru',),
      dict,
      'model: MGUCell has no weights in torch: it has no such cell',
      id='no such cell',
    ),
    pytest.param(
      LSTM,
      ('projected',),
      dict,
      'weight_hr_l0: unexpected, got shape (2, 4)',
      id='projected into not',
    ),
    pytest.param(
      RNN(PeepholeLSTMCell(H)),
      ('lstm',),
      dict,
      'model: got RNN of PeepholeLSTMCell, expected an RNN of one of convscan',
      id='cell of no table',
    ),
    pytest.param(
      RNN(nn.LSTMCell(H)),
      ('lstm',),
      dict,
      'model: got RNN of LSTMCell, expected an RNN of one of convscan',
      id='cell of flax',
    ),
    pytest.param(
      nn.Dense(3),
      ('lstm',),
      dict,
      'model: got Dense of NoneType, expected an RNN',
      id='no layer',
    ),
    pytest.param(
      LanguageModel(vocab_size=3, cell=LSTMCell),
      ('lstm',),
      dict,
      'model: got LanguageModel of type, expected an RNN',
      id='no layer, with a cell',
    ),
  ],
)
def test_what_does_not_fit_is_refused(
  model: Any, source: Any, change: Any, message: str
) -> None:
  _, module = make(*source)
  state = change(dict(module.state_dict()))
  with pytest.raises(ValueError, match=re.escape(message)):
    arch.weights.from_torch(model, state, SHAPE)


def test_all_problems_are_named_at_once() -> None:
  _, module = make('lstm', 2, True)
  with pytest.raises(ValueError, match='expected') as caught:
    arch.weights.from_torch(RNN(GRUCell(H)), module.state_dict(), SHAPE)
  assert all(key in str(caught.value) for key in module.state_dict())


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (
      {'kernel': None},
      'variables of LSTMCell(4): 1 of 3 keys do not fit: 1 missing\n'
      '  params/cell/kernel: missing, expected',
    ),
    ({'bias': None}, 'params/cell/bias: missing, expected shape (16,)'),
    ({'scale': np.ones(3)}, 'params/cell/scale: unexpected, got shape (3,)'),
    ({'bias': np.ones(12)}, 'bias: got shape (12,), expected (16,)'),
    ({'recurrent_kernel': np.ones((5, 16))}, 'got shape (5, 16), expected (4,'),
  ],
)
def test_variables_that_do_not_fit_are_refused(
  change: dict[str, Any], message: str
) -> None:
  params = LSTM.init(jax.random.key(0), X)['params']['cell'] | change
  params = {key: leaf for key, leaf in params.items() if leaf is not None}
  with pytest.raises(ValueError, match=re.escape(message)):
    arch.weights.to_torch(LSTM, {'params': {'cell': params}})
