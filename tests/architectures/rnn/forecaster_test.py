from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.rnn import GRUCell
from convscan.architectures.rnn.forecaster import MODELS

BATCH, TIME, INPUTS, H, HORIZON, TARGETS = 3, 6, 2, 4, 5, 2
LENGTHS = np.array([6, 2, 0])
VALID = np.arange(TIME) < LENGTHS[:, None]
X = np.random.default_rng(0).normal(size=(BATCH, TIME, INPUTS)).astype(np.float32)
SMALL = dict(hidden_features=H, horizon=HORIZON, num_targets=TARGETS)


def make(name: str, **fields: Any) -> tuple[Any, Any]:
  model = MODELS[name](**SMALL | fields)
  variables = jax.jit(partial(model.init, train=False))(jax.random.key(0), X)
  noise = lambda x: x + jax.random.normal(jax.random.key(1), x.shape)  # noqa: E731
  return model, jax.tree.map(noise, variables)


@pytest.mark.parametrize('name', MODELS)
def test_steps_differ_and_gradients_reach_every_parameter(name: str) -> None:
  model, variables = make(name, num_layers=2)
  steps = model.apply(variables, X, train=False)
  assert (steps.shape, steps.dtype) == ((BATCH, HORIZON, TARGETS), jnp.float32)
  assert np.asarray(steps).std(axis=0).min() > 1e-4
  assert np.asarray(steps).std(axis=1).min() > 1e-3
  f = lambda v: jnp.sum(model.apply(v, X, train=False) ** 2)  # noqa: E731
  for path, grad in jax.tree_util.tree_leaves_with_path(
    jax.jit(jax.grad(f))(variables)
  ):
    assert np.asarray(grad).any(), path


@pytest.mark.parametrize('name', ['gru_forecaster', 'gru_recursive_forecaster'])
def test_padding_changes_nothing(name: str) -> None:
  model, variables = make(name)
  run = jax.jit(partial(model.apply, train=False, seq_lengths=LENGTHS))
  other = np.where(VALID[..., None], X, 9).astype(np.float32)
  np.testing.assert_array_equal(run(variables, other), run(variables, X))


def test_a_recursive_forecast_is_fed_its_own_steps() -> None:
  model, variables = make('gru_recursive_forecaster')
  steps = model.apply(variables, X, train=False)
  params = variables['params']
  _, h = model.apply(variables, X, method='encode')
  bridge, head = (
    jax.tree.map(np.asarray, p) for p in (params['bridge']['Dense_0'], params['head'])
  )
  h = np.tanh(np.asarray(h) @ bridge['kernel'] + bridge['bias'])
  y = np.zeros((BATCH, TARGETS), np.float32)
  for t in range(HORIZON):
    h, _ = GRUCell(H).apply({'params': params['cell']}, h, y)
    y = np.asarray(h) @ head['kernel'] + head['bias']
    np.testing.assert_allclose(steps[:, t], y, rtol=1e-5, atol=1e-5)


def test_a_direct_forecast_is_linear_in_the_final_state() -> None:
  model, variables = make('lstm_forecaster')
  _, final = model.apply(variables, X, method='encode')
  head = variables['params']['head']
  expected = (final @ head['kernel'] + head['bias'][None]).reshape(BATCH, HORIZON, -1)
  steps = model.apply(variables, X, train=False)
  np.testing.assert_allclose(steps, expected, rtol=1e-5, atol=1e-6)


def test_a_longer_horizon_begins_as_a_shorter_one() -> None:
  model, variables = make('lstm_recursive_forecaster')
  longer = model.clone(horizon=2 * HORIZON).apply(variables, X, train=False)
  shorter = model.apply(variables, X, train=False)
  np.testing.assert_allclose(longer[:, :HORIZON], shorter, rtol=1e-6, atol=1e-6)


def test_arguments_that_do_not_fit_are_named() -> None:
  for field in ('horizon', 'num_targets'):
    with pytest.raises(ValueError, match=f'{field}: got 0, expected 1'):
      make('gru_forecaster', **{field: 0})
