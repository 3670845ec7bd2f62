"""What is read from programs: of products XLA's own count, the rest by hand."""

import functools
import math

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P
from rehearsing import needs_libtpu

from convscan.train.hlo import read_program
from convscan.train.products import convolution_flops

ROUNDS = 5


def _compiled(function, *shapes):
  arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
  return jax.jit(function).lower(*arguments).compile()


def _repeated(product, *shapes):
  """Returns what is read for a loop with a product of new inputs in each round."""

  def loop(inputs, kernel):
    def body(x, _):
      return x + 1.0, product(x, kernel)

    return jax.lax.scan(body, inputs, None, length=ROUNDS)[1]

  program = read_program(_compiled(loop, *shapes).as_text())
  assert program.product_loops == (ROUNDS,)
  return program.repeated


def _convolution(letters, stride, padding, **settings):
  return functools.partial(
    jax.lax.conv_general_dilated,
    window_strides=stride,
    padding=padding,
    dimension_numbers=(f'N{letters}C', f'{letters}IO', f'N{letters}C'),
    **settings,
  )


@pytest.mark.parametrize(
  ('product', 'inputs', 'kernel'),
  [
    (_convolution('HW', (1, 1), 'SAME'), (2, 9, 7, 3), (3, 3, 3, 4)),
    (_convolution('HW', (2, 1), [(3, 1), (0, 2)]), (2, 9, 7, 3), (5, 2, 3, 4)),
    (
      _convolution('HW', (1, 2), 'SAME', rhs_dilation=(2, 3)),
      (2, 9, 13, 3), (3, 3, 3, 4),
    ),
    (
      _convolution('HW', (1, 1), [(2, 2), (1, 2)], lhs_dilation=(2, 3)),
      (2, 5, 4, 3), (3, 3, 3, 4),
    ),
    (
      _convolution('HW', (1, 1), 'SAME', feature_group_count=4),
      (2, 9, 7, 8), (3, 3, 2, 12),
    ),
    (_convolution('W', (3,), 'SAME'), (2, 20, 5), (4, 5, 6)),
    (_convolution('DHW', (1, 2, 1), 'SAME'), (1, 4, 5, 6, 2), (2, 3, 3, 2, 3)),
    (jnp.matmul, (24, 40), (40, 56)),
    (functools.partial(jnp.einsum, 'bij,bkj->bik'), (3, 24, 40), (3, 56, 40)),
    (functools.partial(jnp.einsum, 'ijk,kjl->il'), (24, 5, 8), (8, 5, 56)),
  ],
)  # fmt: skip
def test_a_loop_repeats_what_xla_counts_of_one_round(product, inputs, kernel):
  alone = _compiled(product, inputs, kernel).cost_analysis()['flops']
  assert _repeated(product, inputs, kernel) == (ROUNDS - 1) * alone


def test_loops_in_loops_are_multiplied():
  def loop(x, kernel):
    def outer(x, _):
      y, _ = jax.lax.scan(inner, x @ kernel, None, length=7)
      return y, None

    def inner(x, _):
      return jnp.tanh(x @ kernel), None

    return jax.lax.scan(outer, x, None, length=3)[0]

  program = read_program(_compiled(loop, (4, 16), (16, 16)).as_text())
  assert sorted(program.product_loops) == [3, 7]
  products = 3 + 3 * 7  # of which XLA counts one in each body
  assert program.repeated == (products - 2) * 2 * 4 * 16 * 16


def test_a_loop_of_unknown_length_leaves_the_flops_unknown():
  def loop(x, kernel):
    return jax.lax.while_loop(lambda x: x[0, 0] < 1, lambda x: x @ kernel, x)

  program = read_program(_compiled(loop, (4, 16), (16, 16)).as_text())
  assert program.product_loops == (None,)
  assert math.isnan(program.repeated)


