"""Transposed convolution against the plain transpose of a convolution's matrix."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from convscan.architectures.layers import ConvTranspose
from convscan.architectures.ops import conv, conv_transpose

CASES = {
  # output sizes, window, strides, padding, dilation, groups
  '1d': ((9,), (4,), (3,), [(2, 0)], (1,), 1),
  '2d-even': ((8, 6), (3, 3), (2, 2), [(1, 1), (1, 1)], (1, 1), 2),
  '2d-odd': ((7, 5), (3, 2), (2, 1), [(1, 1), (0, 3)], (1, 2), 4),
  '3d': ((4, 5, 3), (2, 3, 1), (1, 2, 2), [(0, 1), (1, 1), (0, 0)], (2, 1, 1), 1),
}


@pytest.mark.parametrize('case', CASES)
def test_it_is_the_transpose_of_a_convolution(case):
  out_sizes, window, strides, padding, dilation, groups = CASES[case]
  how = {'strides': strides, 'padding': padding, 'dilation': dilation, 'groups': groups}
  rng = np.random.default_rng(0)
  kernel = jnp.asarray(rng.normal(size=(*window, 8 // groups, 4)), jnp.float32)
  forward = functools.partial(conv, kernel=kernel, **how)
  matrix = np.float64(jax.jacobian(forward)(jnp.ones((1, *out_sizes, 8))))
  x = rng.normal(size=(1, *matrix.shape[1 : len(window) + 1], 4))
  rows = [
    (size + low + high - d * (k - 1) - 1) % s
    for size, (low, high), d, k, s in zip(
      out_sizes, padding, dilation, window, strides, strict=True
    )
  ]
  y = conv_transpose(jnp.float32(x), kernel, output_padding=rows, **how)
  want = np.tensordot(x, matrix, x.ndim)
  assert y.shape == want.shape
  np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-4)


def test_every_kind_of_derivative():
  rng = np.random.default_rng(0)
  x, kernel = rng.normal(size=(1, 3, 2, 4)), rng.normal(size=(3, 2, 2, 4))
  args = jnp.float32(x), jnp.float32(kernel)
  run = functools.partial(conv_transpose, strides=2, padding=1, groups=2)
  check_grads(run, args, order=2, rtol=2e-2, atol=2e-2)


def test_layer_and_dtypes():
  x = jnp.ones((2, 4, 3), jnp.bfloat16)
  layer = ConvTranspose(6, (3,), strides=2, groups=3, dtype=jnp.bfloat16)
  y, variables = layer.init_with_output(jax.random.key(0), x)
  assert (y.shape, y.dtype) == ((2, 9, 6), jnp.bfloat16)
  params = variables['params']
  assert jax.tree.map(jnp.shape, params) == {'kernel': (3, 2, 3), 'bias': (6,)}
  assert {p.dtype for p in params.values()} == {jnp.dtype('float32')}
  y = layer.apply({'params': params | {'bias': jnp.arange(6.0)}}, 0 * x)
  np.testing.assert_array_equal(y[0, 0], jnp.arange(6.0))


@pytest.mark.parametrize(
  ('x_shape', 'kernel_shape', 'kwargs', 'message'),
  [
    ((1, 5, 5, 2), (2, 4), {}, r'kernel with shape \(2, 4\): expected 1 to 3 spatial'),
    ((5, 5, 2), (3, 3, 4, 2), {}, r'x with shape \(5, 5, 2\): expected \[batch, 2 sp'),
    ((1, 5, 3), (3, 4, 2), {}, r'x with shape \(1, 5, 3\): .* 2 channels\]'),
    ((1, 5, 2), (3, 4, 2), {'groups': 4}, 'groups 4: expected a divisor of the 2'),
    ((1, 5, 2), (3, 4, 2), {'strides': 0}, 'strides 0: expected a positive int'),
    ((1, 5, 2), (3, 4, 2), {'padding': 'SAME'}, "padding 'SAME': expected an int"),
    ((1, 1, 2), (3, 4, 2), {'padding': 2}, r'padding 2: expected to leave .* \(-1,\)'),
    (
      (1, 5, 2),
      (3, 4, 2),
      {'output_padding': 1},
      'output_padding 1: .* less than strid',
    ),
    (
      (1, 5, 2),
      (3, 4, 2),
      {'strides': 2, 'output_padding': [(1, 1)]},
      r'output_padding \[\(1, 1\)\]: expected an int >= 0, or 1 of them, less',
    ),
    ((1, 5, 2), (3, 4, 2), {'output_padding': (0, 0)}, r'output_padding \(0, 0\): exp'),
  ],
)
def test_errors(x_shape, kernel_shape, kwargs, message):
  with pytest.raises(ValueError, match=message):
    conv_transpose(jnp.ones(x_shape), jnp.ones(kernel_shape), **kwargs)


@pytest.mark.parametrize(
  ('layer', 'message'),
  [
    (ConvTranspose(4, 3), 'kernel_size 3: expected an int for each spatial dimension'),
    (ConvTranspose(4, (3,), groups=3), 'groups 3: expected a divisor of the 4 feature'),
  ],
)
def test_layer_errors(layer, message):
  with pytest.raises(ValueError, match=message):
    layer.init(jax.random.key(0), jnp.ones((1, 5, 3)))
