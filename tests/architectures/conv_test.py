"""Convolution against a plain loop in float64."""

import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.layers import Conv
from convscan.architectures.ops import conv


def loop_conv(x, kernel, strides, pads, dilation, groups, g=None):
  """Convolves tap by tap; with the output's cotangent, also both gradients."""
  *window, in_channels, out_channels = kernel.shape
  out_channels //= groups
  padded = np.pad(x, [(0, 0), *pads, (0, 0)])
  sizes = [
    (size - (k - 1) * d - 1) // s + 1
    for size, k, s, d in zip(padded.shape[1:-1], window, strides, dilation, strict=True)
  ]
  y = np.zeros((len(x), *sizes, groups * out_channels))
  dpadded, dkernel = np.zeros_like(padded), np.zeros_like(kernel)
  for group in range(groups):
    ins = slice(group * in_channels, (group + 1) * in_channels)
    outs = slice(group * out_channels, (group + 1) * out_channels)
    for out in np.ndindex(*sizes):
      for tap in np.ndindex(*window):
        at = tuple(
          o * s + t * d for o, s, t, d in zip(out, strides, tap, dilation, strict=True)
        )
        target = (slice(None), *out, outs)
        source = (slice(None), *at, ins)
        weights = (*tap, slice(None), outs)
        y[target] += padded[source] @ kernel[weights]
        if g is not None:
          dpadded[source] += g[target] @ kernel[weights].T
          dkernel[weights] += padded[source].T @ g[target]
  inside = tuple(
    slice(lo, lo + size) for (lo, _), size in zip(pads, x.shape[1:-1], strict=True)
  )
  return y, dpadded[:, *inside], dkernel


CASES = {
  # sizes, window, strides, pads, dilation, groups
  '1d': ((8,), (3,), (1,), [(0, 0)], (1,), 1),
  '1d-causal': ((7,), (3,), (1,), [(4, 0)], (2,), 1),
  '2d-even': ((8, 8), (3, 3), (2, 2), [(1, 1), (1, 1)], (1, 1), 1),
  '2d-odd': ((7, 7), (3, 3), (2, 2), [(1, 1), (1, 1)], (1, 1), 1),
  '2d-uneven': ((9, 6), (4, 1), (3, 2), [(2, 1), (0, 3)], (2, 1), 2),
  '2d-depthwise': ((5, 6), (3, 2), (1, 2), [(1, 1), (0, 0)], (1, 3), 4),
  '1d-pointwise': ((8,), (1,), (1,), [(0, 0)], (1,), 1),
  '2d-pointwise': ((7, 6), (1, 1), (2, 1), [(1, 0), (0, 2)], (1, 1), 1),
  '2d-pointwise-groups': ((7, 6), (1, 1), (2, 1), [(0, 0), (0, 0)], (1, 1), 2),
  '3d-depthwise': (
    (4, 3, 3),
    (2, 1, 3),
    (2, 1, 1),
    [(1, 0), (0, 0), (1, 1)],
    (1, 1, 1),
    4,
  ),
  # Enough channels for minimal filtering; then a kernel larger than what it sees.
  '2d-minimal': ((7, 8), (3, 3), (1, 1), [(1, 0), (2, 1)], (1, 1), 1, 64, 72),
  '2d-few-rows': ((2, 3), (3, 3), (2, 1), [(1, 1), (1, 0)], (1, 1), 1, 16, 24),
  '3d': ((4, 5, 6), (2, 3, 1), (1, 2, 3), [(0, 1), (1, 1), (0, 0)], (2, 1, 1), 2),
}


