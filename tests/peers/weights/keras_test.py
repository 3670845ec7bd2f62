"""Weights to and from Keras 3: both layers compute the same."""

import os
import re
from functools import partial
from typing import Any

os.environ['KERAS_BACKEND'] = 'jax'

import jax
import jax.numpy as jnp
import keras
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

BATCH, TIME, INPUTS, H = 2, 6, 5, 4
SHAPE = (BATCH, TIME, INPUTS)
X = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
  'elman': (ElmanCell(H), keras.layers.SimpleRNN, {}),
  'lstm': (LSTMCell(H), keras.layers.LSTM, {}),
  'gru': (GRUCell(H), keras.layers.GRU, {}),
  'before': (ResetBeforeGRUCell(H), keras.layers.GRU, {'reset_after': False}),
}
close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
# Keras' own code promotes them.
ranks = partial(jax.numpy_rank_promotion, 'allow')


def layer(kind: str) -> Any:
  _, theirs, fields = KINDS[kind]
  return theirs(H, return_sequences=True, return_state=True, **fields)


def randomized(theirs: Any) -> list[np.ndarray]:
  """Builds a layer with random weights and biases, and returns them."""
  rng = np.random.default_rng(1)
  with ranks():
    theirs.build(SHAPE)
  weights = [rng.normal(0, 0.5, w.shape).astype(np.float32) for w in theirs.weights]
  theirs.set_weights(weights)
  return weights


def run(model: Any, variables: Any) -> list[Any]:
  """Returns the outputs, and the final states as Keras orders them: h, then c."""
  carry, y = model.apply(variables, X, return_carry=True)
  carries = carry if isinstance(model, Bidirectional) else [carry]
  return [y, *(state for carry in carries for state in jax.tree.leaves(carry)[::-1])]


def run_keras(theirs: Any) -> list[Any]:
  with ranks():
    return theirs(X)


@pytest.mark.parametrize('both', [False, True])
@pytest.mark.parametrize('kind', KINDS)
def test_keras_computes_the_same(kind: str, both: bool) -> None:
  cell, theirs = KINDS[kind][0], layer(kind)
  model: Any = RNN(cell)
  if both:
    model = Bidirectional(RNN(cell.clone()), RNN(cell.clone()))
    theirs = keras.layers.Bidirectional(theirs)
  weights = randomized(theirs)
  variables = arch.weights.from_keras(model, weights, SHAPE)
  expected = run_keras(theirs)
  jax.tree.map(close, run(model, variables), list(expected))
  assert np.std(expected[0]) > 0.1

  variables = jax.tree.map(lambda x: 0.8 * jnp.roll(x, 1), variables)
  back = arch.weights.to_keras(model, variables)
  again = arch.weights.from_keras(model, back, SHAPE)
  jax.tree.map(np.testing.assert_array_equal, again, variables)
  theirs.set_weights(back)
  got = run_keras(theirs)
  assert not np.allclose(got[0], expected[0], atol=1e-2)
  jax.tree.map(close, run(model, variables), list(got))


def test_keras_computes_the_same_with_layers() -> None:
  cells = [LSTMCell(H), GRUCell(3)]
  model = Stack([RNN(cell) for cell in cells])
  kinds = [keras.layers.LSTM(H, return_sequences=True)]
  kinds += [keras.layers.GRU(3, return_sequences=True)]
  theirs = keras.Sequential(kinds)
  weights = randomized(theirs)
  variables = arch.weights.from_keras(model, weights, SHAPE)
  close(model.apply(variables, X), run_keras(theirs))
  back = arch.weights.to_keras(model, variables)
  assert [w.shape for w in back] == [w.shape for w in weights]


@pytest.mark.parametrize('kind', KINDS)
def test_every_number_counts(kind: str) -> None:
  model, theirs = RNN(KINDS[kind][0]), layer(kind)
  weights = randomized(theirs)
  expected = run_keras(theirs)[0]
  apply = jax.jit(model.apply)
  for i, array in enumerate(weights):
    # One block of the size of a gate after the other.
    for start in range(0, array.shape[-1], H):
      wrong = array.copy()
      wrong[..., start : start + H] += 0.5
      mutant = [*weights[:i], wrong, *weights[i + 1 :]]
      variables = arch.weights.from_keras(model, mutant, SHAPE)
      assert not np.allclose(apply(variables, X), expected, atol=1e-3)


ONE, TWO = np.zeros(3 * H), np.zeros((2, 3 * H))
GRU = [np.zeros((INPUTS, 3 * H)), np.zeros((H, 3 * H))]


@pytest.mark.parametrize(
  ('model', 'weights', 'message'),
  [
    (
      RNN(GRUCell(H)),
      [*GRU, ONE],
      'weights for GRUCell(4): 1 of 3 keys do not fit: 1 of another shape\n'
      '  weights[2] bias: got shape (12,), expected (2, 12) (one row is of '
      'reset_after=False, which is another network)',
    ),
    (
      RNN(ResetBeforeGRUCell(H)),
      [*GRU, TWO],
      'weights[2] bias: got shape (2, 12), expected (12,) (two rows are of '
      'reset_after=True, which is another network)',
    ),
    (
      RNN(ProjectedLSTMCell(H, projection=2)),
      [],
      'model: ProjectedLSTMCell has no weights in Keras: it has no such cell',
    ),
    (
      RNN(GRUCell(H)),
      GRU,
      'weights[2] bias: missing, expected shape (2, 12)',
    ),
    (
      RNN(GRUCell(H)),
      [*GRU, TWO, *GRU, TWO],
      'GRUCell(4): 3 of 6 keys do not fit: 3 unexpected\n'
      '  weights[3]: unexpected, got shape (5, 12)',
    ),
    (
      Bidirectional(RNN(GRUCell(H)), RNN(GRUCell(H))),
      [*GRU, TWO],
      'weights[3] backward_rnn/kernel: missing, expected shape (5, 12)',
    ),
    (
      RNN(ElmanCell(H)),
      [*GRU, TWO],
      'weights[0] kernel: got shape (5, 12), expected (5, 4)',
    ),
  ],
)
def test_what_does_not_fit_is_refused(model: Any, weights: Any, message: str) -> None:
  with pytest.raises(ValueError, match=re.escape(message)):
    arch.weights.from_keras(model, weights, SHAPE)
