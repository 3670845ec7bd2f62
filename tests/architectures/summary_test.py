"""Summaries against counts by hand."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from jax import lax

from convscan.architectures import build, summary
from convscan.architectures.layers import Conv, ConvTranspose


class Model(nn.Module):
  """Calls `body(x)`, whose submodules become this module's."""

  body: Callable[[jax.Array], jax.Array]

  @nn.compact
  def __call__(self, x, *, train):
    return self.body(x)


def macs(body, shape):
  return summary(Model(body), shape).macs


def rows(s):
  return {r.path: (r.type, r.output_shape, r.num_params, r.macs) for r in s.rows}


def test_rows_of_nested_layers():
  class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
      x = Conv(8, (3, 3), strides=2, padding=1, groups=2, name='conv')(x)
      scale = self.param('scale', nn.initializers.ones, (8,))
      return x * scale.reshape(1, 1, 1, 8)

  s = summary(Model(lambda x: nn.Dense(5)(Block(name='block')(x))), (3, 7, 7, 4))
  assert rows(s) == {
    'block': ('Block', (3, 4, 4, 8), 8, 0),
    'block/conv': ('Conv', (3, 4, 4, 8), 3 * 3 * 2 * 8 + 8, 4 * 4 * 8 * 3 * 3 * 2),
    'Dense_0': ('Dense', (3, 4, 4, 5), 8 * 5 + 5, 4 * 4 * 8 * 5),
  }
  assert s.num_params == 8 + 152 + 45
  assert s.macs == 2304 + 640


@pytest.mark.parametrize('batch', [1, 3])
def test_macs_are_of_one_example(batch):
  assert summary(build('lenet5'), (batch, 32, 32, 1)).macs == 416_520


def test_convolutions_of_other_layouts_and_ranks():
  for ndim in (1, 2, 3):
    body = Conv(4, (3,) * ndim, use_bias=False)
    assert macs(body, (2, *(5,) * ndim, 2)) == 3**ndim * 4 * 3**ndim * 2

  def channels_first(x):
    return lax.conv(x, jnp.ones((7, 2, 3, 3)), (1, 1), 'VALID')

  assert macs(channels_first, (2, 2, 5, 5)) == 3 * 3 * 7 * 3 * 3 * 2


def test_batched_products():
  # Attention's scores: batch and heads are not summed over, and multiply once.
  assert (
    macs(lambda x: jnp.einsum('bqhd,bkhd->bhqk', x, x), (2, 5, 3, 4)) == 5 * 5 * 3 * 4
  )


def test_a_scan_counts_its_steps_and_owns_its_cell():
  s = summary(Model(nn.RNN(nn.SimpleCell(4), name='rnn')), (2, 6, 3))
  assert s.num_params == 3 * 4 + 4 * 4 + 4
  assert s.macs == 6 * (3 * 4 + 4 * 4)
  assert rows(s)['body/cell/i'] == ('Dense', (2, 4), 3 * 4 + 4, 6 * 3 * 4)


def test_products_of_a_parameterless_module_have_a_row():
  class Engine(nn.Module):
    cell: nn.Module

    def __call__(self, x):
      kernel = self.cell.weights()

      @jax.custom_jvp
      def run(kernel, x):
        return lax.scan(lambda h, x: (h @ kernel + x,) * 2, x[0], x)[1]

      run.defjvps(None, None)
      return run(kernel, jnp.swapaxes(x, 0, 1))

  class Cell(nn.Module):
    @nn.compact
    def weights(self):
      return self.param('kernel', nn.initializers.ones, (4, 4))

  s = summary(Model(Engine(Cell())), (2, 5, 4))
  assert rows(s) == {
    'body': ('Engine', (5, 2, 4), 0, 5 * 4 * 4),
    'body/cell': ('Cell', None, 16, 0),
  }


def product(x):
  return x @ jnp.ones((3, 3))


@pytest.mark.parametrize(
  ('body', 'times'),
  [
    (jax.jit(product), 1),
    (jax.checkpoint(product), 1),
    (jax.vmap(product), 1),
    (lambda x: lax.fori_loop(0, 4, lambda i, x: jax.jit(product)(x), x), 4),
    # The costliest branch, whichever place it has.
    (lambda x: lax.cond(x.sum() > 0, lambda x: product(product(x)), product, x), 2),
    (lambda x: lax.cond(x.sum() > 0, product, lambda x: product(product(x)), x), 2),
    (lambda x: lax.while_loop(lambda x: x.sum() > 0, lambda x: x - 1, product(x)), 1),
  ],
)
def test_products_under_transformations(body, times):
  assert macs(body, (2, 5, 3)) == times * 5 * 3 * 3


def test_a_shared_layer_counts_its_parameters_once_and_its_products_twice():
  class Twice(nn.Module):
    @nn.compact
    def __call__(self, x):
      dense = nn.Dense(3, use_bias=False)
      return dense(dense(x))

  s = summary(Model(Twice()), (1, 3))
  assert (s.num_params, s.macs) == (9, 18)


def test_parameters_in_a_dict_belong_to_their_module():
  class Gates(nn.Module):
    @nn.compact
    def __call__(self, x):
      gates = self.param('gates', lambda _: {'i': jnp.ones((3, 2)), 'o': jnp.ones(4)})
      return x @ gates['i']

  assert rows(summary(Model(Gates()), (1, 3)))['body'] == ('Gates', (1, 2), 10, 6)


def test_a_remat_module_keeps_its_path():
  body = nn.remat(nn.Dense)(4, name='dense')
  ((path, (_, *numbers)),) = rows(summary(Model(body), (1, 3))).items()
  assert (path, numbers) == ('body', [(1, 4), 16, 12])


def test_tokens():
  s = summary(Model(nn.Embed(11, 4)), (2, 7), 'int32')
  assert rows(s) == {'body': ('Embed', (2, 7, 4), 44, 0)}


@pytest.mark.parametrize('strides', [1, 2])
def test_transposed_convolutions_multiply_what_is_there(strides):
  # 5 entries of 4 channels, each times a kernel of 3 taps and 6 channels.
  layer = ConvTranspose(6, (3,), strides=strides, groups=2, padding=1)
  assert macs(layer, (2, 5, 4)) == 5 * 4 * 3 * 6 // 2


def test_nothing_is_computed():
  # 2^40 parameters would not fit.
  assert summary(Model(nn.Dense(2**20, use_bias=False)), (1, 2**20)).macs == 2**40


def test_the_table_is_aligned():
  lines = str(summary(build('lenet5'), (1, 32, 32, 1))).split('\n')
  assert {len(line) for line in lines} == {len(lines[0])}
  assert lines[0].split() == ['layer', 'type', 'output', 'parameters', 'MACs']
  assert lines[-1].split() == ['total', '61,706', '416,520']


def test_errors():
  def unbounded(x):
    return lax.while_loop(lambda x: x.sum() > 0, lambda x: x @ jnp.ones((3, 3)), x)

  with pytest.raises(ValueError, match="while in module '': cannot count its MACs"):
    summary(Model(unbounded), (1, 3))
  with pytest.raises(ValueError, match=r'input_shape \(0, 3\): expected a batch'):
    summary(Model(nn.Dense(1)), (0, 3))
