"""Pooling against a plain loop in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.ops import avg_pool, global_avg_pool, max_pool


def loop_pool(x, window, strides, pads, reduce, g):
  """Pools window by window; `reduce` gives a window's value and its gradient."""
  padded = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=np.nan)
  sizes = [
    (size - k) // s + 1
    for size, k, s in zip(padded.shape[1:-1], window, strides, strict=True)
  ]
  y, dpadded = np.zeros((len(x), *sizes, x.shape[-1])), np.zeros_like(padded)
  for n, *out, c in np.ndindex(*y.shape):
    corner = [o * s for o, s in zip(out, strides, strict=True)]
    spans = tuple(slice(a, a + k) for a, k in zip(corner, window, strict=True))
    value, gradient = reduce(padded[n, *spans, c])
    y[n, *out, c] = value
    dpadded[n, *spans, c] += gradient * g[n, *out, c]
  inside = tuple(
    slice(lo, lo + size) for (lo, _), size in zip(pads, x.shape[1:-1], strict=True)
  )
  return y, dpadded[:, *inside]


def largest(window):
  return np.nanmax(window), window == np.nanmax(window)


def mean_with_zeros(window):
  return np.nansum(window) / window.size, np.full(window.shape, 1 / window.size)


def mean_inside(window):
  inside = np.sum(~np.isnan(window))
  return np.nansum(window) / inside, np.full(window.shape, 1 / inside)


POOLS = {
  'max': (max_pool, {}, largest),
  'avg': (avg_pool, {}, mean_with_zeros),
  'avg-inside': (avg_pool, {'count_include_pad': False}, mean_inside),
}
CASES = {
  # sizes, window, strides, pads
  '1d': ((8,), (3,), (2,), [(1, 1)]),
  '2d-even': ((8, 8), (3, 3), (2, 2), [(1, 1), (1, 1)]),
  '2d-odd': ((7, 7), (3, 3), (2, 2), [(1, 1), (1, 1)]),
  '2d-uneven': ((5, 6), (2, 4), (1, 3), [(0, 1), (3, 0)]),
  '3d': ((4, 3, 5), (2, 2, 3), (2, 1, 2), [(0, 0), (1, 0), (1, 2)]),
}


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('pool', POOLS)
def test_pools_and_their_gradients_equal_a_plain_loop(pool, case):
  op, kwargs, reduce = POOLS[pool]
  sizes, window, strides, pads = CASES[case]
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, *sizes, 3)) - 2  # negative: a padded zero would win
  y, vjp = jax.vjp(
    lambda x: op(x, window, strides=strides, padding=pads, **kwargs), jnp.float32(x)
  )
  g = rng.normal(size=y.shape)
  want, dx = loop_pool(x, window, strides, pads, reduce, g)
  np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(vjp(jnp.float32(g))[0], dx, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('op', [max_pool, avg_pool])
def test_strides_default_to_the_window(op):
  x = jax.random.normal(jax.random.key(0), (1, 7, 9, 2))
  np.testing.assert_array_equal(op(x, (2, 3)), op(x, (2, 3), strides=(2, 3)))
  assert op(x, (2, 3)).shape == (1, 3, 3, 2)


def test_global_average():
  x = np.random.default_rng(0).normal(size=(2, 3, 5, 4))
  want = [[np.mean(x[n, :, :, c]) for c in range(4)] for n in range(2)]
  np.testing.assert_allclose(global_avg_pool(jnp.float32(x)), want, atol=1e-6)
  assert global_avg_pool(jnp.ones((2, 3, 4), jnp.bfloat16)).dtype == jnp.bfloat16


def test_dtypes():
  halves = jnp.ones((1, 4, 4, 1), jnp.bfloat16)
  assert max_pool(halves, (2, 2)).dtype == jnp.bfloat16
  assert avg_pool(halves, (2, 2)).dtype == jnp.bfloat16
  counts = jnp.array([-4, -1, 2, 5], jnp.int8).reshape(1, 4, 1)
  np.testing.assert_array_equal(max_pool(counts, (2,), padding=1).ravel(), [-4, 2, 5])
  assert max_pool(counts, (2,)).dtype == jnp.int8
  assert avg_pool(counts, (2,)).dtype == jnp.float32
  np.testing.assert_array_equal(avg_pool(counts, (2,)).ravel(), [-2.5, 3.5])


def test_a_large_bfloat16_window_is_summed_in_float32():
  # In bfloat16, a running sum of ones stops growing at 256.
  ones = jnp.ones((1, 32, 32, 1), jnp.bfloat16)
  np.testing.assert_array_equal(avg_pool(ones, (32, 32)).ravel(), [1])


@pytest.mark.parametrize('op', [max_pool, avg_pool])
@pytest.mark.parametrize(
  ('window', 'kwargs', 'message'),
  [
    (2, {}, 'window_shape 2: expected an int for each spatial dimension'),
    ((2,), {}, r'x with shape \(1, 5, 5, 2\): expected \[batch, 1 spatial'),
    ((0, 2), {}, r'window_shape \(0, 2\): expected a positive int'),
    ((2, 2), {'strides': (1, 2, 3)}, r'strides \(1, 2, 3\): .* 2 of them'),
    ((2, 2), {'padding': 'same'}, "padding 'same': expected 'SAME'"),
    ((2, 2), {'padding': 2}, r'padding 2: expected less than window_shape \(2, 2\)'),
    ((6, 2), {}, r'x with spatial shape \(5, 5\) .* covers, \(6, 2\)'),
  ],
)
def test_errors(op, window, kwargs, message):
  with pytest.raises(ValueError, match=message):
    op(jnp.ones((1, 5, 5, 2)), window, **kwargs)
