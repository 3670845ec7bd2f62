from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.rnn import (
  AdditiveAttention,
  Attention,
  DotAttention,
  GeneralAttention,
  ScaledDotAttention,
)

BATCH, STEPS, SOURCE, SIZE = 3, 2, 5, 4
LENGTHS = np.array([5, 2, 0])
MASK = np.arange(SOURCE) < LENGTHS[:, None]
RNG = np.random.default_rng(0)
Q = RNG.normal(size=(BATCH, STEPS, SIZE)).astype(np.float32)
K = RNG.normal(size=(BATCH, SOURCE, SIZE)).astype(np.float32)
MODULES: dict[str, Attention] = {
  'additive': AdditiveAttention(6),
  'dot': DotAttention(),
  'scaled': ScaledDotAttention(),
  'general': GeneralAttention(),
}
close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)


def make(name: str, query: Any = Q, keys: Any = K) -> Any:
  """A module, and variables large enough for weights far from uniform."""
  module = MODULES[name]
  variables = module.init(jax.random.key(0), query, keys)
  return module, jax.tree.map(lambda x: 3 * x, variables)


def numpy_score(name: str, variables: Any, q: Any, k: Any) -> float:
  p = jax.tree.map(lambda x: np.asarray(x, np.float64), variables.get('params', {}))
  if name == 'additive':
    total = q @ p['query']['kernel'] + k @ p['key']['kernel']
    return (np.tanh(total) @ p['score']['kernel']).item()
  if name == 'general':
    return q @ p['query']['kernel'] @ k
  return q @ k / (np.sqrt(len(k)) if name == 'scaled' else 1)


@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('name', MODULES)
def test_equals_a_float64_loop(name: str, masked: bool) -> None:
  module, variables = make(name)
  context, weights = module.apply(variables, Q, K, mask=MASK if masked else None)
  expected_context = np.zeros((BATCH, STEPS, SIZE))
  expected_weights = np.zeros((BATCH, STEPS, SOURCE))
  for b in range(BATCH):
    keys = K[b, : LENGTHS[b] if masked else SOURCE].astype(np.float64)
    for t in range(STEPS):
      e = [np.exp(numpy_score(name, variables, Q[b, t].astype(float), k)) for k in keys]
      for s, k in enumerate(keys):
        expected_weights[b, t, s] = e[s] / sum(e)
        expected_context[b, t] += e[s] / sum(e) * k
  assert expected_weights[0].max() > 0.3
  close(weights, expected_weights)
  close(context, expected_context)


@pytest.mark.parametrize('name', MODULES)
def test_masked_keys_have_no_part(name: str) -> None:
  module, variables = make(name)
  other = np.where(MASK[..., None], K, 1e3).astype(np.float32)

  def run(keys: Any) -> Any:
    return module.apply(variables, Q, keys, mask=MASK)

  jax.tree.map(np.testing.assert_array_equal, run(other), run(K))
  slopes = jax.grad(lambda keys: jnp.sum(run(keys)[0] ** 2))(K)
  assert np.isfinite(slopes).all()
  np.testing.assert_array_equal(np.asarray(slopes).any(axis=-1), MASK)


@pytest.mark.parametrize('name', ['additive', 'general'])
def test_queries_and_keys_differ_in_size(name: str) -> None:
  query = Q[..., :3]
  module, variables = make(name, query)
  assert module.apply(variables, query, K)[0].shape == Q.shape


def test_what_is_projected_once_is_used() -> None:
  module, variables = make('additive')
  once = module.apply(variables, K, method='project')
  jax.tree.map(
    np.testing.assert_array_equal,
    module.apply(variables, Q, K, projected=once),
    module.apply(variables, Q, K),
  )
  other = module.apply(variables, Q, K, projected=2 * once)
  assert not np.allclose(other[1], module.apply(variables, Q, K)[1])


def test_weights_are_float32_in_bfloat16() -> None:
  q, k = jnp.asarray(Q, jnp.bfloat16), jnp.asarray(K, jnp.bfloat16)
  context, weights = DotAttention().apply({}, q, k)
  assert (context.dtype, weights.dtype) == (jnp.bfloat16, jnp.float32)
  close(np.asarray(weights).sum(-1), 1)


@pytest.mark.parametrize(
  ('call', 'message'),
  [
    (lambda: DotAttention().apply({}, Q[..., :3], K), 'got 3 and 4 features.*General'),
    (lambda: DotAttention().apply({}, Q[:, 0], K), r'query, keys: got shapes \(3, 4\)'),
    (lambda: DotAttention().apply({}, Q[:2], K), r'query, keys: got shapes \(2, 2, 4'),
    (
      lambda: DotAttention().apply({}, Q, K, mask=MASK[:, :2]),
      r'mask: got bool\(3, 2\), expected bool\(3, 5\)',
    ),
    (lambda: DotAttention().apply({}, Q, K, mask=1 * MASK), r'mask: got int64\(3, 5\)'),
    (lambda: AdditiveAttention(0).apply({}, Q, K), 'features: got 0, expected 1'),
  ],
)
def test_arguments_that_do_not_fit_are_named(call: Any, message: str) -> None:
  with pytest.raises(ValueError, match=message):
    call()
