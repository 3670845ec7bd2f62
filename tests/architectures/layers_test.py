"""Layers that blocks are made of, against plain numpy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.layers import (
  Conv,
  GlobalResponseNorm,
  SqueezeExcite,
  StochasticDepth,
  WeightNormConv,
)

CASES = {
  'default': ({}, lambda x: np.maximum(x, 0), lambda x: 1 / (1 + np.exp(-x))),
  'hard': (
    {'act': jax.nn.silu, 'gate': jax.nn.hard_sigmoid},
    lambda x: x / (1 + np.exp(-x)),
    lambda x: np.clip(x / 6 + 0.5, 0, 1),
  ),
}


@pytest.mark.parametrize('case', CASES)
def test_squeeze_excite_scales_the_channels_by_their_gates(case: str) -> None:
  fields, act, gate = CASES[case]
  rng = np.random.default_rng(0)
  arrays = {
    'reduce': {'kernel': rng.normal(size=(6, 3)), 'bias': rng.normal(size=3)},
    'expand': {'kernel': rng.normal(size=(3, 6)), 'bias': rng.normal(size=6)},
  }
  x = rng.normal(size=(2, 5, 4, 6))

  def dense(name: str, y: Any) -> Any:
    return y @ arrays[name]['kernel'] + arrays[name]['bias']

  gates = gate(dense('expand', act(dense('reduce', x.mean((1, 2))))))
  params = {
    name: {'kernel': a['kernel'][None, None], 'bias': a['bias']}
    for name, a in arrays.items()
  }
  layer = SqueezeExcite(3, **fields)
  shapes = jax.eval_shape(layer.init, jax.random.key(0), jnp.ones(x.shape))['params']
  assert jax.tree.map(np.shape, shapes) == jax.tree.map(np.shape, params)
  y = layer.apply({'params': params}, jnp.float32(x))
  np.testing.assert_allclose(y, x * gates[:, None, None], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('ndim', [3, 5])
def test_squeeze_excite_takes_any_number_of_dimensions(ndim: int) -> None:
  x = jnp.ones((2, *range(3, ndim + 1), 4), jnp.bfloat16)
  y, variables = SqueezeExcite(2).init_with_output(jax.random.key(0), x)
  assert y.shape == x.shape
  assert variables['params']['reduce']['kernel'].ndim == ndim


def drop(rate: float, mode: str, x: Any, seed: int = 0) -> np.ndarray:
  layer = StochasticDepth(rate, mode)
  rngs = {'dropout': jax.random.key(seed)}
  return np.asarray(layer.apply({}, x, deterministic=False, rngs=rngs))


def test_stochastic_depth_keeps_or_zeroes_whole_rows() -> None:
  x = np.random.default_rng(0).uniform(1, 2, size=(4000, 2, 3)).astype(np.float32)
  y = drop(0.3, 'row', x)
  kept = y.any(axis=(1, 2))
  expected = np.where(kept[:, None, None], x / np.float32(0.7), 0)
  np.testing.assert_allclose(y, expected, rtol=1e-6)
  # Five standard deviations of a binomial's mean.
  assert abs(kept.mean() - 0.7) < 5 * np.sqrt(0.3 * 0.7 / 4000)
  assert (drop(0.3, 'row', x, seed=1) != y).any()


def test_stochastic_depth_of_a_batch_keeps_or_zeroes_all_of_it() -> None:
  x = np.ones((3, 2), np.float32)
  draws = np.stack([drop(0.5, 'batch', x, seed) for seed in range(20)])
  assert set(draws.ravel().tolist()) == {0.0, 2.0}
  assert (draws == draws[:, :1, :1]).all()


def test_stochastic_depth_leaves_the_dtype_and_the_gradient_of_what_it_drops() -> None:
  x = jnp.ones((16, 2), jnp.bfloat16)
  y = drop(0.5, 'row', x)
  assert y.dtype == jnp.bfloat16
  gradient = jax.grad(
    lambda x: (
      StochasticDepth(0.5)
      .apply({}, x, deterministic=False, rngs={'dropout': jax.random.key(0)})
      .sum()
    )
  )(x)
  np.testing.assert_array_equal(gradient, y)


@pytest.mark.parametrize(('rate', 'deterministic'), [(0.9, True), (0.0, False)])
def test_stochastic_depth_that_drops_nothing_draws_nothing(
  rate: float, deterministic: bool
) -> None:
  x = jnp.ones((2, 3))
  y = StochasticDepth(rate).apply({}, x, deterministic=deterministic)
  np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize('rate', [-0.1, 1.0, float('nan')])
def test_stochastic_depth_refuses_a_rate(rate: float) -> None:
  with pytest.raises(ValueError, match=rf'^rate: got {rate}, expected 0 <= rate < 1'):
    StochasticDepth(rate)


def test_stochastic_depth_refuses_a_mode() -> None:
  with pytest.raises(ValueError, match="mode: got 'column', expected 'row' or 'batch'"):
    StochasticDepth(0.1, 'column')


@pytest.mark.parametrize('ndim', [3, 4])
def test_global_response_norm_scales_by_the_relative_norms(ndim: int) -> None:
  rng = np.random.default_rng(0)
  scale, bias = rng.normal(size=6), rng.normal(size=6)
  x = rng.normal(size=(2, *range(5, 3 + ndim), 6))
  x[..., 1] = 0
  expected = np.empty_like(x)
  for n in range(2):
    norms = [np.sqrt((x[n, ..., c] ** 2).sum()) for c in range(6)]
    for c in range(6):
      ratio = norms[c] / (np.mean(norms) + 1e-6)
      expected[n, ..., c] = x[n, ..., c] * (1 + scale[c] * ratio) + bias[c]
  layer, params = GlobalResponseNorm(), {'scale': scale, 'bias': bias}

  def apply(x: Any) -> Any:
    return layer.apply({'params': jax.tree.map(jnp.float32, params)}, x)

  np.testing.assert_allclose(apply(jnp.float32(x)), expected, rtol=1e-5, atol=1e-6)
  gradient = jax.grad(lambda x: apply(x).sum())(jnp.float32(x))
  np.testing.assert_array_equal(gradient[..., 1], 1)  # and no NaN, of the root of zero
  y = apply(jnp.bfloat16(x))
  assert y.dtype == jnp.float32  # which the parameters are
  initial = layer.init(jax.random.key(0), jnp.float32(x))
  np.testing.assert_array_equal(layer.apply(initial, jnp.float32(x)), np.float32(x))


def test_weight_norm_is_of_each_output_channel() -> None:
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(size=(2, 6, 5, 3)), jnp.float32)
  fields: dict[str, Any] = {'features': 4, 'kernel_size': (2, 3), 'padding': 1}
  layer, plain = WeightNormConv(**fields), Conv(**fields)
  params = layer.init(jax.random.key(0), x)['params']
  direction = np.asarray(params['kernel'], np.float64)
  norms = np.array([np.sqrt((direction[..., c] ** 2).sum()) for c in range(4)])
  np.testing.assert_allclose(params['scale'], norms, rtol=1e-6)
  scale = rng.normal(size=4).astype(np.float32)
  kernel = np.float32(direction / norms * scale)
  # Of the kernel, only the direction counts.
  got = layer.apply(
    {'params': {**params, 'kernel': 3 * params['kernel'], 'scale': scale}}, x
  )
  expected = plain.apply({'params': {'kernel': kernel, 'bias': params['bias']}}, x)
  np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
