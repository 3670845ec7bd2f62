"""Normalisations against numpy in float64, and over eight devices."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from convscan.architectures.cnn.network import Network
from convscan.architectures.layers import BatchNorm, GroupNorm, InstanceNorm, LayerNorm

SHAPE = (16, 3, 5, 4)


def example(seed=0):
  """An array whose examples differ, and variables that are not the first ones."""
  rng = np.random.default_rng(seed)
  x = rng.normal(size=SHAPE) * rng.uniform(1, 3, size=(16, 1, 1, 4))
  x += np.arange(16.0).reshape(16, 1, 1, 1)
  params = {'scale': rng.uniform(1, 2, size=4), 'bias': rng.normal(size=4)}
  stats = {'mean': rng.normal(size=4), 'var': rng.uniform(1, 2, size=4)}
  return x, jax.tree.map(jnp.float32, {'params': params, 'batch_stats': stats})


def affine(normal, variables):
  params = variables['params']
  return normal * np.float64(params['scale']) + np.float64(params['bias'])


def by_groups(x, variables, size, momentum=0.9):
  """Normalises group by group; returns also the new running statistics."""
  groups = x.reshape(-1, size, *x.shape[1:])
  mean, var = groups.mean((1, 2, 3)), groups.var((1, 2, 3))
  y = (groups - mean[:, None, None, None]) / np.sqrt(var + 1e-5)[:, None, None, None]
  stats = {
    name: momentum * np.float64(variables['batch_stats'][name])
    + (1 - momentum) * new.mean(0)
    for name, new in (('mean', mean), ('var', var))
  }
  return affine(y.reshape(x.shape), variables), stats


def close(got, want):
  jax.tree.map(partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-4), got, want)


@pytest.fixture(scope='module')
def mesh():
  return Mesh(jax.devices(), ('data',))


@pytest.mark.parametrize(
  ('fields', 'size'), [({}, 16), ({'ghost_batch': 2}, 2), ({'ghost_batch': 8}, 8)]
)
def test_under_jit_statistics_are_of_the_batch_or_of_a_ghost_batch(mesh, fields, size):
  x, variables = example()
  layer = BatchNorm(use_running_average=False, momentum=0.9, **fields)
  assert jax.tree.map(jnp.shape, layer.init(jax.random.key(0), x)) == jax.tree.map(
    jnp.shape, variables
  )
  train = jax.jit(partial(layer.apply, mutable='batch_stats'))
  sharded = jax.device_put(jnp.float32(x), NamedSharding(mesh, PartitionSpec('data')))
  want, stats = by_groups(x, variables, size)
  for batch in (jnp.float32(x), sharded):
    y, updated = train(variables, batch)
    close(y, want)
    close(updated['batch_stats'], stats)


@pytest.mark.parametrize(('axis_name', 'size'), [(None, 2), ('data', 16)])
def test_under_shard_map_an_axis_name_synchronises(mesh, axis_name, size):
  x, variables = example()
  layer = BatchNorm(use_running_average=False, momentum=0.9, axis_name=axis_name)
  split = PartitionSpec('data')

  def train(variables, x):
    y, updated = layer.apply(variables, x, mutable='batch_stats')
    return y, jax.tree.map(lambda a: a[None], updated['batch_stats'])

  train = jax.shard_map(
    train, mesh=mesh, in_specs=(PartitionSpec(), split), out_specs=(split, split)
  )
  y, stats = jax.jit(train)(variables, jnp.float32(x))
  want, mean_stats = by_groups(x, variables, size)
  close(y, want)
  close(jax.tree.map(lambda a: a.mean(0), stats), mean_stats)
  if axis_name:  # every device has the same
    close(stats, jax.tree.map(lambda a: np.broadcast_to(a, (8, 4)), mean_stats))


def test_the_gradient_of_a_ghost_batch_is_its_own():
  x, variables = example()
  layer = BatchNorm(use_running_average=False, ghost_batch=4)
  plain = nn.BatchNorm(use_running_average=False)

  def loss(layer, variables, x):
    return jnp.sum(jnp.sin(layer.apply(variables, x, mutable='batch_stats')[0]))

  gradient = jax.jit(jax.grad(partial(loss, layer), argnums=(0, 1)))
  single = jax.jit(jax.grad(partial(loss, plain), argnums=(0, 1)))
  got, dx = gradient(variables, jnp.float32(x))
  parts = [single(variables, part) for part in jnp.split(jnp.float32(x), 4)]
  close(dx, jnp.concatenate([part for _, part in parts]))
  want = jax.tree.map(lambda *a: sum(a), *(part for part, _ in parts))
  close(got['params'], want['params'])


@pytest.mark.parametrize('fields', [{}, {'ghost_batch': 2}])
def test_in_evaluation_it_is_flaxs(fields):
  x, variables = example()
  y = BatchNorm(**fields).apply(variables, x, use_running_average=True)
  close(y, nn.BatchNorm(use_running_average=True).apply(variables, x))


@pytest.mark.parametrize('train', [True, False])
def test_frozen_it_learns_nothing(train):
  x, variables = example()
  layer = BatchNorm(use_running_average=not train, frozen=True)
  stats = variables['batch_stats']
  normal = (x - np.float64(stats['mean'])) / np.sqrt(np.float64(stats['var']) + 1e-5)

  def run(variables, x):
    return layer.apply(variables, x, mutable='batch_stats')

  (y, updated), pullback = jax.vjp(run, variables, jnp.float32(x))
  close(y, affine(normal, variables))
  close(updated['batch_stats'], stats)
  gradient, dx = pullback((jnp.ones_like(y), jax.tree.map(jnp.zeros_like, updated)))
  close(gradient, jax.tree.map(jnp.zeros_like, variables))
  slope = np.float64(variables['params']['scale']) / np.sqrt(stats['var'] + 1e-5)
  close(dx, np.broadcast_to(slope, x.shape))
  assert BatchNorm(frozen=True).apply(variables, x).shape == x.shape


class Net(Network):
  feature_info = {'map': (1, 3)}  # noqa: RUF012

  @nn.nowrap
  def stages(self, x, conv, norm, train):
    yield 'map', norm(name='norm')(conv(3, (1, 1), name='conv')(x))


@pytest.mark.parametrize('fields', [{}, {'ghost_batch': 2}, {'frozen': True}])
@pytest.mark.parametrize('train', [True, False])
def test_a_network_takes_it_as_its_norm(fields, train):
  x, _ = example()
  model = Net(norm=partial(BatchNorm, **fields))
  variables = model.init(jax.random.key(0), x, train=train)
  plain = Net().init(jax.random.key(0), x, train=train)
  assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, plain)
  maps, updated = model.apply(
    variables, x, train=train, method='features', mutable='batch_stats'
  )
  groups = maps['map'].reshape(8, 2, *maps['map'].shape[1:])
  zero = np.abs(groups.mean((1, 2, 3))).max() < 1e-3
  assert zero == (train and 'ghost_batch' in fields)
  moved = (updated['batch_stats']['norm']['mean'] != 0).any()
  assert moved == (train and 'frozen' not in fields)


@pytest.mark.parametrize(
  ('layer', 'axes', 'groups'),
  [
    (GroupNorm(num_groups=2), (1, 2, 4), 2),
    (LayerNorm(), (4,), 1),
    (InstanceNorm(), (1, 2, 4), 4),
  ],
)
def test_within_an_example(layer, axes, groups):
  x, variables = example()
  blocks = x.reshape(*x.shape[:-1], groups, -1)
  mean, var = (f(blocks, axis=axes, keepdims=True) for f in (np.mean, np.var))
  want = affine(((blocks - mean) / np.sqrt(var + 1e-5)).reshape(x.shape), variables)
  variables = {'params': variables['params']}
  close(layer.apply(variables, jnp.float32(x)), want)
  assert layer.apply(variables, jnp.bfloat16(x)).dtype == jnp.float32


def test_errors():
  with pytest.raises(ValueError, match='ghost_batch: got 0, expected a positive'):
    BatchNorm(ghost_batch=0)
  x, variables = example()
  layer = BatchNorm(use_running_average=False, ghost_batch=3)
  with pytest.raises(
    ValueError, match=r'ghost_batch: got 3, expected a divisor of .* 16'
  ):
    layer.apply(variables, x, mutable='batch_stats')
