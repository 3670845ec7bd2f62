import math
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.ops import recurrence
from convscan.architectures.ops.recurrence import recur
from convscan.architectures.ops.step import Given
from convscan.architectures.rnn import (
  RNN,
  ElmanCell,
  GatedCell,
  GRUCell,
  LSTMCell,
  MinGRUCell,
  ResetBeforeGRUCell,
)

TIME, BATCH, INPUTS, FEATURES = 3, 3, 2, 4
close = partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-5)


def update(params: Any, zx: Any, zh: Any, carry: Any) -> Any:
  """Two gates, parameters of its own and a carry of two parts."""
  c, h = carry
  gate = jax.nn.sigmoid(
    zx[0] + zh[0] + jnp.broadcast_to(params['peephole'], c.shape) * c
  )
  c = gate * c + (1 - gate) * jnp.tanh(zx[1] + zh[1])
  return c, jnp.sin(c) * gate + 0.5 * h


def parted(params: Any, zx: Any, zh: Any, carry: Any) -> Any:
  """As `update`, but the second gate multiplies its two parts."""
  c, h = carry
  gate = jax.nn.sigmoid(
    zx[0] + zh[0] + jnp.broadcast_to(params['peephole'], c.shape) * c
  )
  c = gate * c + (1 - gate) * jnp.tanh(zx[1] * (1 + zh[1]))
  return c, jnp.sin(c) * gate + 0.5 * h


@jax.numpy_rank_promotion('allow')
def plain_loop(update: Any, args: Any, *, reverse: Any = False, **given: Any) -> Any:
  """What `recur` computes, as Python says it and plain autodiff differentiates it."""
  params, inputs, kernel, bias, recurrent_kernel, carry, reset_to = args
  ys: list[Any] = [None] * len(inputs)
  for t in range(len(inputs))[:: -1 if reverse else 1]:
    if 'resets' in given:
      reset = given['resets'][t][..., None]
      carry = jax.tree.map(partial(jnp.where, reset), reset_to, carry)
    zx = jnp.split(inputs[t] @ kernel + bias, 2, -1)
    zh = jnp.split((given.get('state_mask', 1) * carry[-1]) @ recurrent_kernel, 2, -1)
    new = update(params, zx, zh, carry)
    if 'zoneout' in given:
      kept = [x[t].astype(carry[0].dtype) for x in given['zoneout']]
      each = zip(kept, carry, new, strict=True)
      new = tuple(k * old + (1 - k) * x for k, old, x in each)
    here = given['valid'][t][..., None] if 'valid' in given else True
    ys[t] = jnp.where(here, new[-1], 0.0)
    carry = jax.tree.map(partial(jnp.where, here), new, carry)
  return carry, jnp.stack(ys)


def engine(update: Any, args: Any, **options: Any) -> Any:
  *first, reset_to = args
  names = [name for name in Given._fields if name in options]
  given = Given(**{name: options.pop(name) for name in names})
  return recur(update, *first, given=given, reset_to=reset_to, **options)


def make_args(*batch: int) -> Any:
  """The arguments of `recur` that are differentiated."""
  rng = np.random.default_rng(0)
  draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
  carry, reset_to = ((draw(*batch, FEATURES), draw(*batch, FEATURES)) for _ in 'ab')
  return (
    {'peephole': draw(FEATURES)},
    draw(TIME, *batch, INPUTS),
    draw(INPUTS, 2 * FEATURES),
    draw(2 * FEATURES),
    0.5 * draw(FEATURES, 2 * FEATURES),
    carry,
    reset_to,
  )


def make_options() -> dict[str, dict[str, Any]]:
  rng = np.random.default_rng(1)
  flags = lambda *shape: jnp.asarray(rng.random(shape) < 0.6)  # noqa: E731
  zoneout = flags(TIME, BATCH, FEATURES), jnp.full((TIME, 1, 1), 0.3)
  valid = flags(TIME, BATCH).at[:, 0].set(False)
  return {
    'plain': {},
    'valid': {'valid': valid, 'unroll': 2},
    'reset': {'resets': flags(TIME, BATCH), 'reverse': True},
    'zoneout': {'zoneout': zoneout, 'state_mask': flags(BATCH, FEATURES)},
    'all': {
      'valid': valid,
      'resets': flags(TIME, BATCH),
      'zoneout': zoneout,
      'state_mask': 2.0 * flags(BATCH, FEATURES),
      'reverse': True,
    },
  }


