"""The rarer pools against plain numpy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from convscan.architectures.layers import FractionalMaxPool, GeM, StochasticPool
from convscan.architectures.ops import (
  blur_pool,
  fractional_max_pool,
  gem_pool,
  global_max_pool,
  lp_pool,
  spatial_pyramid_pool,
  stochastic_pool,
)


def positive(*shape, seed=0):
  return np.random.default_rng(seed).uniform(0.5, 2, size=shape)


def test_global_max():
  x = positive(2, 3, 5, 4) - 3
  np.testing.assert_allclose(global_max_pool(jnp.float32(x)), x.max((1, 2)), rtol=1e-6)


def test_generalised_mean():
  x, p = positive(2, 5, 3), np.array([1.0, 3.0, 7.5])
  want = (x**p).mean(1) ** (1 / p)
  np.testing.assert_allclose(gem_pool(jnp.float32(x), p), want, rtol=1e-5)
  args = jnp.float32(x), jnp.float32(p)
  check_grads(gem_pool, args, order=1, rtol=2e-2, atol=1e-2, eps=1e-2)
  # To 38 digits, x**p is 0 or infinite.
  many = np.array([[[1e20], [1e-20]], [[0.0], [0.0]]], np.float32)
  np.testing.assert_allclose(gem_pool(many, 3.0), [[1e20 / 2 ** (1 / 3)], [1e-6]], 1e-5)
  y, gradient = jax.value_and_grad(lambda x: gem_pool(x, 3.0).sum())(
    jnp.zeros((1, 4, 1))
  )
  assert np.isfinite(y)
  assert np.isfinite(gradient).all()


def test_generalised_mean_as_a_layer():
  x = jnp.asarray(positive(2, 4, 5, 3), jnp.bfloat16)
  y, variables = GeM(p=2.0).init_with_output(jax.random.key(0), x)
  assert (y.shape, y.dtype) == ((2, 3), jnp.bfloat16)
  assert variables['params']['p'].tolist() == [2.0]
  want = np.sqrt((np.float64(x) ** 2).mean((1, 2)))
  np.testing.assert_allclose(np.float64(y), want, rtol=1e-2)
  gradient = jax.grad(lambda v: GeM().apply(v, x).astype(jnp.float32).sum())(variables)
  assert gradient['params']['p'].item() > 0  # the mean grows with its power
  with pytest.raises(ValueError, match='p: got 0, expected a positive number'):
    GeM(p=0)


@pytest.mark.parametrize('p', [1, 2, 2.5, float('inf')])
def test_lp_pool(p):
  x = positive(2, 6, 4, 3)
  blocks = x.reshape(2, 3, 2, 2, 2, 3).swapaxes(2, 3).reshape(2, 3, 2, 4, 3)
  want = np.linalg.norm(blocks, ord=p, axis=3)
  np.testing.assert_allclose(
    lp_pool(jnp.float32(x), (2, 2), norm_type=p), want, rtol=1e-5
  )


def test_lp_pool_of_zeros_has_a_gradient_of_zero():
  def total(x):
    return lp_pool(x, (2,), norm_type=2).sum()

  x = jnp.array([0.0, 0.0, 3.0, -4.0]).reshape(1, 4, 1)
  np.testing.assert_allclose(jax.grad(total)(x).ravel(), [0, 0, 0.6, -0.8], rtol=1e-6)
  with pytest.raises(ValueError, match='norm_type 0: expected a positive number'):
    lp_pool(x, (2,), norm_type=0)


def test_lp_pool_sums_in_float32():
  ones = jnp.ones((1, 1024, 1), jnp.bfloat16)
  y = lp_pool(ones, (1024,), norm_type=2)
  assert (y.dtype, y.item()) == (jnp.bfloat16, 32)


@pytest.mark.parametrize('filter_size', range(1, 8))
def test_blur_pool(filter_size):
  x = positive(1, 9, 8, 2)
  row = np.ones(1)
  for _ in range(filter_size - 1):
    row = np.convolve(row, [0.5, 0.5])
  low = (filter_size - 1) // 2
  pads = (low, filter_size - 1 - low)
  want = x
  for axis, stride in ((1, 2), (2, 3)):
    padded = np.pad(want, [pads if a == axis else (0, 0) for a in range(4)], 'reflect')
    want = np.apply_along_axis(np.convolve, axis, padded, row, 'valid')
    want = want.take(range(0, want.shape[axis], stride), axis)
  got = blur_pool(jnp.float32(x), filter_size=filter_size, strides=(2, 3))
  np.testing.assert_allclose(got, want, rtol=1e-5)


def test_a_blurred_constant_is_what_it_was():
  x = jnp.full((1, 9, 8, 7, 2), 3, jnp.bfloat16)
  y = blur_pool(x, filter_size=5)
  assert (y.shape, y.dtype) == ((1, 5, 4, 4, 2), jnp.bfloat16)
  assert (y == 3).all()
  with pytest.raises(ValueError, match='filter_size 8: expected 1 to 7'):
    blur_pool(x, filter_size=8)


def test_stochastic_pool_draws_by_probability():
  window = np.array([[0.0, 1.0], [-2.0, 3.0]])
  x = jnp.float32(np.tile(window, (1, 1, 4000))).reshape(1, 2, 8000, 1)
  layer = StochasticPool((2, 2))
  y = layer.apply({}, x, deterministic=False, rngs={'dropout': jax.random.key(0)})
  assert set(y.ravel().tolist()) == {1.0, 3.0}
  # Five standard deviations of a binomial's mean.
  assert abs((y == 3).mean() - 0.75) < 5 * np.sqrt(0.75 * 0.25 / 4000)
  mean = layer.apply({}, x, deterministic=True)
  np.testing.assert_allclose(mean.ravel(), np.full(4000, (1 + 9) / 4), rtol=1e-6)


def test_stochastic_pool_sends_the_gradient_to_what_it_took():
  x = jnp.float32(positive(2, 5, 6, 3)).at[0, :4, :4].set(0)

  def pool(x):
    return stochastic_pool(x, (3, 2), strides=(1, 2), padding=(1, 0), key=key)

  key = jax.random.key(1)
  y, pullback = jax.vjp(pool, x)
  assert (y[0, 0, :2] == 0).all()  # nothing to draw
  (gradient,) = pullback(jnp.ones_like(y))
  np.testing.assert_allclose((gradient * x).sum(), y.sum(), rtol=1e-5)
  y, pullback = jax.vjp(lambda x: stochastic_pool(x, (2, 2)), 0 * x)
  assert (y == 0).all()
  assert np.isfinite(pullback(jnp.ones_like(y))[0]).all()


def loop_fractional(x, window, outs, samples):
  """Pools in one dimension, channel by channel."""
  batch, size, channels = x.shape
  y = np.zeros((batch, outs, channels))
  for n, c in np.ndindex(batch, channels):
    alpha, u = (size - window) / (outs - 1), samples[n, c]
    starts = [int(alpha * (i + u)) - int(alpha * u) for i in range(outs - 1)]
    for i, start in enumerate([*starts, size - window]):
      y[n, i, c] = x[n, start : start + window, c].max()
  return y


def test_fractional_max_pool():
  rng = np.random.default_rng(0)
  x, samples = rng.normal(size=(2, 11, 3)), rng.uniform(size=(2, 3, 1))
  want = loop_fractional(x, 3, 6, samples[..., 0])
  y = fractional_max_pool(jnp.float32(x), (3,), 6, jnp.float32(samples))
  np.testing.assert_allclose(y, want, rtol=1e-6)
  shared = fractional_max_pool(jnp.float32(x), (3,), 6, jnp.float32(samples[:1, :1]))
  want = loop_fractional(x, 3, 6, np.broadcast_to(samples[:1, :1, 0], (2, 3)))
  np.testing.assert_allclose(shared, want, rtol=1e-6)
  assert fractional_max_pool(jnp.float32(x), (11,), 1, samples[:1, :1]).shape == (
    2,
    1,
    3,
  )


def test_fractional_max_pool_as_a_layer():
  x = jax.random.normal(jax.random.key(0), (2, 9, 12, 3), jnp.bfloat16)
  layer = FractionalMaxPool((2, 2), (0.7, 0.5))
  draws = [
    layer.apply({}, x, deterministic=False, rngs={'dropout': jax.random.key(seed)})
    for seed in (1, 2)
  ]
  assert (draws[0].shape, draws[0].dtype) == ((2, 6, 6, 3), jnp.bfloat16)
  assert (draws[0] != draws[1]).any()
  assert layer.apply({}, x, deterministic=True).shape == (2, 6, 6, 3)
  with pytest.raises(ValueError, match='output_ratio: got 1, expected 0 < ratio < 1'):
    FractionalMaxPool((2, 2), 1)


@pytest.mark.parametrize(
  ('outs', 'samples', 'message'),
  [
    (
      5,
      (1, 1, 1),
      r'x with spatial shape \(5,\): expected at least output_size \+ win',
    ),
    (3, (3, 1, 1), r'samples with shape \(3, 1, 1\): expected \(2, 4, 1\), or 1 in'),
    ((3, 3), (1, 1, 1), r'output_size \(3, 3\): expected a positive int'),
  ],
)
def test_fractional_max_pool_errors(outs, samples, message):
  with pytest.raises(ValueError, match=message):
    fractional_max_pool(jnp.ones((2, 5, 4)), (2,), outs, jnp.ones(samples))


@pytest.mark.parametrize('size', [1, 7, 10])
def test_spatial_pyramid_pool_has_one_length(size):
  x = positive(2, size, size + 1, 3)
  y = spatial_pyramid_pool(jnp.float32(x), (1, 3))
  assert y.shape == (2, (1 + 9) * 3)
  np.testing.assert_allclose(y[:, :3], x.max((1, 2)), rtol=1e-6)
  last = x[:, 2 * size // 3 :, 2 * (size + 1) // 3 :].max((1, 2))
  np.testing.assert_allclose(y[:, -3:], last, rtol=1e-6)
