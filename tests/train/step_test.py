"""The two steps: exact on any number of devices, and pure."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import convscan.architectures as arch
from convscan.architectures.cnn.googlenet import sow_logits
from convscan.train import tasks
from convscan.train.mesh import batch_sharded, make_mesh, put_batch, replicated
from convscan.train.state import create_state
from convscan.train.step import eval_step, train_step
from convscan.train.tasks.task import mean

BATCH = 16
TASK = tasks.get('classification')


@pytest.fixture(scope='module')
def model():
  return arch.build('lenet5_modern', num_classes=10, filters=(4, 8), dropout_rate=0.0)


def _batch(seed=0, weights=None):
  rng = np.random.default_rng(seed)
  return {
    'inputs': rng.uniform(size=(BATCH, 8, 8, 1)).astype(np.float32),
    'targets': rng.integers(0, 10, BATCH).astype(np.int32),
    'weights': np.ones(BATCH, np.float32) if weights is None else weights,
  }


def _state(model, tx, sharding=None):
  create = functools.partial(create_state, model=model, tx=tx)
  inputs = jnp.zeros((1, 8, 8, 1))
  return jax.jit(create, out_shardings=sharding)(jax.random.key(0), inputs, {})


def _run(model, devices, steps=3, tx=None):
  tx = tx or optax.sgd(0.1, momentum=0.9)
  mesh = make_mesh(devices)
  everywhere = replicated(mesh)
  state = _state(model, tx, everywhere)
  step = jax.jit(
    functools.partial(train_step, model=model, task=TASK, tx=tx),
    in_shardings=(everywhere, batch_sharded(mesh)),
    out_shardings=everywhere,
    donate_argnums=0,
  )
  for i in range(steps):
    before = state
    state, metrics = step(state, put_batch(_batch(i), mesh))
  return before, state, jax.device_get(metrics)


def test_eight_devices_make_the_update_of_one(model):
  _, one, metrics_one = _run(model, 1)
  _, eight, metrics_eight = _run(model, 8)
  assert len(jax.tree.leaves(eight.params)[0].sharding.device_set) == 8
  for a, b in zip(
    jax.tree.leaves((one.variables, metrics_one)),
    jax.tree.leaves((eight.variables, metrics_eight)),
    strict=True,
  ):
    np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def test_the_update_is_the_gradient_of_the_mean_loss(model):
  batch = _batch()
  tx = optax.sgd(1.0)
  state = _state(model, tx)

  def loss(params):
    logits, _ = model.apply(
      {'params': params, 'batch_stats': state.batch_stats},
      batch['inputs'],
      train=True,
      mutable=['batch_stats'],
    )
    shifted = logits - jax.nn.logsumexp(logits, axis=-1, keepdims=True)
    return -shifted[np.arange(BATCH), batch['targets']].mean()

  step = jax.jit(functools.partial(train_step, model=model, task=TASK, tx=tx))
  new, metrics = step(state, batch)
  value, grads = jax.jit(jax.value_and_grad(loss))(state.params)
  expected = jax.tree.map(lambda p, g: p - g, state.params, grads)
  for a, b in zip(jax.tree.leaves(new.params), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
  assert mean([metrics])['loss'] == pytest.approx(float(value), rel=1e-5)
  assert int(new.step) == 1
  changed = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), *(
    s.batch_stats for s in (state, new)))  # fmt: skip
  assert all(jax.tree.leaves(changed))


def test_the_state_is_donated(model):
  before, _, _ = _run(model, 1, steps=2)
  assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before.params))


def test_dropout_differs_by_step_and_not_by_call(model):
  model = model.clone(dropout_rate=0.5)
  tx = optax.sgd(0.0)
  state = _state(model, tx)
  step = jax.jit(functools.partial(train_step, model=model, task=TASK, tx=tx))

  def loss(state):
    return float(step(state, _batch())[1]['loss'][0])

  assert loss(state) == loss(state)
  assert loss(state) != loss(state.replace(step=state.step + 1))


def test_padding_does_not_count(model):
  batch = _batch(weights=(np.arange(BATCH) < 5).astype(np.float32))
  state = _state(model, optax.sgd(0.1))
  metrics, predictions = eval_step(state.variables, batch, model=model, task=TASK)
  logits = np.asarray(
    model.apply(state.variables, batch['inputs'], train=False), np.float64
  )
  log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  own = log_probs[np.arange(BATCH), batch['targets']]
  assert mean([metrics])['loss'] == pytest.approx(-own[:5].mean(), rel=1e-5)
  right = (logits.argmax(-1) == batch['targets'])[:5].mean()
  assert mean([metrics])['accuracy'] == pytest.approx(right)
  np.testing.assert_allclose(predictions['log_prob'], own, rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(predictions['predicted'], logits.argmax(-1))


class _TwoHeads(nn.Module):
  """A dense layer and, in training, a second one whose logits are sown."""

  @nn.compact
  def __call__(self, x, *, train):
    x = x.reshape(len(x), -1)
    aux = nn.Dense(10, name='second')(x)
    if train:
      sow_logits(self, 'aux', aux)
    return nn.Dense(10, name='main')(x)


def test_auxiliary_losses_are_added_by_their_weight():
  model, tx, batch = _TwoHeads(), optax.sgd(1.0), _batch()
  create = functools.partial(create_state, model=model, tx=tx)
  state = create(jax.random.key(0), batch['inputs'], {})
  new, metrics = train_step(
    state, batch, model=model, task=TASK, tx=tx, aux_loss_weight=0.3
  )
  x = batch['inputs'].reshape(BATCH, -1).astype(np.float64)
  for head, weight in [('main', 1.0), ('second', 0.3)]:
    kernel = np.asarray(state.params[head]['kernel'], np.float64)
    p = np.exp(x @ kernel)
    p /= p.sum(-1, keepdims=True)
    log_p = np.log(p[np.arange(BATCH), batch['targets']])
    p[np.arange(BATCH), batch['targets']] -= 1
    np.testing.assert_allclose(
      new.params[head]['kernel'], kernel - weight * x.T @ p / BATCH, atol=1e-5
    )
    if head == 'main':
      assert float(metrics['loss'][0]) == pytest.approx(-log_p.sum(), rel=1e-5)


@pytest.mark.parametrize('parts', [1, 4])
def test_what_a_model_sows_into_losses_is_added_to_each_targets(parts):
  model = arch.build(
    'gru_lm', vocab_size=7, embedding_features=4, hidden_features=5, num_layers=1,
    activation_penalty=2.0, temporal_penalty=3.0,
  )  # fmt: skip
  tx, rng = optax.sgd(1.0), np.random.default_rng(0)
  tokens = rng.integers(0, 7, (BATCH, 7)).astype(np.int32)
  batch = {'inputs': tokens[:, :-1], 'targets': tokens[:, 1:]}
  batch['weights'] = np.ones((BATCH, 6), np.float32)
  state = create_state(jax.random.key(0), batch['inputs'], {}, model=model, tx=tx)

  def loss(params):
    logits, found = model.apply(
      {'params': params},
      batch['inputs'],
      train=True,
      capture_intermediates=True,
      mutable=['intermediates'],
    )
    outputs = found['intermediates']['layers_0']['__call__'][0][1]
    chosen = jax.nn.log_softmax(logits)[
      np.arange(BATCH)[:, None], np.arange(6), batch['targets']
    ]
    changes = outputs[:, 1:] - outputs[:, :-1]
    plain = -chosen.mean()
    return plain + 2 * (outputs**2).mean() + 3 * (changes**2).mean(), plain

  task = tasks.get('language_model')
  step = functools.partial(train_step, model=model, task=task, tx=tx)
  new, metrics = jax.jit(functools.partial(step, accumulate_steps=parts))(state, batch)
  grads, plain = jax.jit(jax.grad(loss, has_aux=True))(state.params)
  expected = jax.tree.map(lambda p, g: p - g, state.params, grads)
  for a, b in zip(jax.tree.leaves(new.params), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
  # The metrics are of the logits alone.
  assert mean([metrics])['loss'] == pytest.approx(float(plain), rel=1e-5)
