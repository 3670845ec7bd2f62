"""Separable and weight-standardised convolutions against plain numpy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from convscan.architectures.layers import Conv, ConvNormAct, SeparableConv
from convscan.architectures.ops import standardise_kernel


def test_a_separable_convolution_is_one_of_products_of_kernels():
  x = jax.random.normal(jax.random.key(0), (2, 7, 6, 3))
  how = {'strides': (2, 1), 'padding': 1, 'dilation': (1, 2)}
  layer = SeparableConv(5, (3, 2), depth_multiplier=2, **how)
  y, variables = layer.init_with_output(jax.random.key(1), x)
  params = variables['params']
  assert jax.tree.map(jnp.shape, params) == {
    'depthwise': {'kernel': (3, 2, 1, 6)},
    'pointwise': {'kernel': (1, 1, 6, 5), 'bias': (5,)},
  }
  space = np.float64(params['depthwise']['kernel']).reshape(3, 2, 3, 2)
  mix = np.float64(params['pointwise']['kernel']).reshape(3, 2, 5)
  kernel = np.einsum('hwim,imo->hwio', space, mix)
  bias = params['pointwise']['bias']
  full = Conv(5, (3, 2), **how)
  want = full.apply({'params': {'kernel': jnp.float32(kernel), 'bias': bias}}, x)
  np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5)


def test_a_separable_convolution_takes_another_convolution():
  conv = partial(Conv, padding_mode='reflect', dtype=jnp.bfloat16)
  layer = SeparableConv(4, (3,), padding=1, use_bias=False, conv=conv)
  x = jnp.ones((1, 5, 2))
  y, variables = layer.init_with_output(jax.random.key(0), x)
  assert y.dtype == jnp.bfloat16
  assert (y == y[:, :1]).all()  # no zeros at the ends
  assert list(variables['params']['pointwise']) == ['kernel']


def test_standardised_kernels():
  kernel = np.random.default_rng(0).normal(3, 2, size=(3, 3, 4, 6))
  rows = kernel.reshape(-1, 6)
  want = (rows - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-3)
  got = standardise_kernel(jnp.float32(kernel), 1e-3)
  np.testing.assert_allclose(got.reshape(-1, 6), want, rtol=1e-4, atol=1e-5)
  assert standardise_kernel(jnp.ones((1, 1, 2, 2), jnp.bfloat16)).dtype == jnp.bfloat16


def test_a_standardised_convolution_does_not_see_its_kernels_mean_and_scale():
  conv = partial(Conv, kernel_transform=standardise_kernel)
  layer = ConvNormAct(4, (3, 3), conv=conv, act=None, use_bias=False)
  x = jax.random.normal(jax.random.key(0), (1, 5, 5, 3))
  y, variables = layer.init_with_output(jax.random.key(1), x)
  moved = jax.tree.map(lambda kernel: 5 * kernel + 1, variables)
  np.testing.assert_allclose(layer.apply(moved, x), y, rtol=1e-3, atol=1e-3)
  assert (
    abs(
      y
      - Conv(4, (3, 3)).apply(
        {'params': variables['params']['conv'] | {'bias': jnp.zeros(4)}}, x
      )
    ).max()
    > 0.1
  )
