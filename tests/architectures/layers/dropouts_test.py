"""The kinds of dropout, by what they keep and what they drop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.layers import AlphaDropout, DropBlock, Dropout

EACH = {
  'alpha': AlphaDropout(0.3),
  'block': DropBlock(0.3, 3),
  'channel': Dropout(0.3, broadcast_dims=(1, 2)),
}
each = pytest.mark.parametrize('layer', EACH.values(), ids=EACH)


def drop(layer, x, seed=0):
  rngs = {'dropout': jax.random.key(seed)}
  return np.asarray(layer.apply({}, x, deterministic=False, rngs=rngs))


@each
def test_each_draws_anew_and_keeps_the_dtype_and_what_is_deterministic(layer):
  x = jax.random.normal(jax.random.key(1), (8, 5, 6, 4), jnp.bfloat16)
  assert (drop(layer, x, 0) != drop(layer, x, 1)).any()
  assert drop(layer, x).dtype == x.dtype
  np.testing.assert_array_equal(layer.apply({}, x, deterministic=True), x)
  nothing = layer.clone(rate=0.0)
  np.testing.assert_array_equal(nothing.apply({}, x, deterministic=False), x)


@pytest.mark.parametrize('rate', [-0.1, 1.0, float('nan')])
@each
def test_each_refuses_a_rate(layer, rate):
  with pytest.raises(ValueError, match=f'^rate: got {rate}, expected 0 <= rate'):
    layer.clone(rate=rate)


def test_whole_channels_are_dropped():
  y = drop(EACH['channel'], jnp.ones((400, 3, 4, 10)))
  assert set(np.unique(y)) == {0, np.float32(1 / 0.7)}
  assert (y == y[:, :1, :1]).all()
  # Five standard deviations of a binomial's mean.
  assert abs((y[:, 0, 0] == 0).mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 4000)


@pytest.mark.parametrize('rate', [0.1, 0.5])
def test_alpha_dropout_keeps_the_mean_and_the_variance(rate):
  x = jax.random.normal(jax.random.key(1), (200_000,))
  y = drop(AlphaDropout(rate), x)
  assert abs(y.mean()) < 0.02
  assert abs(y.var() - 1) < 0.03
  values, counts = np.unique(y, return_counts=True)
  dropped = y == values[counts.argmax()]
  assert abs(dropped.mean() - rate) < 0.01
  # SELU's lowest is -1.7580993408, by Klambauer et al. 2017.
  a = (1 - rate + 1.7580993408**2 * rate * (1 - rate)) ** -0.5
  b = a * rate * 1.7580993408
  np.testing.assert_allclose(y[dropped], b - a * 1.7580993408, rtol=1e-5)
  np.testing.assert_allclose(y[~dropped], (a * x + b)[~dropped], rtol=1e-4, atol=1e-5)


def test_alpha_dropout_of_whole_channels():
  x = jnp.zeros((50, 3, 4, 10))
  y = drop(AlphaDropout(0.3, broadcast_dims=(1, 2)), x)
  assert (y == y[:, :1, :1]).all()
  assert len(np.unique(y)) == 2


@pytest.mark.parametrize(('sizes', 'block'), [((40,), 4), ((12, 9), 3), ((6, 7, 8), 2)])
def test_blocks_are_dropped(sizes, block):
  x = jnp.ones((300, *sizes, 4))
  y = drop(DropBlock(0.1, block), x)
  assert len(np.unique(y)) == 2
  np.testing.assert_allclose(y.mean(dtype=np.float64), 1, rtol=1e-5)
  # The rate, less what the blocks overlap, and up to two standard deviations.
  assert 0.08 < (y == 0).mean() < 0.105
  # Every zero is in a block of zeros that lies within the map.
  zero = y == 0
  windows = np.lib.stride_tricks.sliding_window_view(
    zero, (block,) * len(sizes), tuple(range(1, len(sizes) + 1))
  )
  starts = windows.all(tuple(range(-len(sizes), 0)))
  covered = np.zeros_like(zero)
  for n, *at, c in np.argwhere(starts):
    covered[n, *(slice(i, i + block) for i in at), c] = True
  np.testing.assert_array_equal(covered, zero)


def test_a_block_is_no_larger_than_the_map():
  y = drop(DropBlock(0.5, 7), jnp.ones((400, 2, 2, 4)))
  assert (y == y[:, :1, :1]).all()
  assert abs((y[:, 0, 0] == 0).mean() - 0.5) < 0.1
  with pytest.raises(ValueError, match='block_size: got 0, expected at least 1'):
    DropBlock(0.1, 0)
