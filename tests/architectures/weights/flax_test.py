"""Weights to and from flax: both layers compute the same."""

import re
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import convscan.architectures as arch
from convscan.architectures.rnn import (
  RNN,
  Bidirectional,
  ElmanCell,
  GRUCell,
  LSTMCell,
  Stack,
)
from convscan.architectures.rnn.stepwise_cells import (
  ProjectedLSTMCell,
  ResetBeforeGRUCell,
)
from convscan.architectures.rnn.variant_cells import MGUCell

BATCH, TIME, INPUTS, H = 2, 6, 5, 4
SHAPE = (BATCH, TIME, INPUTS)
X = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
KINDS: dict[str, tuple[Any, Any]] = {
  'elman': (ElmanCell(H), nn.SimpleCell(H)),
  'lstm': (LSTMCell(H), nn.LSTMCell(H)),
  'optimized': (LSTMCell(H), nn.OptimizedLSTMCell(H)),
  'gru': (GRUCell(H), nn.GRUCell(H)),
  'mgu': (MGUCell(H), nn.MGUCell(H)),
}
close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)


def randomized(tree: Any) -> Any:
  """As flax's biases are zero at first, and would hide where they went."""
  rng = np.random.default_rng(1)
  return jax.tree.map(lambda x: rng.normal(0, 0.5, x.shape).astype(x.dtype), tree)


def make(kind: str) -> tuple[Any, Any, Any]:
  """Returns a model, flax's, and random parameters of flax's."""
  here, there = KINDS[kind]
  model, theirs = RNN(here, return_carry=True), nn.RNN(there, return_carry=True)
  return model, theirs, randomized(theirs.init(jax.random.key(0), X)['params'])


@pytest.mark.parametrize('kind', KINDS)
def test_flax_computes_the_same(kind: str) -> None:
  model, theirs, params = make(kind)
  variables = arch.weights.from_flax(model, params, SHAPE)
  expected = theirs.apply({'params': params}, X)
  jax.tree.map(close, model.apply(variables, X), expected)

  back = arch.weights.to_flax(model, variables)
  jax.tree.map(np.testing.assert_array_equal, back, params)
  again = arch.weights.from_flax(model, back, SHAPE)
  jax.tree.map(np.testing.assert_array_equal, again, variables)
  assert {type(x) for x in jax.tree.leaves(again)} == {type(jnp.ones(1))}


def test_flax_computes_the_same_with_layers_and_directions() -> None:
  model = Stack(
    [
      Bidirectional(RNN(LSTMCell(H)), RNN(GRUCell(3))),
      RNN(ElmanCell(2)),
    ]
  )
  theirs = nn.Sequential(
    [
      nn.Bidirectional(nn.RNN(nn.LSTMCell(H)), nn.RNN(nn.GRUCell(3))),
      nn.RNN(nn.SimpleCell(2)),
    ]
  )
  params = randomized(theirs.init(jax.random.key(0), X)['params'])
  variables = arch.weights.from_flax(model, params, SHAPE)
  expected = theirs.apply({'params': params}, X)
  close(model.apply(variables, X), expected)
  assert np.std(expected) > 0.1
  back = arch.weights.to_flax(model, variables)
  jax.tree.map(np.testing.assert_array_equal, back, params)


@pytest.mark.parametrize('kind', KINDS)
def test_every_number_counts(kind: str) -> None:
  model, theirs, params = make(kind)
  leaves, tree = jax.tree.flatten(params)
  expected = theirs.apply({'params': params}, X)[1]
  apply = jax.jit(model.apply)
  for i, leaf in enumerate(leaves):
    mutant = tree.unflatten([*leaves[:i], leaf + 0.3, *leaves[i + 1 :]])
    variables = arch.weights.from_flax(model, mutant, SHAPE)
    assert not np.allclose(apply(variables, X)[1], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
  ('model', 'cell', 'message'),
  [
    (
      RNN(ElmanCell(H)),
      nn.GRUCell(H),
      'params for ElmanCell(4): 13 of 13 keys do not fit: 3 missing, 10 unexpected\n'
      '  cell/i/kernel: missing, expected shape (5, 4)',
    ),
    (
      RNN(GRUCell(H)),
      nn.MGUCell(H),
      'cell/ir/kernel: missing, expected shape (5, 4)',
    ),
    (
      RNN(LSTMCell(H)),
      nn.LSTMCell(3),
      'cell/hi/bias: got shape (3,), expected (4,)',
    ),
  ],
)
def test_what_does_not_fit_is_refused(model: Any, cell: Any, message: str) -> None:
  params = nn.RNN(cell).init(jax.random.key(0), X)['params']
  with pytest.raises(ValueError, match=re.escape(message)):
    arch.weights.from_flax(model, params, SHAPE)


def test_directions_that_do_not_fit_are_refused() -> None:
  both = nn.Bidirectional(nn.RNN(nn.GRUCell(H)), nn.RNN(nn.GRUCell(H)))
  params = both.init(jax.random.key(0), X)['params']
  message = 'forward_rnn/cell/hn/bias: unexpected, got shape (4,)'
  with pytest.raises(ValueError, match=re.escape(message)):
    arch.weights.from_flax(RNN(GRUCell(H)), params, SHAPE)


@pytest.mark.parametrize(
  ('cell', 'message'),
  [
    (
      ResetBeforeGRUCell(H),
      'ResetBeforeGRUCell has no weights in flax: its GRU resets',
    ),
    (
      ProjectedLSTMCell(H, projection=2),
      'ProjectedLSTMCell has no weights in flax: it has no such cell',
    ),
  ],
)
def test_cells_that_flax_lacks_are_refused(cell: Any, message: str) -> None:
  model = RNN(cell)
  with pytest.raises(ValueError, match=message):
    arch.weights.from_flax(model, {}, SHAPE)
  with pytest.raises(ValueError, match=message):
    arch.weights.to_flax(model, model.init(jax.random.key(0), X))


def test_the_tree_is_that_of_params() -> None:
  model, _, params = make('elman')
  with pytest.raises(
    ValueError, match=r'params/cell/i/kernel: unexpected, got shape \(5, 4\)'
  ):
    arch.weights.from_flax(model, {'params': params}, SHAPE)
