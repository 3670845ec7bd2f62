"""Optimizers against their published update rules, written out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from convscan.configs import base
from convscan.train.errors import ConfigError
from convscan.train.optimizer import learning_rate, make_optimizer

LR, WD = 0.1, 0.3


def _config(**changes):
  config = base.get_config().optimizer
  config.update({'schedule': 'constant', 'learning_rate': LR} | changes)
  return config


def _sgd(p, grads, wd):
  velocity = 0.0
  for g in grads:
    velocity = 0.9 * velocity + g + wd * p
    p = p - LR * velocity
  return p


def _adam(p, grads, wd, decoupled=False):
  m = v = 0.0
  for t, g in enumerate(grads, 1):
    g = g + (0 if decoupled else wd * p)
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    p = p - LR * (step + (wd * p if decoupled else 0))
  return p


def _rmsprop(p, grads, wd):
  v = velocity = 0.0
  for g in grads:
    g = g + wd * p
    v = 0.999 * v + 0.001 * g**2
    velocity = 0.9 * velocity + g / np.sqrt(v + 1e-8)
    p = p - LR * velocity
  return p


RULES = {
  'sgd': _sgd,
  'adam': _adam,
  'adamw': lambda p, grads, wd: _adam(p, grads, wd, decoupled=True),
  'rmsprop': _rmsprop,
}


@pytest.mark.parametrize('name', sorted(RULES))
def test_updates_follow_the_published_rule(name):
  rng = np.random.default_rng(0)
  start = {'kernel': rng.normal(size=(3, 2)), 'bias': rng.normal(size=2)}
  grads = [{k: rng.normal(size=v.shape) for k, v in start.items()} for _ in range(4)]
  tx = make_optimizer(_config(name=name, weight_decay=WD), num_steps=10)
  params = jax.tree.map(jnp.float32, start)
  state = tx.init(params)
  for g in grads:
    changes, state = tx.update(jax.tree.map(jnp.float32, g), state, params)
    params = jax.tree.map(jnp.add, params, changes)
  for key, decay in [('kernel', WD), ('bias', 0.0)]:  # biases are not decayed
    expected = RULES[name](start[key], [g[key] for g in grads], decay)
    np.testing.assert_allclose(params[key], expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(
  ('name', 'momentum', 'copies'),
  [('sgd', 0.0, 0), ('sgd', 0.9, 1), ('rmsprop', 0.0, 1), ('rmsprop', 0.9, 2)],
)
def test_the_state_has_no_more_copies_of_the_parameters_than_the_rule(
  name, momentum, copies
):
  tx = make_optimizer(_config(name=name, momentum=momentum), num_steps=10)
  leaves = jax.tree.leaves(tx.init({'kernel': jnp.ones((30, 40))}))
  assert sum(leaf.size for leaf in leaves if leaf.ndim) == copies * 30 * 40


@pytest.mark.parametrize('nesterov', [False, True])
@pytest.mark.parametrize('name', ['sgd', 'rmsprop'])
def test_the_state_with_momentum_is_laid_out_as_optax_does(name, nesterov):
  # A checkpoint is restored by these paths.
  config = _config(name=name, nesterov=nesterov)
  params = {'kernel': jnp.ones((3, 4))}
  rule = {
    'sgd': lambda lr: optax.sgd(lr, momentum=0.9, nesterov=nesterov),
    'rmsprop': lambda lr: optax.rmsprop(lr, momentum=0.9, nesterov=nesterov),
  }[name](learning_rate(config, 10))
  got = make_optimizer(config, num_steps=10).init(params)
  expected = optax.chain(rule).init(params)
  assert jax.tree.structure(got) == jax.tree.structure(expected)


def test_gradients_are_clipped_to_the_global_norm():
  tx = make_optimizer(_config(name='sgd', momentum=0.0, clip_norm=1.0), num_steps=10)
  params = {'a': jnp.zeros(1), 'b': jnp.zeros(1)}
  changes, _ = tx.update(
    {'a': jnp.array([3.0]), 'b': jnp.array([4.0])}, tx.init(params)
  )
  np.testing.assert_allclose(changes['a'], [-LR * 0.6], rtol=1e-6)
  np.testing.assert_allclose(changes['b'], [-LR * 0.8], rtol=1e-6)


def test_schedules():
  cosine = learning_rate(
    _config(schedule='cosine', warmup_steps=10, end_factor=0.2), num_steps=110
  )
  np.testing.assert_allclose(
    [float(cosine(s)) for s in (0, 5, 10, 60, 110)],
    [0, LR / 2, LR, LR * 0.6, LR * 0.2],
    rtol=1e-5,
    atol=1e-8,
  )
  step = learning_rate(_config(schedule='step', step_at=(0.5, 0.75)), num_steps=100)
  np.testing.assert_allclose(
    [float(step(s)) for s in (0, 49, 51, 76)], [LR, LR, LR / 10, LR / 100], rtol=1e-5
  )
  constant = learning_rate(_config(), num_steps=100)
  assert float(constant(99)) == pytest.approx(LR)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'name': 'adamm'}, "config.optimizer.name: unknown 'adamm'; did you mean 'adam'?"),
    ({'schedule': 'cosin'}, "did you mean 'cosine'?"),
    ({'warmup_steps': 10}, 'config.optimizer.warmup_steps: 10; expected 0 to 9'),
    ({'warmup_steps': 10}, '; add --config.optimizer.warmup_steps=1, or train longer'),
    ({'learning_rate': -1.0}, 'config.optimizer.learning_rate: -1.0; expected 0'),
    ({'step_at': (0.5, 1.5)}, 'config.optimizer.step_at: (0.5, 1.5); expected shares'),
    ({'step_at': ('half',)}, "config.optimizer.step_at: ('half',); expected shares"),
  ],
)
def test_errors_name_key_value_and_choices(changes, message):
  with pytest.raises(ConfigError) as error:
    make_optimizer(_config(**changes), num_steps=10)
  assert message in str(error.value)