def loss(run: Any, args: Any) -> jax.Array:
  carry, ys = run(args)
  weights = jnp.cos(jnp.arange(ys.size, dtype=ys.dtype)).reshape(ys.shape)
  return jnp.sum(weights * ys**2) + sum(jnp.sum(jnp.sin(x)) for x in carry)


def compare(
  update: Any, options: dict[str, Any], remat_every: Any, everything: Any
) -> None:
  """Compares the engine in float32 with the loop in float64."""
  run = partial(engine, update, **options, remat_every=remat_every)
  args = make_args(BATCH)
  got = jax.jit(partial(everything, run))(args)
  with jax.enable_x64(True):
    loop = {name: x for name, x in options.items() if name != 'unroll'}
    run = partial(plain_loop, update, **loop)
    wide = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), args)
    expected = jax.jit(partial(everything, run))(wide)

  def close(name: str, a: Any, b: Any) -> None:
    atol = 1e-5 * np.abs(b).max()
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=atol, err_msg=name)

  for name in expected:
    jax.tree.map(partial(close, name), got[name], expected[name])


@pytest.mark.parametrize(
  ('update', 'options', 'remat_every'),
  [
    (update, 'plain', None),
    (update, 'valid', 2),
    (update, 'reset', 2),
    (update, 'zoneout', None),
    (parted, 'plain', None),
    (parted, 'all', 2),
  ],
)
def test_values_and_derivatives_equal_plain_autodiff(
  update: Any, options: str, remat_every: int | None
) -> None:
  def everything(run: Any, args: Any) -> Any:
    f = partial(loss, run)
    return {
      'values': run(args),
      'jvp': jax.jvp(f, (args,), (jax.tree.map(jnp.cos, args),))[1],
      'grad': jax.grad(f)(args),
    }

  compare(update, make_options()[options], remat_every, everything)


@pytest.mark.parametrize(('update', 'options'), [(update, 'plain'), (parted, 'all')])
def test_second_derivatives_equal_plain_autodiff(update: Any, options: str) -> None:
  def everything(run: Any, args: Any) -> Any:
    direction = jax.tree.map(jnp.cos, args)
    grad = jax.grad(partial(loss, run))

    def slope(args: Any) -> Any:
      products = jax.tree.map(lambda a, b: jnp.sum(a * b), grad(args), direction)
      return sum(jax.tree.leaves(products))

    return {
      'forward over reverse': jax.jvp(grad, (args,), (direction,))[1],
      'reverse over reverse': jax.grad(slope)(args),
    }

  compare(update, make_options()[options], None, everything)


@pytest.mark.parametrize('argument', range(7))
def test_the_gradient_of_one_argument_is_that_of_all(argument: int) -> None:
  # What is not differentiated enters the rule as a zero that has no array.
  args = make_args(BATCH)

  def f(run: Any, x: Any) -> jax.Array:
    return loss(run, (*args[:argument], x, *args[argument + 1 :]))

  options = make_options()['all']
  got, expected = (
    jax.jit(jax.grad(partial(f, partial(run, parted, **options))))(args[argument])
    for run in (engine, plain_loop)
  )
  jax.tree.map(close, got, expected)


def test_vmap_over_every_argument() -> None:
  args = jax.tree.map(lambda x: jnp.stack([x, 0.5 * x]), make_args(BATCH))
  got, expected = (
    jax.jit(jax.vmap(jax.grad(partial(loss, partial(run, update)))))(args)
    for run in (engine, plain_loop)
  )
  jax.tree.map(close, got, expected)