@pytest.mark.parametrize('case', CASES)
def test_conv_and_its_gradients_equal_a_plain_loop(case):
  sizes, window, strides, pads, dilation, groups, *channels = CASES[case]
  ins, outs = channels or (4, 8)
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, *sizes, ins))
  kernel = rng.normal(size=(*window, ins // groups, outs)) / np.sqrt(ins / 4)

  def run(x, kernel):
    return conv(
      x, kernel, strides=strides, padding=pads, dilation=dilation, groups=groups
    )

  y, vjp = jax.vjp(run, jnp.float32(x), jnp.float32(kernel))
  g = rng.normal(size=y.shape)
  expected = loop_conv(x, kernel, strides, pads, dilation, groups, g)
  for got, want in zip((y, *vjp(jnp.float32(g))), expected, strict=True):
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
  ('window', 'groups', 'strides', 'size', 'channels'),
  [
    *(
      (window, groups, (2, 1), (5, 6), (4, 8))
      for window in (1, 3)
      for groups in (1, 2, 4)
    ),
    (3, 1, (1, 1), (6, 7), (64, 64)),  # by minimal filtering
    (3, 1, (2, 1), (2, 3), (16, 24)),  # a kernel larger than what it sees
  ],
)
def test_every_kind_of_derivative(window, groups, strides, size, channels):
  ins, outs = channels
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(size=(2, *size, ins)), jnp.float32)
  kernel = rng.normal(size=(window, window, ins // groups, outs)) / np.sqrt(ins / 4)
  kernel = jnp.asarray(kernel, jnp.float32)

  def native(x, kernel):
    return jax.lax.conv_general_dilated(
      x, kernel, strides, [(1, 1), (1, 1)], feature_group_count=groups,
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )  # fmt: skip

  def everything(run, x, kernel):
    def loss(args):
      return jnp.sum(jnp.sin(run(*args)))

    args = x, kernel
    dots = jax.tree.map(jnp.cos, args)
    gradient = jax.grad(loss)
    return (
      jax.jvp(run, args, dots),
      jax.jvp(lambda x: run(x, kernel), (x,), (dots[0],)),
      jax.jvp(lambda kernel: run(x, kernel), (kernel,), (dots[1],)),
      jax.jvp(gradient, (args,), (dots,)),
      jax.grad(lambda args: sum(map(jnp.vdot, gradient(args), dots)))(args),
      jax.vmap(run)(jnp.stack([x, dots[0]]), jnp.stack([kernel, dots[1]])),
    )

  ours = functools.partial(conv, strides=strides, padding=1, groups=groups)
  got, want = (
    jax.jit(functools.partial(everything, run))(x, kernel) for run in (ours, native)
  )

  def close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())

  jax.tree.map(close, got, want)


@pytest.mark.parametrize('groups', [1, 4])
def test_only_cpus_convolve_tap_by_tap(groups):
  x, kernel = (
    jnp.ones((2, 5, 5, 4)),
    jnp.ones((1 + groups // 2,) * 2 + (4 // groups, 4)),
  )

  def gradient(x, kernel):
    return jax.grad(lambda w: jnp.sum(conv(x, w, groups=groups) ** 2))(kernel)

  def convolutions(platform):
    module = jax.export.export(jax.jit(gradient), platforms=[platform])(x, kernel)
    return module.mlir_module().count('stablehlo.convolution')

  assert convolutions('tpu') == convolutions('cuda') == 2
  assert convolutions('cpu') == 0


@pytest.mark.parametrize('groups', [1, 4])
def test_bfloat16_is_summed_in_float32(groups):
  x = jnp.ones((1, 20, 20, 4), jnp.bfloat16)
  # 1 + 256 - 256: of two terms bfloat16 would lose the smaller.
  kernel = (
    jnp.zeros((3, 1, 4 // groups, 4))
    .at[:, 0, 0]
    .set(jnp.array([1.0, 256.0, -256.0])[:, None])
  )
  y = conv(x, kernel.astype(jnp.bfloat16), groups=groups)
  assert y.dtype == jnp.bfloat16
  np.testing.assert_array_equal(y.astype(jnp.float32), 1)


@pytest.mark.parametrize('size', [7, 8])
@pytest.mark.parametrize(
  ('padding', 'pads'),
  [
    (1, {7: [(1, 1), (1, 1)], 8: [(1, 1), (1, 1)]}),
    ((0, 2), {7: [(0, 0), (2, 2)], 8: [(0, 0), (2, 2)]}),
    ([1, (0, 2)], {7: [(1, 1), (0, 2)], 8: [(1, 1), (0, 2)]}),
    ('VALID', {7: [(0, 0), (0, 0)], 8: [(0, 0), (0, 0)]}),
    # The reason for explicit padding: at stride 2, 'SAME' is 1 only for odd sizes.
    ('SAME', {7: [(1, 1), (1, 1)], 8: [(0, 1), (0, 1)]}),
  ],
)
def test_every_form_of_padding(padding, pads, size):
  rng = np.random.default_rng(0)
  x, kernel = rng.normal(size=(1, size, size, 2)), rng.normal(size=(3, 3, 2, 3))
  y = conv(jnp.float32(x), jnp.float32(kernel), strides=2, padding=padding)
  want, _, _ = loop_conv(x, kernel, (2, 2), pads[size], (1, 1), 1)
  np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-4)


def test_dtypes_promote():
  x, kernel = jnp.ones((1, 4, 2), jnp.bfloat16), jnp.ones((3, 2, 2), jnp.bfloat16)
  assert conv(x, kernel).dtype == jnp.bfloat16
  assert conv(x, kernel.astype(jnp.float32)).dtype == jnp.float32
  assert conv(x.astype(jnp.uint8), kernel.astype(jnp.float32)).dtype == jnp.float32


@pytest.mark.parametrize(
  ('x_shape', 'kernel_shape', 'kwargs', 'message'),
  [
    ((1, 5, 5, 2), (2, 4), {}, r'kernel with shape \(2, 4\): expected 1 to 3 spatial'),
    ((5, 5, 2), (3, 3, 2, 4), {}, r'x with shape \(5, 5, 2\): expected \[batch, 2'),
    ((1, 5, 5, 3), (3, 3, 2, 4), {}, "x with 3 channels: expected 2, the kernel's 2"),
    ((1, 5, 5, 6), (3, 3, 2, 4), {'groups': 3}, 'groups 3: expected a divisor of .* 4'),
    ((1, 5, 5, 2), (3, 3, 2, 4), {'groups': 0}, 'groups 0: expected a divisor'),
    ((1, 5, 5, 2), (3, 3, 2, 4), {'strides': 0}, 'strides 0: expected a positive int'),
    ((1, 5, 5, 2), (3, 3, 2, 4), {'dilation': (1,)}, r'dilation \(1,\): .* 2 of them'),
    ((1, 5, 5, 2), (3, 3, 2, 4), {'padding': -1}, 'padding -1: expected'),
    (
      (1, 5, 5, 2),
      (3, 3, 2, 4),
      {'padding': 'same'},
      "padding 'same': expected 'SAME'",
    ),
    ((1, 5, 5, 2), (3, 3, 2, 4), {'padding': (1, 1, 1)}, r'padding \(1, 1, 1\)'),
    (
      (1, 5, 5, 2),
      (3, 3, 2, 4),
      {'padding': (1, (1, 1, 1))},
      r'padding \(1, \(1, 1, 1',
    ),
    ((1, 2, 5, 2), (3, 3, 2, 4), {}, r'x with spatial shape \(2, 5\) .* \(3, 3\)'),
    ((1, 4, 4, 2), (3, 3, 2, 4), {'dilation': 2}, r'covers, \(5, 5\)'),
  ],
)
def test_conv_errors(x_shape, kernel_shape, kwargs, message):
  with pytest.raises(ValueError, match=message):
    conv(jnp.ones(x_shape), jnp.ones(kernel_shape), **kwargs)


def test_layer_is_the_op_with_its_parameters():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 7, 8, 4))
  layer = Conv(
    6,
    (3, 2),
    strides=(2, 1),
    padding=(1, 0),
    dilation=(1, 2),
    groups=2,
    bias_init=jax.nn.initializers.normal(),
  )
  y, variables = layer.init_with_output(jax.random.key(0), jnp.float32(x))
  params = variables['params']
  assert jax.tree.map(jnp.shape, params) == {'kernel': (3, 2, 2, 6), 'bias': (6,)}
  kernel = np.float64(params['kernel'])
  want, _, _ = loop_conv(x, kernel, (2, 1), [(1, 1), (0, 0)], (1, 2), 2)
  want += np.float64(params['bias'])
  np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('window', [(3,), (3, 3), (3, 3, 3)])
def test_layer_takes_its_rank_from_the_kernel_size(window):
  x = jnp.ones((2, *(5 for _ in window), 3))
  y, variables = Conv(4, window, use_bias=False).init_with_output(jax.random.key(0), x)
  assert y.shape == (2, *(3 for _ in window), 4)
  assert list(variables['params']) == ['kernel']


def test_layer_dtypes():
  x = jnp.ones((1, 5, 3), jnp.bfloat16)
  y, variables = Conv(4, (3,)).init_with_output(jax.random.key(0), x)
  assert y.dtype == jnp.float32  # the parameters'
  y, variables = Conv(4, (3,), dtype=jnp.bfloat16).init_with_output(
    jax.random.key(0), x.astype(jnp.float32)
  )
  assert y.dtype == jnp.bfloat16
  assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
  variables = Conv(4, (3,), param_dtype=jnp.bfloat16).init(jax.random.key(0), x)
  assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype('bfloat16')}


@pytest.mark.parametrize(
  ('layer', 'message'),
  [
    (Conv(4, 3), 'kernel_size 3: expected an int for each spatial dimension'),
    (Conv(4, (3, 3), groups=2), 'groups 2: expected a divisor of the 3 input channels'),
    (Conv(4, (3,)), r'x with shape \(1, 5, 5, 3\): expected \[batch, 1 spatial'),
  ],
)
def test_layer_errors(layer, message):
  with pytest.raises(ValueError, match=message):
    layer.init(jax.random.key(0), jnp.ones((1, 5, 5, 3)))