def test_the_condition_of_a_loop_counts_too():
  def loop(x, kernel):
    return jax.lax.while_loop(lambda x: (x @ kernel).sum() < 1, lambda x: x + 1, x)

  program = read_program(_compiled(loop, (4, 16), (16, 16)).as_text())
  assert program.product_loops == (None,)
  assert math.isnan(program.repeated)


def test_a_loop_of_unknown_length_without_products_hides_none():
  def loop(x, kernel):
    x = jax.lax.while_loop(lambda x: x[0, 0] < 1, lambda x: x + 1, x)
    return jax.lax.scan(lambda x, _: (x @ kernel, None), x, None, length=3)[0]

  program = read_program(_compiled(loop, (4, 16), (16, 16)).as_text())
  assert None in program.loops
  assert program.product_loops == (3,)
  assert program.repeated == 2 * 2 * 4 * 16 * 16


def test_of_alternatives_the_flops_are_the_most_of_each():
  def branch(rounds):
    def loop(x, kernel):
      return jax.lax.scan(lambda x, _: (x @ kernel, None), x, None, length=rounds)[0]

    return loop

  def either(x, kernel):
    return jax.lax.cond(x[0, 0] > 0, branch(7), lambda x, k: (x @ k) @ k, x, kernel)

  compiled = _compiled(either, (4, 16), (16, 16))
  one = 2 * 4 * 16 * 16
  # XLA has the two products of the one; the seven of the other are the most.
  assert 2 * one <= compiled.cost_analysis()['flops'] < 3 * one
  assert read_program(compiled.as_text()).repeated == 5 * one


@needs_libtpu
@pytest.mark.parametrize('unroll', [1, 2])
def test_a_tpus_loops_and_batches_of_products(unroll, tpu):
  def product(x, kernel):
    return jnp.einsum('bij,bjk->bik', x, kernel)

  def loop(x, kernel):
    def body(x, _):
      return jnp.tanh(product(x, kernel)), None

    return jax.lax.scan(body, x, None, length=ROUNDS, unroll=unroll)[0]

  def compiled(function):
    shape = jax.ShapeDtypeStruct((3, 32, 32), jnp.float32, sharding=tpu)
    return jax.jit(function).lower(shape, shape).compile()

  alone = compiled(product).cost_analysis()['flops']
  whole = compiled(loop)
  counted = whole.cost_analysis()['flops'] + read_program(whole.as_text()).repeated
  # Besides, tanh.
  assert ROUNDS * alone <= counted < 1.1 * ROUNDS * alone


def test_groups_of_a_batch_share_its_products():
  # Each of 4 output features is of 2 of the 4 examples, with a kernel of 3x3 that fits
  # in 7x5 places, of 3 features. In a loop XLA for CPUs writes it as another.
  attributes = 'window={size=3x3}, dim_labels=b01f_01io->b01f, batch_group_count=2'
  multiplied = convolution_flops((2, 7, 5, 4), (4, 9, 7, 3), (3, 3, 3, 4), attributes)
  assert multiplied == 2 * (7 * 5) * (3 * 3) * 3 * 4 * 2


# What is sent.


