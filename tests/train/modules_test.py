"""Parts of a model by name, and what freezing them does to a step."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import convscan.architectures as arch
from convscan.architectures.cnn.resnet import BasicBlock, padded_shortcut
from convscan.architectures.layers import Conv
from convscan.train import tasks
from convscan.train.modules import keep_statistics, select, without
from convscan.train.state import create_state
from convscan.train.step import train_step

TASK = tasks.get('classification')
SIZES = {'stage_sizes': (1, 1, 1), 'channels': (4, 6, 8)}
BATCH = 8


def _varied(tree, seed=0):
  """Random values of their own everywhere, so that nothing vanishes or stands alike."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(lambda x: jnp.float32(rng.uniform(0.2, 1, x.shape)), tree)


def _batch(seed, channels=1):
  rng = np.random.default_rng(seed)
  return {
    'inputs': rng.uniform(size=(BATCH, 8, 8, channels)).astype(np.float32),
    'targets': rng.integers(0, 10, BATCH).astype(np.int32),
    'weights': np.ones(BATCH, np.float32),
  }


def _state(model, tx, frozen):
  create = functools.partial(create_state, model=model, tx=tx, frozen=frozen)
  state = jax.jit(create)(jax.random.key(0), jnp.zeros((1, 8, 8, 1)), {})
  return state.replace(batch_stats=_varied(state.batch_stats))


@pytest.fixture(scope='module')
def frozen_run():
  """Three steps with the first two parts frozen: the states before and after."""
  model, tx = arch.build('resnet20_cifar', num_classes=10, **SIZES), optax.adam(0.01)
  names = jax.eval_shape(
    functools.partial(model.init, train=False),
    jax.random.key(0), jnp.zeros((1, 8, 8, 1)),
  )['params']  # fmt: skip
  frozen = select('frozen', ('stem', 'stage1'), names)
  before = state = _state(model, tx, frozen)
  steps = {
    f: jax.jit(functools.partial(train_step, model=model, task=TASK, tx=tx, frozen=f))
    for f in (frozen, frozenset())
  }
  for i in range(3):
    state, _ = steps[frozen](state, _batch(i))
  return model, frozen, before, state, steps


def _paths(tree):
  return {jax.tree_util.keystr(p): leaf for p, leaf in jax.tree.leaves_with_path(tree)}


def test_frozen_modules_keep_every_bit_and_others_change(frozen_run):
  _, frozen, before, after, _ = frozen_run
  assert frozen == {'stem_conv', 'stem_norm', 'stage1_block0'}
  old, new = _paths(before.variables), _paths(after.variables)
  assert old.keys() == new.keys()
  for path in old:
    same = np.array_equal(old[path], new[path])
    assert same == any(f"['{module}']" in path for module in frozen), path


def test_nothing_is_computed_or_kept_for_frozen_parameters(frozen_run):
  _, frozen, before, _, steps = frozen_run
  kept = [p for p in _paths(before.opt_state) if any(m in p for m in frozen)]
  assert not kept
  assert any('stage2_block0' in p for p in _paths(before.opt_state))
  flops = {}
  for modules, step in steps.items():
    state = before.replace(
      opt_state=optax.adam(0.01).init(without(before.params, modules))
    )
    compiled = step.lower(state, _batch(0)).compile()
    flops[modules] = compiled.cost_analysis()['flops']
  # Forward, and both products of the reverse pass, cost about the same; the frozen part
  # is over a third of the network here.
  assert flops[frozen] < 0.8 * flops[frozenset()]


def test_three_frozen_steps_equal_a_plain_loop(frozen_run):
  model, frozen, before, after, _ = frozen_run
  norm = functools.partial(
    nn.BatchNorm, momentum=0.9, epsilon=1e-5, use_running_average=False
  )
  blocks = {
    f'stage{i}_block0': BasicBlock(
      c, strides=2, conv=Conv, norm=norm, shortcut=padded_shortcut
    )
    for i, c in ((2, 6), (3, 8))
  }

  @jax.jit
  def loss(params, statistics, x, targets):
    updated = {}
    for name, block in blocks.items():
      variables = {'params': params[name], 'batch_stats': statistics[name]}
      x, updates = block.apply(variables, x, mutable=['batch_stats'])
      updated[name] = updates['batch_stats']
    dense = params['head']['dense']
    logits = x.mean((1, 2)) @ dense['kernel'] + dense['bias'][None]
    shifted = logits - jax.nn.logsumexp(logits, axis=-1, keepdims=True)
    return -shifted[np.arange(BATCH), targets].mean(), updated

  params = without(before.params, frozen)
  statistics = without(before.batch_stats, frozen)
  m = v = jax.tree.map(jnp.zeros_like, params)
  for t in range(1, 4):
    batch = _batch(t - 1)
    maps = model.apply(before.variables, batch['inputs'], method='features')
    grads, statistics = jax.grad(loss, has_aux=True)(
      params, statistics, maps['stage1'], batch['targets']
    )
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, v, grads)
    params = jax.tree.map(
      lambda p, m, v, t=t: p
      - 0.01 * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8),
      params, m, v,
    )  # fmt: skip
  got = _paths((without(after.params, frozen), without(after.batch_stats, frozen)))
  for path, expected in _paths((params, statistics)).items():
    np.testing.assert_allclose(got[path], expected, rtol=1e-3, atol=1e-4, err_msg=path)


@pytest.mark.parametrize(
  ('name', 'fields'),
  [
    ('resnet20_cifar', SIZES | {'remat': ('stage1', 'stage2')}),
    ('lenet5_modern', {'filters': (3, 5), 'hidden': (7,), 'dropout_rate': 0.0}),
  ],
)
def test_a_model_frozen_whole_computes_what_it_does_in_evaluation(name, fields):
  model, images = arch.build(name, num_classes=10, **fields), _batch(0)['inputs']
  variables = _varied(
    jax.eval_shape(
      functools.partial(model.init, train=False), jax.random.key(0), images
    )
  )
  expected = model.apply(variables, images, train=False)
  trained, _ = model.apply(variables, images, train=True, mutable=['batch_stats'])
  assert not np.allclose(trained, expected, rtol=1e-2)
  with keep_statistics(variables['params'].keys()):
    got, updates = model.apply(variables, images, train=True, mutable=['batch_stats'])
  np.testing.assert_allclose(got, expected, rtol=1e-5)
  jax.tree.map(
    np.testing.assert_array_equal, updates['batch_stats'], variables['batch_stats']
  )
