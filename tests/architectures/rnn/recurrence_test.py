import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.ops.recurrence import recur
from convscan.architectures.rnn import ElmanCell, GRUCell, LSTMCell

TIME, BATCH, FEATURES = 3, 3, 4
close = partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-5)


def update(params: Any, zx: jax.Array, zh: jax.Array, carry: Any) -> Any:
  """Two gates, parameters of its own and a carry of two parts."""
  c, h = carry
  gate, value = jnp.split(zx + zh, 2, axis=-1)
  gate = jax.nn.sigmoid(gate + jnp.broadcast_to(params['peephole'], c.shape) * c)
  c = gate * c + (1 - gate) * jnp.tanh(value)
  return c, jnp.sin(c) * gate + 0.5 * h


def plain_loop(
  params: Any, zx: Any, kernel: Any, carry: Any, valid: Any = None, reverse: Any = False
) -> Any:
  """What `recur` computes, as Python says it and plain autodiff differentiates it."""
  ys: list[Any] = [None] * len(zx)
  for t in range(len(zx))[:: -1 if reverse else 1]:
    new = update(params, zx[t], carry[-1] @ kernel, carry)
    here = jnp.ones(zx[t].shape[:-1], bool) if valid is None else valid[t]
    pairs = zip(new, carry, strict=True)
    carry = tuple(jnp.where(here[..., None], *pair) for pair in pairs)
    ys[t] = jnp.where(here[..., None], new[-1], 0.0)
  return carry, jnp.stack(ys)


def make_args(*batch: int) -> Any:
  rng = np.random.default_rng(0)
  draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
  params = {'peephole': draw(FEATURES)}
  zx, kernel = draw(TIME, *batch, 2 * FEATURES), 0.5 * draw(FEATURES, 2 * FEATURES)
  return params, zx, kernel, (draw(*batch, FEATURES), draw(*batch, FEATURES))


VALID = jnp.array([[1, 1, 0], [1, 0, 0], [1, 1, 0]], bool)


def loss(run: Any, valid: Any, reverse: bool, args: Any) -> jax.Array:
  carry, ys = run(*args, valid=valid, reverse=reverse)
  weights = jnp.cos(jnp.arange(ys.size, dtype=ys.dtype)).reshape(ys.shape)
  return jnp.sum(weights * ys**2) + sum(jnp.sum(jnp.sin(x)) for x in carry)


ENGINE = partial(recur, update)


@pytest.mark.parametrize(('valid', 'reverse'), [(None, False), (VALID, True)])
def test_values_and_derivatives_equal_plain_autodiff(valid: Any, reverse: bool) -> None:
  args = make_args(BATCH)
  direction = jax.tree.map(jnp.cos, args)

  def everything(run: Any, args: Any) -> Any:
    f = partial(loss, run, valid, reverse)
    grad = jax.grad(f)

    def slope(args: Any) -> Any:
      products = jax.tree.map(lambda a, b: jnp.sum(a * b), grad(args), direction)
      return sum(jax.tree.leaves(products))

    return {
      'values': run(*args, valid=valid, reverse=reverse),
      'jvp': jax.jvp(f, (args,), (direction,))[1],
      'grad': grad(args),
      'forward over reverse': jax.jvp(grad, (args,), (direction,))[1],
      'reverse over reverse': jax.grad(slope)(args),
    }

  got, expected = (
    jax.jit(everything, static_argnums=0)(run, args) for run in (ENGINE, plain_loop)
  )
  for name in expected:
    jax.tree.map(partial(close, err_msg=name), got[name], expected[name])


def test_vmap_over_every_argument() -> None:
  args = jax.tree.map(lambda x: jnp.stack([x, 0.5 * x]), make_args(BATCH))
  got, expected = (
    jax.jit(jax.vmap(jax.grad(partial(loss, run, None, False))))(args)
    for run in (ENGINE, plain_loop)
  )
  jax.tree.map(close, got, expected)


@pytest.mark.parametrize('batch', [(), (2, 3)])
def test_any_number_of_batch_axes(batch: tuple[int, ...]) -> None:
  args = make_args(*batch)
  jax.tree.map(close, ENGINE(*args, unroll=2), plain_loop(*args))


def test_no_steps_return_the_initial_carry() -> None:
  params, zx, kernel, carry = make_args(BATCH)
  final, ys = ENGINE(params, zx[:0], kernel, carry)
  assert ys.shape == (0, BATCH, FEATURES)
  jax.tree.map(np.testing.assert_array_equal, final, carry)


def test_matmuls_in_bfloat16_keep_the_state_in_float32() -> None:
  params, zx, kernel, carry = make_args(BATCH)
  half = zx.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
  seen = set()

  def spy(params: Any, zx: jax.Array, zh: jax.Array, carry: Any) -> Any:
    seen.update({zx.dtype, zh.dtype})
    return update(params, zx, zh, carry)

  final, ys = recur(spy, params, *half, carry)
  assert seen == {jnp.dtype(jnp.float32)}
  assert ys.dtype == jnp.bfloat16
  assert {x.dtype for x in final} == {jnp.dtype(jnp.float32)}
  expected, _ = plain_loop(params, zx, kernel, carry)
  np.testing.assert_allclose(final[1], expected[1], atol=0.05)


def test_the_carry_keeps_its_dtype() -> None:
  params, zx, kernel, carry = make_args(BATCH)
  final, ys = ENGINE(params, zx, kernel, tuple(x.astype(jnp.bfloat16) for x in carry))
  assert {x.dtype for x in final} == {jnp.dtype(jnp.bfloat16)}
  assert ys.dtype == jnp.float32


def test_shapes_that_do_not_fit_are_named() -> None:
  params, zx, kernel, carry = make_args(BATCH)
  with pytest.raises(ValueError, match=r'recurrent_kernel: got \(4, 7\), expected'):
    ENGINE(params, zx, kernel[:, 1:], carry)
  with pytest.raises(ValueError, match=r'carry: got \(2, 4\), expected \(3, 4\)'):
    ENGINE(params, zx, kernel, tuple(x[1:] for x in carry))
  with pytest.raises(ValueError, match='valid: got'):
    ENGINE(params, zx, kernel, carry, valid=VALID.astype(int))


def test_the_reverse_pass_stores_carry_zx_and_zh_only() -> None:
  params, zx, kernel, carry = make_args(BATCH)
  _, pullback = jax.vjp(ENGINE, params, zx, kernel, carry)
  stored = sum(residual.size for residual in jax.tree.leaves(pullback))
  each_step = 2 * zx.size + TIME * sum(x.size for x in carry)
  assert stored <= each_step + params['peephole'].size + kernel.size


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


@pytest.mark.parametrize('cell', [ElmanCell(8), LSTMCell(8), GRUCell(8)], ids=repr)
def test_each_loop_holds_one_matmul_and_sums_no_kernel(cell: Any) -> None:
  x = jnp.ones((7, 2, 3))
  carry = cell.initialize_carry(jax.random.key(0), x.shape[1:])
  variables = cell.init(jax.random.key(0), carry, x[0])

  def objective(variables: Any, x: jax.Array) -> jax.Array:
    params, zx, kernel = cell.apply(variables, x, method='project_inputs')
    _, ys = recur(cell.update, params, zx, kernel, carry)
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
