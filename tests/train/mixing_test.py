"""Mixup and CutMix against plain loops, and what they send between devices."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.configs import base
from convscan.train.errors import ConfigError
from convscan.train.mesh import batch_sharded, make_mesh, put_batch, replicated
from convscan.train.mixing import cutmix, make_mix, mix, mixup


def _batch(height=7, width=10):
  rng = np.random.default_rng(0)
  return {
    'inputs': rng.normal(size=(8, height, width, 2)).astype(np.float32),
    'targets': rng.dirichlet(np.ones(3), 8).astype(np.float32),
    'weights': np.array([1, 1, 0, 1, 0.5, 1, 1, 1], np.float32),
  }


def _mixed(batch, inside, share):
  """Returns what a loop makes of a batch, given pixels and the share of each image."""
  out = {name: a.copy() for name, a in batch.items()}
  for i in range(8):
    for y in range(batch['inputs'].shape[1]):
      for x in range(batch['inputs'].shape[2]):
        own, other = batch['inputs'][i, y, x], batch['inputs'][(i - 1) % 8, y, x]
        out['inputs'][i, y, x] = inside[y, x] * own + (1 - inside[y, x]) * other
    own, other = batch['targets'][i], batch['targets'][(i - 1) % 8]
    out['targets'][i] = share * own + (1 - share) * other
    out['weights'][i] = min(batch['weights'][i], batch['weights'][(i - 1) % 8])
  return out


def _close(got, expected):
  assert got.keys() == expected.keys()
  for name in got:
    np.testing.assert_allclose(got[name], expected[name], rtol=1e-5, atol=1e-6)
    assert got[name].dtype == expected[name].dtype


def test_mixup_is_a_loop():
  batch, key = _batch(), jax.random.key(0)
  share = float(jax.random.beta(key, 0.4, 0.4))
  assert 0.01 < share < 0.99
  _close(mixup(key, batch, 0.4), _mixed(batch, np.full((7, 10), share), share))


def test_cutmix_pastes_one_rectangle_and_shares_by_area():
  batch, areas = _batch(), []
  for seed in range(20):
    got = cutmix(jax.random.key(seed), batch, 1.0)
    own = np.all(np.asarray(got['inputs']) == batch['inputs'], axis=(0, 3))
    rows, columns = np.any(~own, axis=1), np.any(~own, axis=0)
    np.testing.assert_array_equal(~own, rows[:, None] & columns[None])
    for along in (rows, columns):  # without a gap
      assert np.all(np.diff(np.flatnonzero(along)) == 1)
    _close(got, _mixed(batch, own, own.mean()))
    areas.append(1 - own.mean())
  assert min(areas) < 0.15
  assert max(areas) > 0.4


def test_the_shares_are_distributed_as_beta():
  batch = {
    'inputs': jnp.zeros((2, 64, 64, 1)),
    'targets': jnp.eye(2),
    'weights': jnp.ones(2),
  }
  keys = jax.random.split(jax.random.key(0), 500)
  shares = jax.vmap(lambda k: mixup(k, batch, 0.5)['targets'][0, 0])(keys)
  # Beta(1/2, 1/2): mean 1/2, variance 1/8.
  assert np.mean(shares) == pytest.approx(0.5, abs=0.05)
  assert np.var(shares) == pytest.approx(0.125, abs=0.02)


def test_with_both_a_coin_is_thrown():
  batch = _batch() | {'targets': np.arange(8, dtype=np.int32) % 3}
  ways = []
  for seed in range(20):
    got = mix(
      jax.random.key(seed), batch, num_classes=3, mixup_alpha=1.0, cutmix_alpha=1.0
    )
    np.testing.assert_allclose(got['targets'].sum(-1), 1, rtol=1e-6)
    ways.append(bool(np.any(np.asarray(got['inputs']) == batch['inputs'])))
  assert 4 <= sum(ways) <= 16


def test_one_row_alone_goes_from_each_device_to_the_next():
  mesh, key = make_mesh(8), jax.random.key(1)
  rng = np.random.default_rng(1)
  batch = {
    'inputs': rng.normal(size=(32, 8, 8, 1)).astype(np.float32),
    'targets': rng.integers(0, 3, 32).astype(np.int32),
    'weights': np.ones(32, np.float32),
  }

  def both(key, batch):
    return mix(key, batch, num_classes=3, mixup_alpha=1.0, cutmix_alpha=1.0)

  split = batch_sharded(mesh)
  sharded = jax.jit(both, in_shardings=(replicated(mesh), split), out_shardings=split)
  placed = put_batch(batch, mesh)
  _close(
    jax.device_get(sharded(key, placed)), jax.device_get(jax.jit(both)(key, batch))
  )
  text = sharded.lower(key, placed).compile().as_text()
  assert not re.findall(r'all-gather|all-to-all|all-reduce', text)
  moved = re.findall(r'f32\[(\d+),8,8,1\]\S* collective-permute', text)
  assert set(moved) == {'1'}


@pytest.mark.parametrize(
  ('changes', 'ndim', 'message'),
  [
    ({'mixup_alpha': -1.0}, 3, r'config.mixup_alpha: -1.0; expected 0 or more'),
    ({'cutmix_alpha': 1.0}, 1, 'config.cutmix_alpha: 1.0; expected 0, since'),
    ({'mixup_alpha': 1.0, 'task': 'segmentation'}, 3, 'classification of images'),
  ],
)
def test_what_can_not_be_mixed(changes, ndim, message):
  config = base.get_config()
  config.update({'task': 'classification'} | changes)
  with pytest.raises(ConfigError, match=message):
    make_mix(config, 3, ndim)


def test_without_an_alpha_nothing_is_mixed():
  assert make_mix(base.get_config(), 3, 3) is None
