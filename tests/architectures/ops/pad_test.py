"""Padding against numpy's, and convolutions over what it makes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.layers import Conv
from convscan.architectures.ops import conv, max_pool, pad

NUMPY = {
  'zeros': 'constant',
  'reflect': 'reflect',
  'replicate': 'edge',
  'circular': 'wrap',
}


@pytest.mark.parametrize('mode', NUMPY)
def test_pad_is_numpys(mode):
  x = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype(np.float32)
  y = pad(jnp.asarray(x), [3, (0, 2)], mode)
  np.testing.assert_array_equal(
    y, np.pad(x, [(0, 0), (3, 3), (0, 2), (0, 0)], NUMPY[mode])
  )
  assert pad(jnp.asarray(x, jnp.bfloat16), 1, mode).dtype == jnp.bfloat16


@pytest.mark.parametrize(
  ('sizes', 'padding', 'mode', 'message'),
  [
    ((3,), 3, 'reflect', r"padding 3: got more than 'reflect' can take .* \(3,\)"),
    ((3,), 4, 'circular', r"padding 4: got more than 'circular' can take"),
    ((0,), 1, 'replicate', r"padding 1: got more than 'replicate' can take"),
    ((3,), 1, 'mirror', "padding_mode 'mirror': expected one of zeros, reflect, rep"),
    ((3,), 'SAME', 'zeros', "padding 'SAME': expected an int >= 0, or 1 entries"),
    ((3, 3), (1, -1), 'zeros', r'padding \(1, -1\): expected'),
  ],
)
def test_errors(sizes, padding, mode, message):
  with pytest.raises(ValueError, match=message):
    pad(jnp.ones((1, *sizes, 2)), padding, mode)


@pytest.mark.parametrize('mode', list(NUMPY)[1:])
def test_the_layer_pads_by_its_mode(mode):
  x = np.random.default_rng(0).normal(size=(1, 6, 5, 2)).astype(np.float32)
  how = {'strides': (2, 1), 'dilation': (1, 2)}
  layer = Conv(3, (3, 3), padding='SAME', padding_mode=mode, **how)
  y, variables = layer.init_with_output(jax.random.key(0), jnp.asarray(x))
  padded = np.pad(x, [(0, 0), (0, 1), (2, 2), (0, 0)], NUMPY[mode])
  want = conv(jnp.asarray(padded), variables['params']['kernel'], **how)
  np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-6)
  assert y.shape == (1, 3, 5, 3)


@pytest.mark.parametrize('mode', ['zeros', 'replicate'])
def test_a_causal_convolution_sees_the_past_alone(mode):
  layer = Conv(1, (3,), padding='CAUSAL', dilation=2, padding_mode=mode)
  x = jax.random.normal(jax.random.key(0), (1, 9, 1))
  variables = layer.init(jax.random.key(1), x)
  jacobian = jax.jacobian(lambda x: layer.apply(variables, x).ravel())(x)
  seen = np.asarray(jacobian).reshape(9, 9) != 0
  lag = np.subtract.outer(np.arange(9), np.arange(9))
  expected = np.isin(lag, [0, 2, 4])
  if mode == 'replicate':
    expected[:4, 0] = True
  np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize('ceil_mode', [False, True])
def test_a_causal_pool_sees_the_past_alone(ceil_mode):
  x = jnp.array([0.0, 3, 1, 0, 2, 0]).reshape(1, 6, 1)
  y = max_pool(x, (3,), strides=2, padding='CAUSAL', ceil_mode=ceil_mode)
  assert y.ravel().tolist() == [0, 3, 2] + [2] * ceil_mode


def test_only_one_dimension_is_causal():
  with pytest.raises(
    ValueError, match="padding 'CAUSAL': expected 'SAME', 'VALID', 'C"
  ):
    conv(jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 2, 4)), padding='CAUSAL')
