"""State split over devices: where it lies, what it costs, and the same numbers."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import convscan.architectures as arch
from convscan.train import tasks
from convscan.train.errors import ConfigError
from convscan.train.mesh import (
  batch_sharded,
  constrain,
  make_mesh,
  put_batch,
  replicated,
  state_sharding,
)
from convscan.train.state import create_state
from convscan.train.step import train_step

BATCH, MIN_SIZE = 16, 256


def _batch(seed):
  rng = np.random.default_rng(seed)
  return {
    'inputs': rng.uniform(size=(BATCH, 8, 8, 1)).astype(np.float32),
    'targets': rng.integers(0, 10, BATCH).astype(np.int32),
    'weights': np.ones(BATCH, np.float32),
  }


def _start(data, fsdp):
  """Returns a state with averages, and its compiled step, on a mesh."""
  mesh = make_mesh(data, fsdp)
  model = arch.build('lenet5_modern', num_classes=10, filters=(8, 16), dropout_rate=0.0)
  parts = {'model': model, 'tx': optax.sgd(0.1, momentum=0.9)}
  create = functools.partial(create_state, ema=True, **parts)
  args = jax.random.key(0), jnp.zeros((1, 8, 8, 1)), {}
  places = state_sharding(jax.eval_shape(create, *args), mesh, MIN_SIZE)
  step = jax.jit(
    functools.partial(
      train_step,
      task=tasks.get('classification'),
      ema_decay=0.5,
      gather=constrain(replicated(mesh)),
      scatter=constrain(places.params),
      **parts,
    ),
    in_shardings=(places, batch_sharded(mesh)),
    out_shardings=(places, replicated(mesh)),
  )
  return jax.jit(create, out_shardings=places)(*args), step, mesh


@pytest.fixture(scope='module')
def split():
  return _start(4, 2)


def test_what_is_large_is_split_and_what_follows_it_alike(split):
  state, _, _ = split
  trace = state.opt_state[0].trace
  leaves = zip(
    *map(jax.tree.leaves, (state.params, trace, state.ema['params'])), strict=True
  )
  count = 0
  for param, momentum, averaged in leaves:
    large = param.size >= MIN_SIZE
    count += large
    for leaf in (param, momentum, averaged):
      shard = leaf.addressable_shards[0].data
      assert shard.size == leaf.size // (2 if large else 1), leaf.shape
  assert 3 < count < len(jax.tree.leaves(state.params))


def test_an_axis_that_cannot_be_halved_is_not():
  mesh = make_mesh(4, 2)
  shapes = [(9, 50), (50, 9), (9, 9), (2, 40)]
  trees = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
  specs = [tuple(s.spec) for s in state_sharding(trees, mesh, 80)]
  assert specs == [(None, 'fsdp'), ('fsdp',), (), (None, 'fsdp')]


def test_a_step_gathers_each_split_parameter_once_and_moves_no_activations(split):
  state, step, mesh = split
  text = step.lower(state, put_batch(_batch(0), mesh)).compile().as_text()
  moved = re.findall(r' (all-gather|all-to-all|collective-permute)\(', text)
  large = [p for p in jax.tree.leaves(state.params) if p.size >= MIN_SIZE]
  assert moved == ['all-gather'] * len(large)


def test_split_state_is_updated_as_whole_state_is(split):
  states = {}
  for name, (state, step, mesh) in {'split': split, 'whole': _start(1, 1)}.items():
    for i in range(3):
      state, _ = step(state, put_batch(_batch(i), mesh))
    states[name] = jax.device_get(state.replace(key=()))
  for a, b in zip(*map(jax.tree.leaves, states.values()), strict=True):
    np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(
  ('sizes', 'words'),
  [
    ((-1, 3), 'config.mesh.fsdp: 3; expected a divisor of 8'),
    ((1, 9), 'config.mesh.fsdp: 9; expected 1 to 8'),
    ((5, 2), 'config.mesh.data: 5; expected 1 to 4'),
    ((0, 1), 'config.mesh.data: 0; expected 1 to 8'),
  ],
)
def test_a_mesh_that_the_devices_do_not_make(sizes, words):
  with pytest.raises(ConfigError, match=words):
    make_mesh(*sizes)
