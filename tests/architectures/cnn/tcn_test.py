"""Temporal convolutional networks are causal, and called as the recurrent ones are."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import convscan.architectures as arch
from convscan.architectures.rnn import max_pool, mean_pool

BATCH, TIME, INPUTS = 3, 12, 2
SMALL = {'hidden_features': 4, 'num_layers': 2, 'kernel_size': 2}
RECEPTIVE = 1 + 2 + 2 * 2  # of two blocks of two convolutions, of dilations 1 and 2
LENGTHS = np.array([12, 5, 0])
X = np.random.default_rng(0).normal(size=(BATCH, TIME, INPUTS)).astype(np.float32)


def make(name: str, inputs: Any = X, **fields: Any) -> tuple[Any, Any]:
  """A small model without dropout, whose biases let every unit be active."""
  model = arch.build(name, **{**SMALL, 'dropout_rate': 0.0, **fields})
  variables = jax.jit(partial(model.init, train=False))(jax.random.key(0), inputs)
  bias = jnp.float32(5)
  return model, jax.tree.map(lambda x: x + bias if x.ndim == 1 else x, variables)


def test_a_step_depends_on_those_before_it_alone() -> None:
  model, variables = make('tcn_tagger', num_tags=3)
  assert model.receptive_field == RECEPTIVE
  jacobian = jax.jit(jax.jacrev(lambda x: model.apply(variables, x, train=False)[0]))
  # The outputs' steps by the inputs'.
  depends = np.asarray(jacobian(X))[:, :, 0].any(axis=(1, 3))
  steps = np.arange(TIME)
  lag = steps[:, None] - steps
  np.testing.assert_array_equal(depends, (lag >= 0) & (lag < RECEPTIVE))


@pytest.mark.parametrize('name', ['tcn_classifier', 'tcn_tagger', 'tcn_forecaster'])
def test_padding_changes_nothing(name: str) -> None:
  model, variables = make(name)
  run = jax.jit(partial(model.apply, train=False, seq_lengths=LENGTHS))
  valid = (np.arange(TIME) < LENGTHS[:, None])[..., None]
  got = run(variables, np.where(valid, X, 9).astype(np.float32))
  np.testing.assert_array_equal(got, run(variables, X))
  alone = model.apply(variables, X[1:2, :5], train=False)
  np.testing.assert_allclose(
    got[1:2, :5] if name == 'tcn_tagger' else got[1:2], alone, rtol=1e-5, atol=1e-5
  )
  if name == 'tcn_tagger':
    assert not got[1, 5:].any()
  bias = variables['params']['head']['bias']
  empty = np.zeros_like(got[2]) if name == 'tcn_tagger' else bias.reshape(got[2].shape)
  np.testing.assert_array_equal(got[2], empty)


def test_maps_end_at_the_lengths_and_are_those_of_every_block() -> None:
  model, variables = make('tcn_classifier')
  maps = model.apply(variables, X, seq_lengths=LENGTHS, method='features')
  assert list(maps) == list(model.feature_info) == ['stage1', 'stage2']
  for stage, y in maps.items():
    stride, channels = model.feature_info[stage]
    assert y.shape == (BATCH, TIME // stride, channels)
    np.testing.assert_array_equal(
      np.asarray(y != 0).any(-1), np.arange(TIME) < LENGTHS[:, None]
    )


@pytest.mark.parametrize(('pool', 'reduce'), [(mean_pool, np.mean), (max_pool, np.max)])
def test_other_pools(pool: Any, reduce: Any) -> None:
  model, variables = make('tcn_classifier', pool=pool)
  outputs, _ = model.apply(variables, X, method='encode')
  head = variables['params']['head']
  expected = reduce(np.asarray(outputs), axis=1) @ head['kernel'] + head['bias'][None]
  got = model.apply(variables, X, train=False)
  np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_tokens_and_images_are_read_as_recurrent_models_read_them() -> None:
  tokens = np.arange(BATCH * TIME).reshape(BATCH, TIME) % 7
  model, variables = make('tcn_tagger', tokens, vocab_size=7, embedding_features=5)
  assert variables['params']['embed']['embedding'].shape == (7, 5)
  assert model.apply(variables, tokens, train=False).shape == (BATCH, TIME, 10)
  model, variables = make('tcn_classifier')
  images = X.reshape(BATCH, TIME, INPUTS, 1)
  np.testing.assert_array_equal(
    model.apply(variables, images, train=False), model.apply(variables, X, train=False)
  )


def test_dropout_drops_channels_at_all_steps() -> None:
  model, variables = make('tcn_classifier', num_layers=1, dropout_rate=0.5)
  # What the last convolution makes is its bias, and nothing is beside it.
  block = dict(variables['params']['stage1'])
  block['shortcut'] = jax.tree.map(jnp.zeros_like, block['shortcut'])
  block['conv2'] = {**block['conv2'], 'scale': jnp.zeros(4)}
  params = {**variables['params'], 'stage1': block}
  y = model.apply(
    {'params': params},
    X,
    train=True,
    method='features',
    rngs={'dropout': jax.random.key(0)},
  )['stage1']
  kept = np.asarray(y != 0)
  assert kept.any()
  assert not kept.all()
  np.testing.assert_array_equal(kept, np.broadcast_to(kept[:, :1], kept.shape))


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'num_layers': 0}, 'num_layers: got 0, expected 1 or more'),
    ({'kernel_size': 0}, 'kernel_size: got 0, expected 1 or more'),
    ({'num_classes': 0}, 'num_classes: got 0, expected 1 or more'),
    ({'remat': ('stage9',)}, "remat: got 'stage9', expected one of stage1, stage2"),
    ({'vocab_size': 3}, r'inputs: got float32\(3, 12, 2\), expected integers'),
  ],
)
def test_fields_are_checked(fields: Any, message: str) -> None:
  with pytest.raises(ValueError, match=message):
    make('tcn_classifier', **fields)


def test_calls_are_checked() -> None:
  model, variables = make('tcn_classifier')
  with pytest.raises(
    ValueError, match=r'inputs: got shape \(3, 0, 2\), exp.* time >= 1'
  ):
    model.apply(variables, X[:, :0], train=False)
  with pytest.raises(ValueError, match='seq_lengths: got 13, expected 0 to 12'):
    model.apply(variables, X, train=False, seq_lengths=np.array([1, 2, 13]))
