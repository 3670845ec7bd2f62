from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.rnn.tagger import MODELS

BATCH, TIME, VOCAB, TAGS = 3, 6, 9, 5
LENGTHS = np.array([6, 2, 0])
VALID = np.arange(TIME) < LENGTHS[:, None]
TOKENS = np.random.default_rng(0).integers(VOCAB, size=(BATCH, TIME))
SMALL = dict(hidden_features=4, num_tags=TAGS, vocab_size=VOCAB, embedding_features=3)


def make(name: str = 'lstm_tagger', **fields: Any) -> tuple[Any, Any]:
  model = MODELS[name](**SMALL | fields)
  variables = jax.jit(partial(model.init, train=False))(jax.random.key(0), TOKENS)
  noise = lambda x: x + 0.5 * jax.random.normal(jax.random.key(1), x.shape)  # noqa: E731
  return model, jax.tree.map(noise, variables)


@pytest.mark.parametrize('name', MODELS)
def test_logits_differ_and_gradients_reach_every_parameter(name: str) -> None:
  model, variables = make(name, num_layers=2)
  logits = model.apply(variables, TOKENS, train=False)
  assert (logits.shape, logits.dtype) == ((BATCH, TIME, TAGS), jnp.float32)
  assert np.asarray(logits).std(axis=(0, 1)).min() > 1e-2
  f = lambda v: jnp.sum(model.apply(v, TOKENS, train=False) ** 2)  # noqa: E731
  for path, grad in jax.tree_util.tree_leaves_with_path(
    jax.jit(jax.grad(f))(variables)
  ):
    assert np.asarray(grad).any(), path


def test_padding_changes_nothing_and_has_no_logits() -> None:
  model, variables = make(num_layers=2)
  run = jax.jit(partial(model.apply, train=False, seq_lengths=LENGTHS))
  other = np.where(VALID, TOKENS, (TOKENS + 1) % VOCAB)
  logits = np.asarray(run(variables, TOKENS))
  np.testing.assert_array_equal(run(variables, other), logits)
  np.testing.assert_array_equal(logits.any(axis=-1), VALID)
  alone = model.apply(variables, TOKENS[1:2, :2], train=False)
  np.testing.assert_allclose(logits[1:2, :2], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name', ['lstm_tagger', 'lstm_causal_tagger'])
def test_each_tag_depends_on_the_whole_sequence_or_on_the_past(name: str) -> None:
  model, variables = make(name)
  params = variables['params']
  tokens = np.arange(TIME)[None]  # Each position has its own row of the embedding.

  def energies(embedding: jax.Array) -> jax.Array:
    changed = params | {'embed': {'embedding': embedding}}
    logits = model.apply({'params': changed}, tokens, train=False)
    return jnp.sum(logits[0] ** 2, axis=-1)

  slopes = jax.jit(jax.jacrev(energies))(params['embed']['embedding'])
  depends = np.asarray(slopes).any(axis=-1)[:, :TIME]  # of each tag on each token
  every = np.ones((TIME, TIME), bool)
  np.testing.assert_array_equal(depends, np.tril(every) if 'causal' in name else every)


def test_arguments_that_do_not_fit_are_named() -> None:
  with pytest.raises(ValueError, match='num_tags: got 0, expected 1'):
    make(num_tags=0)
