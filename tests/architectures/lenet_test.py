"""LeNet: the published figures, and what every network here promises."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from convscan.architectures import build, names, summary

MODELS = [name for name in names('cnn') if name.startswith('lenet5')]


def images(size=32, channels=1, batch=4):
  shape = (batch, size, size, channels)
  return jnp.float32(np.random.default_rng(0).normal(size=shape))


def shapes(model, x):
  return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)


def init(model, x):
  """Leaves drawn so that logits vary and no statistic is 0 or 1."""
  rng = np.random.default_rng(1)

  def draw(leaf):
    if leaf.ndim == 1:
      return jnp.float32(rng.uniform(0.2, 0.8, leaf.shape))
    return jnp.float32(rng.normal(size=leaf.shape) / np.sqrt(np.prod(leaf.shape[:-1])))

  return jax.tree.map(draw, shapes(model, x))


def apply(model, variables, *args, **kwargs):
  return jax.jit(lambda v, *args: model.apply(v, *args, **kwargs))(variables, *args)


def test_published_counts():
  s = summary(build('lenet5'), (1, 32, 32, 1))
  assert (s.num_params, s.macs) == (61_706, 416_520)
  # C1, C3 (full), C5, F6, and the output layer.
  assert [row.num_params for row in s.rows] == [156, 2_416, 48_120, 10_164, 850]


def test_lenet5_equals_a_forward_pass_by_hand():
  model, x = build('lenet5'), images(batch=2)
  params = jax.tree.map(np.float64, init(model, x)['params'])

  def stage(x, layer):
    size = x.shape[1] - 4
    y = np.zeros((len(x), size, size, layer['kernel'].shape[-1]))
    for i, j in np.ndindex(size, size):
      y[:, i, j] = np.tensordot(x[:, i : i + 5, j : j + 5], layer['kernel'], axes=3)
    y = np.tanh(y + layer['bias'])
    return (y[:, ::2, ::2] + y[:, 1::2, ::2] + y[:, ::2, 1::2] + y[:, 1::2, 1::2]) / 4

  y = stage(stage(np.float64(x), params['convs_0']), params['convs_1']).reshape(2, 400)
  for name in ('denses_0', 'denses_1'):
    y = np.tanh(y @ params[name]['kernel'] + params[name]['bias'])
  want = y @ params['head']['kernel'] + params['head']['bias']
  assert np.std(want, axis=0).min() > 1e-3  # else any logits would pass
  logits = apply(model, {'params': params}, x, train=False)
  np.testing.assert_allclose(logits, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('dtype', [None, jnp.bfloat16])
@pytest.mark.parametrize('name', MODELS)
def test_one_training_step_lowers_the_loss(name, dtype):
  model, x = build(name, num_classes=3, dtype=dtype), images(channels=2)
  labels = jnp.array([0, 1, 2, 0])
  state = init(model, x)
  params = state.pop('params')

  @jax.jit
  @partial(jax.value_and_grad, has_aux=True)
  def step(params):
    logits, updates = model.apply(
      {'params': params, **state},
      x,
      train=True,
      mutable=list(state),
      rngs={'dropout': jax.random.key(3)},
    )
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return losses.mean(), (logits, updates)

  (before, (logits, updates)), grads = step(params)
  assert logits.shape == (4, 3)
  assert logits.dtype == jnp.float32
  assert jax.tree.structure(updates) == jax.tree.structure(state)
  for path, grad in jax.tree.leaves_with_path(grads):
    assert grad.dtype == jnp.float32, path
    assert jnp.all(jnp.isfinite(grad)), path
    assert jnp.any(grad != 0), path
  tx = optax.sgd(0.01)
  steps, _ = tx.update(grads, tx.init(params), params)
  (after, _), _ = step(optax.apply_updates(params, steps))
  assert after < before


@pytest.mark.parametrize('name', MODELS)
def test_features_are_those_of_the_call(name):
  model, x = build(name), images(channels=3)
  logits, seen = apply(
    model,
    init(model, x),
    x,
    train=False,
    capture_intermediates=lambda _, method: method == 'features',
  )
  assert jnp.std(logits, axis=0).min() > 1e-2
  (inside,) = seen['intermediates']['features']
  maps = apply(model, init(model, x), x, method='features')
  assert list(maps) == list(model.feature_info)
  for stage, (_, channels) in model.feature_info.items():
    assert maps[stage].shape[-1] == channels
    np.testing.assert_allclose(inside[stage], maps[stage], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', MODELS)
def test_strides_of_feature_info_move_each_map_by_one(name):
  model, x = build(name), images()
  variables = init(model, x)
  for stage, (stride, _) in model.feature_info.items():
    moved = jnp.roll(x, stride, axis=(1, 2))
    a = apply(model, variables, x, method='features')[stage]
    b = apply(model, variables, moved, method='features')[stage]
    # Away from the borders, where the roll wraps around and padding is seen.
    a, b = a[:, 1:-2, 1:-2], b[:, 2:-1, 2:-1]
    assert a.size
    assert jnp.std(a) > 1e-2
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_padded_maps_are_the_size_over_the_stride():
  model, x = build('lenet5_modern'), images(size=8)
  maps = jax.eval_shape(
    lambda v, x: model.apply(v, x, method='features'), shapes(model, x), x
  )
  for stage, (stride, channels) in model.feature_info.items():
    assert maps[stage].shape == (4, 8 // stride, 8 // stride, channels)


def test_train_switches_normalisation_and_dropout():
  model, x = build('lenet5_modern'), images(size=8)
  variables = init(model, x)

  def train(seed):
    return model.apply(
      variables,
      x,
      train=True,
      mutable=['batch_stats'],
      rngs={'dropout': jax.random.key(seed)},
    )

  (a, updates), (b, _) = train(0), train(1)
  assert jnp.any(a != b)
  before, after = variables['batch_stats'], updates['batch_stats']
  for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
    assert jnp.any(old != new)
  # Not training, an image's logits do not depend on the others of its batch.
  whole = apply(model, variables, x, train=False)
  alone = apply(model, variables, x[:1], train=False)
  assert jnp.std(whole, axis=0).min() > 1e-3
  np.testing.assert_allclose(whole[:1], alone, rtol=1e-4, atol=1e-4)


def test_a_norm_takes_the_place_of_the_bias():
  plain = shapes(build('lenet5'), images())['params']
  normed = shapes(build('lenet5', norm=nn.BatchNorm), images())['params']
  assert set(plain['convs_0']) == {'kernel', 'bias'}
  assert set(normed['convs_0']) == {'kernel'}
  assert set(normed['norms_0']) == {'scale', 'bias'}


def test_dtype_is_the_computations_and_not_the_parameters():
  model, x = build('lenet5_modern', dtype=jnp.bfloat16), images(size=8)
  variables = shapes(model, x)
  assert {a.dtype for a in jax.tree.leaves(variables)} == {jnp.dtype('float32')}

  def run(v, x):
    return model.apply(v, x, train=False), model.apply(v, x, method='features')

  logits, maps = jax.eval_shape(run, variables, x)
  assert logits.dtype == jnp.float32
  assert {a.dtype for a in maps.values()} == {jnp.dtype('bfloat16')}


@pytest.mark.parametrize(('name', 'smallest'), [('lenet5', 16), ('lenet5_modern', 4)])
def test_images_too_small(name, smallest):
  shapes(build(name), images(smallest))
  message = f'of {smallest} x {smallest - 1} pixels: expected at least {smallest} x'
  with pytest.raises(ValueError, match=message):
    shapes(build(name), images(smallest)[:, :, 1:])


def test_images_of_a_wrong_rank():
  with pytest.raises(
    ValueError, match=r'shape \(32, 32, 1\): expected \[batch, height'
  ):
    shapes(build('lenet5'), images()[0])


def test_images_of_other_channels():
  model = build('lenet5')
  variables = shapes(model, images())
  x = jnp.concatenate([images()] * 3, -1)
  message = r'images: got shape .* 3\), expected .* with 1 channels for these'
  with pytest.raises(ValueError, match=message):
    model.apply(variables, x, train=False)
