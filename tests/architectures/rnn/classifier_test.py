from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.rnn import (
  RNN,
  Bidirectional,
  GRUCell,
  LSTMCell,
  SequenceClassifier,
  Stack,
  last_state,
  max_pool,
  mean_pool,
  one_way,
  two_way,
)
from convscan.architectures.rnn.classifier import MODELS
from convscan.architectures.rnn.directions import final_state

BATCH, TIME, INPUTS, H, CLASSES = 3, 6, 5, 4, 7
LENGTHS = np.array([6, 2, 0])
VALID = np.arange(TIME) < LENGTHS[:, None]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(BATCH, TIME, INPUTS)).astype(np.float32)
SMALL = dict(hidden_features=H, num_classes=CLASSES)
POOLS = {'last': last_state, 'mean': mean_pool, 'max': max_pool}
close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)


def make(inputs: Any = X, **fields: Any) -> tuple[Any, Any]:
  """A model whose weights are large enough for logits that differ."""
  model = MODELS['lstm_classifier'](**SMALL | fields)
  variables = jax.jit(partial(model.init, train=False))(jax.random.key(0), inputs)
  return model, jax.tree.map(lambda x: 2 * x, variables)


@pytest.mark.parametrize('name', MODELS)
def test_logits_differ_and_gradients_reach_every_parameter(name: str) -> None:
  model = MODELS[name](**SMALL, num_layers=2, vocab_size=9, embedding_features=3)
  tokens = RNG.integers(9, size=(BATCH, TIME))
  variables = jax.jit(partial(model.init, train=False))(jax.random.key(0), tokens)
  logits = model.apply(variables, tokens, train=False)
  assert (logits.shape, logits.dtype) == ((BATCH, CLASSES), jnp.float32)
  assert np.asarray(logits).std(axis=0).min() > 1e-3
  f = lambda v: jnp.sum(model.apply(v, tokens, train=False) ** 2)  # noqa: E731
  for path, grad in jax.tree_util.tree_leaves_with_path(
    jax.jit(jax.grad(f))(variables)
  ):
    assert np.asarray(grad).any(), path


@pytest.mark.parametrize('make_layer', [one_way, two_way])
@pytest.mark.parametrize('pool', POOLS)
def test_each_sequence_is_pooled_as_if_alone(pool: str, make_layer: Any) -> None:
  layer = partial(make_layer, LSTMCell)
  model, variables = make(layer=layer, pool=POOLS[pool], num_layers=2)
  logits = model.apply(variables, X, train=False, seq_lengths=LENGTHS)
  head = jax.tree.map(np.asarray, variables['params']['head'])
  for b, n in enumerate(LENGTHS):
    outputs, _ = model.apply(variables, X[b : b + 1, :n], method='encode')
    y = np.asarray(outputs[0], np.float64)
    pooled = np.zeros(len(head['kernel']))
    if n and pool == 'last':  # The second half runs backwards, and ends first.
      pooled[:H], pooled[H:] = y[-1, :H], y[0, H:]
    elif n:
      pooled = y.mean(0) if pool == 'mean' else y.max(0)
    close(logits[b], pooled @ head['kernel'] + head['bias'])


@pytest.mark.parametrize('make_layer', [one_way, two_way])
@pytest.mark.parametrize('pool', POOLS)
def test_padding_changes_nothing(pool: str, make_layer: Any) -> None:
  model, variables = make(layer=partial(make_layer, GRUCell), pool=POOLS[pool])
  other = np.where(VALID[..., None], X, 9).astype(np.float32)
  run = jax.jit(partial(model.apply, train=False, seq_lengths=LENGTHS))
  np.testing.assert_array_equal(run(variables, other), run(variables, X))
  assert not np.allclose(run(variables, 2 * X), run(variables, X))


def test_images_are_sequences_of_rows() -> None:
  images = X.reshape(BATCH, TIME, INPUTS, 1)
  model, variables = make()
  np.testing.assert_array_equal(
    model.apply(variables, images, train=False), model.apply(variables, X, train=False)
  )


def test_the_final_state_of_each_kind_of_layer() -> None:
  layers: list[Any] = [
    RNN(GRUCell(H)),
    Bidirectional(RNN(LSTMCell(H)), RNN(GRUCell(H)), merge_fn=jnp.subtract),
  ]
  for layer in (layers[0], layers[1], Stack(layers), Stack(layers[::-1])):
    (carry, _), _ = layer.init_with_output(jax.random.key(0), X, return_carry=True)
    last = carry if not isinstance(layer, Stack) else carry[-1]
    both = isinstance(last, tuple)
    expected = last[0][1] - last[1] if both else last
    np.testing.assert_array_equal(final_state(layer, carry), expected)


def test_a_complex_state_is_no_output() -> None:
  with pytest.raises(ValueError, match='cell: GRUCell ends in a complex state'):
    final_state(RNN(GRUCell(H)), jnp.zeros((2, H), jnp.complex64))


def test_dropout_needs_train_and_a_key() -> None:
  model, variables = make(dropout_rate=0.5)
  run = partial(model.apply, variables, X)
  first, second = (run(train=True, rngs={'dropout': jax.random.key(i)}) for i in (1, 2))
  assert not jnp.allclose(first, second)
  np.testing.assert_array_equal(run(train=False), run(train=False))


@pytest.mark.parametrize(
  ('fields', 'inputs', 'message'),
  [
    ({'num_classes': 0}, X, 'num_classes: got 0, expected 1'),
    ({'hidden_features': 0}, X, 'hidden_features: got 0, expected 1'),
    ({'num_layers': 0}, X, 'num_layers: got 0, expected 1'),
    ({'vocab_size': 0}, X, 'vocab_size: got 0, expected 1'),
    ({'dropout_rate': 1.5}, X, '^dropout_rate: got 1.5, expected 0'),
    ({'vocab_size': 9}, X, r'inputs: got float32\(3, 6, 5\), expected integers'),
    ({'vocab_size': 9}, np.full((2, 3), 9), 'inputs: got 9, expected 0 to 8'),
    ({}, np.zeros((2, 3), int), r'inputs: got int64\(2, 3\).*or a vocab_size for tok'),
    ({}, X[0], r'inputs: got float32\(6, 5\), expected floating numbers \[batch'),
  ],
)
def test_arguments_that_do_not_fit_are_named(
  fields: Any, inputs: Any, message: str
) -> None:
  model = MODELS['lstm_classifier'](**SMALL | fields)
  with pytest.raises(ValueError, match=message):
    model.init(jax.random.key(0), inputs, train=False)


def test_lengths_that_do_not_fit_are_named() -> None:
  model, variables = make()
  with pytest.raises(ValueError, match=r'seq_lengths: got 7, expected 0 to 6'):
    model.apply(variables, X, train=False, seq_lengths=LENGTHS + 1)


def test_any_cell_is_injected() -> None:
  model = SequenceClassifier(partial(one_way, nn.OptimizedLSTMCell), **SMALL)
  logits, _ = model.init_with_output(jax.random.key(0), X, train=False)
  assert logits.shape == (BATCH, CLASSES)