def test_collectives_of_a_program_reckoned_by_hand():
  mesh = jax.make_mesh((8,), ('x',), axis_types=(jax.sharding.AxisType.Auto,))
  shift = [(i, (i + 1) % 8) for i in range(8)]

  def program(x):  # float32 [16, 8] on each device, 512 bytes
    def body(c, _):
      return jax.lax.psum(c, 'x') * 0.5, jax.lax.all_gather(c, 'x').sum(0)

    c, ys = jax.lax.scan(body, x, None, length=5)
    c = jax.lax.ppermute(c, 'x', shift)
    c = jax.lax.cond(
      c[0, 0] > 0,
      lambda c: jax.lax.psum(c, 'x')[:1],
      lambda c: jax.lax.psum(c[:1], 'x'),
      c,
    )
    scattered = jax.lax.psum_scatter(ys[0].reshape(-1), 'x', tiled=True)
    return c, scattered, jax.lax.all_to_all(ys[1].reshape(8, -1), 'x', 0, 0)

  split = functools.partial(jax.shard_map, mesh=mesh, check_vma=False)
  compiled = (
    jax.jit(split(program, in_specs=P('x'), out_specs=P('x')))
    .lower(jax.ShapeDtypeStruct((8 * 16, 8), jnp.float32))
    .compile()
  )
  sent = read_program(compiled.as_text())
  assert sent.counts == {
    'all-reduce': 5 + 1,  # of the two branches the larger
    'all-gather': 5,
    'collective-permute': 1,
    'reduce-scatter': 1,
    'all-to-all': 1,
  }
  assert sent.bytes == {
    'all-reduce': 5 * 512 + 512,
    'all-gather': 5 * 8 * 512,
    'collective-permute': 512,
    'reduce-scatter': 512,
    'all-to-all': 512,
  }
  assert (sent.loops, sent.product_loops) == ((5,), ())


# As libtpu writes them: one that is begun, gone on with while a product is computed,
# and done; a reduce-scatter as a fusion; a loop from 1 by 2 up to 14, so of 7 rounds;
# and one of unknown length.
_TPU = """
%begin (p.1: bf16[4,8]) -> (bf16[4,8], bf16[8,8], u32[]) {
  %p.1 = bf16[4,8]{1,0:T(8,128)(2,1)S(1)} parameter(0)
  %all-gather.1 = bf16[8,8]{1,0:T(8,128)(2,1)} all-gather(%p.1), channel_id=1
  ROOT %c.1 = (bf16[4,8]{1,0}, bf16[8,8]{1,0}, u32[]) custom-call(%all-gather.1), \
custom_call_target="AsyncCollectiveStart"
}

%async_collective_fusion.7 (p.2: bf16[4,8], q.2: f32[8,8]) -> f32[8,8] {
  %p.2 = bf16[4,8]{1,0} parameter(0)
  %q.2 = f32[8,8]{1,0} parameter(1)
  %all-gather.2 = bf16[8,8]{1,0:T(8,128)(2,1)} all-gather(%p.2), channel_id=1
  ROOT %d.2 = f32[8,8]{1,0} convolution(%q.2, %q.2), dim_labels=bf_io->bf
}

%done (p.3: bf16[4,8]) -> bf16[8,8] {
  %p.3 = bf16[4,8]{1,0} parameter(0)
  %all-gather.3 = bf16[8,8]{1,0:T(8,128)(2,1)} all-gather(%p.3), channel_id=1
  ROOT %c.3 = bf16[8,8]{1,0} custom-call(%all-gather.3), \
custom_call_target="AsyncCollectiveDone"
}

%all-reduce-scatter.2 (input: f32[8,8]) -> f32[4,8] {
  %input = f32[8,8]{1,0} parameter(0)
  %all-reduce.4 = f32[8,8]{1,0:T(8,128)} all-reduce(%input), to_apply=%add
  ROOT %s.4 = f32[4,8]{1,0} dynamic-slice(%all-reduce.4)
}

%body (p.5: (s32[], f32[8])) -> (s32[], f32[8]) {
  %p.5 = (s32[]{:T(128)}, f32[8]{0:T(128)}) parameter(0)
  %i.5 = s32[]{:T(128)} get-tuple-element(%p.5), index=0
  %two.5 = s32[]{:T(128)} constant(2)
  %n.5 = s32[]{:T(128)} add(%i.5, %two.5)
  %x.5 = f32[8]{0:T(128)} get-tuple-element(%p.5), index=1
  %y.5 = (f32[8]{0}, f32[8]{0}, u32[]{:S(2)}, u32[]{:S(2)}) \
collective-permute-start(%x.5), channel_id=5
  %z.5 = f32[8]{0} collective-permute-done(%y.5)
  %f.5 = f32[8,8]{1,0} fusion(%z.5), kind=kOutput, calls=%async_collective_fusion.7
  ROOT %t.5 = (s32[]{:T(128)}, f32[8]{0}) tuple(%n.5, %z.5)
}

%condition (p.6: (s32[], f32[8])) -> pred[] {
  %n.6 = s32[]{:T(128)} constant(14)
  %p.6 = (s32[]{:T(128)}, f32[8]{0:T(128)}) parameter(0)
  %i.6 = s32[]{:T(128)} get-tuple-element(%p.6), index=0
  ROOT %lt.6 = pred[]{:T(512)} compare(%i.6, %n.6), direction=LT
}

%unknown (p.7: (s32[], f32[8])) -> pred[] {
  %p.7 = (s32[]{:T(128)}, f32[8]{0:T(128)}) parameter(0)
  %x.7 = s32[]{:T(128)} get-tuple-element(%p.7), index=0
  ROOT %lt.7 = pred[]{:T(512)} compare(%x.7, %x.7), direction=LT
}

ENTRY %main (a: bf16[4,8], b: f32[8,8], c: f32[8]) -> f32[8,8] {
  %a = bf16[4,8]{1,0} parameter(0)
  %b = f32[8,8]{1,0} parameter(1)
  %c = f32[8]{0} parameter(2)
  %one = s32[] constant(1)
  %first = s32[]{:T(128)} copy(%one)
  %begun = (s32[], f32[8]{0}) tuple(%first, %c)
  %f.1 = (bf16[4,8], bf16[8,8], u32[]) fusion(%a), kind=kCustom, calls=%begin
  %f.2 = f32[8,8] fusion(%a, %b), kind=kOutput, calls=%async_collective_fusion.7
  %f.3 = bf16[8,8] fusion(%a), kind=kCustom, calls=%done
  %f.4 = f32[4,8] fusion(%f.2), kind=kCustom, calls=%all-reduce-scatter.2
  %w.5 = (s32[], f32[8]) while(%begun), condition=%condition, body=%body
  ROOT %w.6 = (s32[], f32[8]) while(%begun), condition=%unknown, body=%body
}
"""