def test_a_batch_is_computed_where_it_lies() -> None:
  mesh = jax.make_mesh((4,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
  rnn = RNN(GRUCell(8))
  x = jnp.ones((16, 5, 3))
  variables = rnn.init(jax.random.key(0), x)
  gradient = jax.grad(lambda v, x: jnp.sum(rnn.apply(v, x) ** 2))
  split = jax.device_put(x, jax.NamedSharding(mesh, jax.P('data')))
  hlo = jax.jit(gradient).lower(variables, split).compile().as_text()
  assert 'all-reduce' in hlo
  assert 'all-gather' not in hlo
  assert re.search(r'f32\[4,24\]', hlo)  # The product of a step: 16 / 4 sequences.
  jax.tree.map(close, jax.jit(gradient)(variables, split), gradient(variables, x))


@pytest.mark.parametrize(
  'cell', [LSTMCell(4), GRUCell(4), MinGRUCell(4), ResetBeforeGRUCell(4)], ids=repr
)
def test_a_layer_runs_within_shard_map(cell: Any) -> None:
  mesh = jax.make_mesh((4,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
  rnn = RNN(cell, remat_every=2 if isinstance(cell, GatedCell) else None)
  x, lengths = jnp.sin(jnp.arange(8 * 5 * 3.0)).reshape(8, 5, 3), jnp.arange(8) % 6
  variables = rnn.init(jax.random.key(0), x)

  def total(variables: Any, x: Any, lengths: Any) -> jax.Array:
    return jnp.sum(rnn.apply(variables, x, seq_lengths=lengths) ** 2)[None]

  split = jax.P('data')
  run = jax.shard_map(
    total, mesh=mesh, in_specs=(jax.P(), split, split), out_specs=split
  )
  got, expected = (
    jax.jit(jax.grad(lambda v, f=f: jnp.sum(f(v, x, lengths))))(variables)
    for f in (run, total)
  )
  jax.tree.map(close, got, expected)


@pytest.mark.parametrize('reverse', [False, True])
@pytest.mark.parametrize('batch', [(2, 3), (2, 5)], ids=['plain', 'kernel first'])
def test_every_form_of_the_matmuls(
  batch: tuple[int, ...], reverse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(jax, 'device_count', lambda: 1)  # axes are merged
  monkeypatch.setattr(recurrence, 'PROJECTED_ROWS', 2 * math.prod(batch))
  monkeypatch.setattr(recurrence, 'KERNEL_FIRST_SIZE', 1)
  monkeypatch.setattr(recurrence, 'KERNEL_FIRST_STEPS', 1)
  args = make_args(*batch)

  def everything(run: Any) -> Any:
    run = partial(run, parted, reverse=reverse)
    f = partial(loss, run)
    dot = tuple(jax.tree.map(jnp.cos, args))
    return run(args), jax.jvp(f, (args,), (dot,))[1], jax.grad(f)(args)

  got, expected = (jax.jit(partial(everything, run))() for run in (engine, plain_loop))
  jax.tree.map(close, got, expected)
  # Chunks of two steps and what is left; either has a loop over steps.
  jaxpr = jax.make_jaxpr(partial(engine, parted))(args)
  scans = [e.params['length'] for e in equations(jaxpr) if e.primitive.name == 'scan']
  assert scans == [1, 2, 1]
  rows = math.prod(batch)
  dots = [e for e in equations(jaxpr) if e.primitive.name == 'dot_general']
  shapes = [e.outvars[0].aval.shape for e in dots]
  assert ((2 * FEATURES, *batch) in shapes) == (rows >= 8)


@pytest.mark.parametrize('remat_every', [None, 2])
def test_an_empty_batch_gives_empty_outputs(
  remat_every: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(recurrence, 'PROJECTED_ROWS', 1)
  _, ys = engine(update, make_args(0), remat_every=remat_every)
  assert ys.shape == (TIME, 0, FEATURES)


@pytest.mark.parametrize('sizes', ['b, 20', '16, t'])
def test_a_layer_is_exported_for_any_size(sizes: str) -> None:
  rnn = RNN(LSTMCell(FEATURES))
  variables = rnn.init(jax.random.key(0), jnp.ones((1, 1, INPUTS)))
  shape = jax.export.symbolic_shape(f'{sizes}, {INPUTS}')
  x = jax.ShapeDtypeStruct(shape, jnp.float32)
  exported = jax.export.export(jax.jit(rnn.apply))(variables, x)
  x = jnp.ones((16, 20, INPUTS))
  close(exported.call(variables, x), rnn.apply(variables, x))


def test_checkpoint_and_shard_map_go_through() -> None:
  args = make_args(8)
  mesh = jax.make_mesh((4,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
  shared, split = jax.P(), jax.P('data')
  specs = (shared, jax.P(None, 'data'), shared, shared, shared, split, split)

  def sharded(args: Any) -> Any:
    def local(args: Any) -> Any:
      _, ys = jax.checkpoint(partial(engine, update))(args)
      return jnp.sum(ys**2)[None]

    run = jax.shard_map(local, mesh=mesh, in_specs=(specs,), out_specs=split)
    return jnp.sum(run(args))

  got = jax.jit(jax.grad(sharded))(args)
  plain = partial(plain_loop, update)
  expected = jax.jit(jax.grad(lambda args: jnp.sum(plain(args)[1] ** 2)))(args)
  jax.tree.map(close, got, expected)


@pytest.mark.parametrize('batch', [(), (2, 3)])
def test_any_number_of_batch_axes(batch: tuple[int, ...]) -> None:
  args = make_args(*batch)
  jax.tree.map(close, engine(update, args, unroll=2), plain_loop(update, args))


@pytest.mark.parametrize('remat_every', [None, 2])
def test_no_steps_return_the_initial_carry(remat_every: int | None) -> None:
  params, inputs, *rest = make_args(BATCH)
  final, ys = engine(update, (params, inputs[:0], *rest), remat_every=remat_every)
  assert ys.shape == (0, BATCH, FEATURES)
  jax.tree.map(np.testing.assert_array_equal, final, rest[-2])


@pytest.mark.parametrize('update', [update, parted])
def test_matmuls_in_bfloat16_keep_the_state_in_float32(update: Any) -> None:
  args = make_args(BATCH)
  params, *matrices, carry, reset_to = args
  half = [x.astype(jnp.bfloat16) for x in matrices]
  seen = set()

  def spy(params: Any, zx: Any, zh: Any, carry: Any) -> Any:
    seen.update({z.dtype for z in [*zx, *zh]})
    return update(params, zx, zh, carry)

  final, ys = engine(spy, (params, *half, carry, reset_to))
  assert seen == {jnp.dtype(jnp.float32)}
  assert ys.dtype == jnp.bfloat16
  assert {x.dtype for x in final} == {jnp.dtype(jnp.float32)}
  expected, _ = plain_loop(update, args)
  np.testing.assert_allclose(final[1], expected[1], atol=0.05)

  # So do the gradients: their rounding is that of the products' operands.
  got = jax.grad(partial(loss, partial(engine, update)))(
    (params, *half, carry, reset_to)
  )
  expected = jax.grad(partial(loss, partial(plain_loop, update)))(args)
  for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
    scale = jnp.abs(b).max() + 1e-3
    np.testing.assert_allclose(a.astype(jnp.float32) / scale, b / scale, atol=0.1)


def test_a_long_sum_of_gradients_is_taken_in_float32() -> None:
  # In bfloat16 a sum of ones stays at 256.
  inputs = jnp.ones((512, 8, 1), jnp.bfloat16)
  kernel, carry = jnp.zeros((1, 1), jnp.bfloat16), jnp.zeros((8, 1))

  def total(bias: jax.Array) -> jax.Array:
    cell = lambda params, zx, zh, h: zx[0] + zh[0]  # noqa: E731
    _, y = recur(cell, (), inputs, kernel, bias, kernel, carry)
    return jnp.sum(y.astype(jnp.float32))

  np.testing.assert_allclose(jax.grad(total)(jnp.zeros(1)), 512 * 8)


def test_own_parameters_in_bfloat16_are_summed_in_float32() -> None:
  inputs, kernel = jnp.ones((512, 8, 1)), jnp.zeros((1, 1))

  def total(params: jax.Array) -> jax.Array:
    cell = lambda p, zx, zh, h: zx[0] + zh[0] + jnp.broadcast_to(p, h.shape)  # noqa: E731
    _, y = recur(cell, params, inputs, kernel, None, kernel, jnp.zeros((8, 1)))
    return jnp.sum(y)

  np.testing.assert_allclose(jax.grad(total)(jnp.zeros(1, jnp.bfloat16)), 512 * 8)


def test_the_carry_keeps_its_dtype() -> None:
  *args, carry, reset_to = make_args(BATCH)
  carry = tuple(x.astype(jnp.bfloat16) for x in carry)
  final, ys = engine(update, (*args, carry, reset_to))
  assert {x.dtype for x in final} == {jnp.dtype(jnp.bfloat16)}
  assert ys.dtype == jnp.float32


def wrong(**changes: Any) -> Any:
  names = [
    'params',
    'inputs',
    'kernel',
    'bias',
    'recurrent_kernel',
    'carry',
    'reset_to',
  ]
  args = {**dict(zip(names, make_args(BATCH), strict=True))}
  return tuple({name: changes.get(name, x) for name, x in args.items()}.values())


@pytest.mark.parametrize(
  ('changes', 'options', 'message'),
  [
    (
      {'recurrent_kernel': jnp.ones((4, 7))},
      {},
      r'recurrent_kernel: got \(4, 7\), exp',
    ),
    ({'kernel': jnp.ones((3, 8))}, {}, 'kernel: got 3, expected 2'),
    ({'kernel': jnp.ones((2, 7))}, {}, 'kernel: got 7 columns, expected a multiple of'),
    ({'bias': jnp.ones(3)}, {}, r'bias: got \(3,\), expected \(8,\)'),
    ({'carry': (jnp.ones((2, 4)),) * 2}, {}, r'carry: got \(2, 4\), expected \(3, 4\)'),
    (
      {'carry': (jnp.ones((2, 4)), jnp.ones((3, 4)))},
      {},
      r'carry: got \(2,\), expected',
    ),
    ({'reset_to': jnp.ones((3, 4))}, {}, 'reset_to: got'),
    ({}, {'valid': jnp.ones((TIME, BATCH), int)}, 'valid: got'),
    ({}, {'resets': jnp.ones((TIME, 1), bool)}, 'resets: got'),
    ({}, {'state_mask': jnp.ones((BATCH, 1))}, 'state_mask: got'),
    ({}, {'zoneout': (jnp.ones((5, 1, 1)),) * 2}, 'zoneout: got 5, expected 3'),
    ({}, {'remat_every': 0}, 'remat_every: got 0, expected at least 1'),
  ],
)
def test_what_does_not_fit_is_named(changes: Any, options: Any, message: str) -> None:
  with pytest.raises(ValueError, match=message):
    engine(update, wrong(**changes), **options)


def test_an_update_that_returns_no_carry_is_named() -> None:
  def with_output(params: Any, zx: Any, zh: Any, carry: Any) -> Any:
    return update(params, zx, zh, carry), zx[0]

  with pytest.raises(ValueError, match=r'update: got \(\(\(3, 4\).* expected \(\(3, 4'):
    engine(with_output, make_args(BATCH))


@pytest.mark.parametrize(('update', 'parts'), [(update, 2), (parted, 3)])
def test_what_the_reverse_pass_stores(
  update: Any, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
  # The carry, and the gates' parts: their sum alone where a gate only adds them.
  monkeypatch.setattr(jax, 'device_count', lambda: 1)
  args = make_args(BATCH)
  pullback = jax.jit(lambda args: jax.vjp(partial(engine, update), args)[1])(args)
  stored = sum(residual.size for residual in jax.tree.leaves(pullback))
  each_step = BATCH * (2 * FEATURES + parts * FEATURES + INPUTS)
  weights = sum(x.size for x in jax.tree.leaves((args[0], *args[2:5])))
  ones = TIME * BATCH + 1  # The factor of the bias, and a scalar, where JAX adds one.
  assert stored <= TIME * each_step + weights + ones


def equations(jaxpr: Any) -> Iterator[Any]:
  """Every equation of a jaxpr and of those within it."""
  for equation in getattr(jaxpr, 'jaxpr', jaxpr).eqns:
    yield equation
    for value in jax.tree.leaves(
      list(equation.params.values()),
      is_leaf=lambda x: hasattr(x, 'eqns') or hasattr(x, 'jaxpr'),
    ):
      if hasattr(value, 'eqns') or hasattr(value, 'jaxpr'):
        yield from equations(value)


def dots_in_loops(hlo: Any) -> list[int]:
  """How many matmuls each compiled loop's body holds, with all that it calls."""
  bodies = dict(
    re.findall(r'^(?:ENTRY )?%?([\w.-]+) \(.*?\{\n(.*?)^\}', hlo, re.M | re.S)
  )

  def dots(name: str) -> int:
    called = [x for x in re.findall(r'%([\w.-]+)', bodies[name]) if x in bodies]
    return len(re.findall(r' dot\(|matmul', bodies[name])) + sum(map(dots, set(called)))

  return sorted(dots(body) for body in re.findall(r' while\(.*body=%([\w.-]+)', hlo))


@pytest.mark.parametrize('batch', [2, 16])
@pytest.mark.parametrize('cell', [ElmanCell(8), LSTMCell(8), GRUCell(8)], ids=repr)
def test_each_loop_holds_one_matmul_and_sums_no_kernel(cell: Any, batch: int) -> None:
  x = jnp.ones((9, batch, 3))
  carry = cell.initialize_carry(jax.random.key(0), x.shape[1:])
  variables = cell.init(jax.random.key(0), carry, x[0])

  def objective(variables: Any, x: jax.Array) -> jax.Array:
    weights = cell.apply(variables, x, method='weights')
    _, ys = recur(cell.update, *weights, carry)
    return jnp.sum(ys**2)

  compiled = lambda f: jax.jit(f).lower(variables, x).compile().as_text()  # noqa: E731
  gradient = jax.grad(objective, argnums=(0, 1))
  assert dots_in_loops(compiled(objective)) == [1]
  assert dots_in_loops(compiled(gradient)) == [1, 1]

  # A gradient that a loop sums comes out of it in its parameter's shape.
  shape = variables['params']['recurrent_kernel'].shape
  scans = [
    equation
    for equation in equations(jax.make_jaxpr(gradient)(variables, x))
    if equation.primitive.name == 'scan'
  ]
  assert len(scans) == 2
  assert all(out.aval.shape != shape for scan in scans for out in scan.outvars)