def test_collectives_of_a_tpus_program_reckoned_by_hand():
  sent = read_program(_TPU)
  assert sent.counts == {'all-gather': 1, 'reduce-scatter': 1, 'collective-permute': 8}
  assert sent.bytes == {
    'all-gather': 128,
    'reduce-scatter': 256,
    'collective-permute': 8 * 32,
  }
  assert sent.loops == sent.product_loops == (7, None)
  assert math.isnan(sent.repeated)
  known = read_program(_TPU.replace('condition=%unknown', 'condition=%condition'))
  assert known.repeated == 2 * 6 * (2 * 8**3)


_PRODUCT = 'convolution(%q.2, %q.2)'


@pytest.mark.parametrize(
  ('old', 'new'),
  [
    # What a newer compiler might write, and a product that a GPU leaves to a library.
    (_PRODUCT, 'convolution(f32[8,8]{1,0:T(8,128)} %q.2, f32[8,8] %q.2)'),
    (_PRODUCT, 'convolution(q.2, q.2)'),
    (_PRODUCT, 'convolution(%q.2, %q.2, %q.2)'),
    ('dim_labels=bf_io->bf', 'dim_labels=b?_i?->b?'),
    ('dim_labels=bf_io->bf', ''),
    (_PRODUCT, 'custom-call(%q.2), custom_call_target="__cublas$gemm"'),
  ],
)  # fmt: skip
def test_products_that_can_not_be_read_are_not_guessed(old, new):
  text = _TPU.replace('condition=%unknown', 'condition=%condition')
  program = read_program(text.replace(old, new))
  assert program.product_loops == (7, 7)
  assert math.isnan(program.repeated)
  assert program.counts == read_program(text).counts


def test_without_a_text_nothing_is_known():
  assert read_program('').counts == {}
