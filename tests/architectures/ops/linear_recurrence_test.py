"""The parallel scan against a plain loop in float64 and plain autodiff of it."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.ops.linear_recurrence import linear_recurrence

TIME, BATCH, FEATURES = 5, 3, 2
close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)

# Gaps at both ends and within, a row without a valid step, and one without a gap.
VALID = np.array([[0, 0, 1], [1, 0, 1], [0, 0, 1], [1, 0, 1], [0, 0, 1]]) > 0
# At valid steps and at others, at the ends, and twice in a row.
RESETS = np.zeros((TIME, BATCH), bool)
RESETS[[0, 2, 3, 2, 2, 4], [0, 0, 0, 1, 2, 2]] = True
MASKS: dict[str, Any] = {
  'none': {},
  'valid': {'valid': VALID},
  'resets': {'resets': RESETS},
  'both': {'valid': VALID, 'resets': RESETS},
  'backwards': {'valid': VALID, 'resets': RESETS, 'reverse': True},
}
SHAPES = [(), (FEATURES,), (TIME, 1, 1), (1, BATCH, 1), (TIME, BATCH, FEATURES)]


def loop(
  a: Any,
  b: Any,
  h: Any,
  reset_to: Any,
  valid: Any = None,
  resets: Any = None,
  reverse: bool = False,
) -> Any:
  """Step by step, as the docstring says it."""
  a = jnp.broadcast_to(a, b.shape) if jnp.ndim(a) else jnp.full(b.shape, a)
  everywhere = np.ones(b.shape[:-1], bool)
  valid = everywhere if valid is None else valid
  resets = ~everywhere if resets is None else resets
  hs: list[Any] = [None] * len(b)
  for t in range(len(b))[:: -1 if reverse else 1]:
    h = jnp.where(resets[t][..., None], reset_to, h)
    h = jnp.where(valid[t][..., None], a[t] * h + b[t], h)
    hs[t] = h
  return h, jnp.stack(hs)


def ours(a: Any, b: Any, h0: Any, reset_to: Any, **masks: Any) -> Any:
  return linear_recurrence(a, b, h0, reset_to=reset_to, **masks)


def make_args(dtype: Any, a_shape: tuple[int, ...], *batch: int) -> Any:
  """a, b, h0 and reset_to in float64 or complex128."""
  rng = np.random.default_rng(0)

  def draw(*shape: int) -> Any:
    x = rng.normal(size=shape)
    return (x + 1j * rng.normal(size=shape) if dtype is complex else x).astype(dtype)

  args = draw(TIME, *batch, FEATURES), draw(*batch, FEATURES), draw(*batch, FEATURES)
  return 0.7 * draw(*a_shape), *args


def everything(run: Any, masks: Any, more: bool, args: Any) -> Any:
  """The values and the gradients; with `more`, derivatives of every other kind."""
  direction = jax.tree.map(jnp.cos, args)

  def loss(args: Any) -> jax.Array:
    h_final, h = run(*args, **masks)
    weights = np.cos(np.arange(h.size)).reshape(h.shape).astype(h.real.dtype)
    return jnp.sum(weights * (h.real**2 + h.imag)) + jnp.sum(jnp.sin(h_final).real)

  grad = jax.grad(loss)

  def slope(args: Any) -> Any:
    return sum(
      jnp.sum((g * d).real) for g, d in zip(grad(args), direction, strict=True)
    )

  results = {'values': run(*args, **masks), 'grad': grad(args)}
  if not more:
    return results
  return results | {
    'jvp': jax.jvp(loss, (args,), (direction,))[1],
    'forward over reverse': jax.jvp(grad, (args,), (direction,))[1],
    'reverse over reverse': jax.grad(slope)(args),
  }


def check(
  masks: Any, args: Any, more: bool = False, transform: Any = lambda f: f
) -> None:
  """Compares ours in single precision with the loop in double."""
  with jax.enable_x64(True):
    f = transform(partial(everything, loop, masks, more))
    expected = jax.tree.map(np.asarray, jax.jit(f)(args))
  single = jax.tree.map(jnp.asarray, args)
  got = jax.jit(transform(partial(everything, ours, masks, more)))(single)
  assert {x.dtype.itemsize for x in jax.tree.leaves(expected)} <= {8, 16}
  assert {x.dtype.itemsize for x in jax.tree.leaves(got)} <= {4, 8}
  for name in expected:
    jax.tree.map(partial(close, err_msg=name), got[name], expected[name])


@pytest.mark.parametrize(('dtype', 'masks'), [(float, 'backwards'), (complex, 'both')])
def test_derivatives_of_every_kind_equal_those_of_a_loop(
  dtype: Any, masks: str
) -> None:
  check(MASKS[masks], make_args(dtype, (TIME, BATCH, FEATURES), BATCH), more=True)


@pytest.mark.parametrize('masks', MASKS)
def test_values_and_gradients_equal_those_of_a_loop(masks: str) -> None:
  check(MASKS[masks], make_args(float, (TIME, BATCH, FEATURES), BATCH))


@pytest.mark.parametrize('shape', SHAPES[:-1], ids=str)
def test_the_decay_broadcasts(shape: tuple[int, ...]) -> None:
  check(MASKS['both'] if len(shape) > 1 else {}, make_args(float, shape, BATCH))


def test_a_real_state_may_decay_by_a_complex_number() -> None:
  a, b, h0, reset_to = make_args(float, (FEATURES,), BATCH)
  check(MASKS['both'], (a * 1j, b, h0, reset_to))


def test_vmap_over_every_argument() -> None:
  args = make_args(float, (TIME, BATCH, FEATURES), BATCH)
  twice = jax.tree.map(lambda x: np.stack([x, 0.5 * x]), args)
  check(MASKS['both'], twice, transform=jax.vmap)


@pytest.mark.parametrize('batch', [(), (2, 3)])
def test_any_number_of_batch_axes(batch: tuple[int, ...]) -> None:
  rng = np.random.default_rng(1)
  valid, resets = rng.random((2, TIME, *batch)) < 0.7
  args = make_args(float, (TIME, *batch, FEATURES), *batch)
  check({'valid': valid, 'resets': resets}, args)


@pytest.mark.parametrize('steps', [1, 2])
def test_few_steps(steps: int) -> None:
  a, b, h0, reset_to = make_args(float, (TIME, BATCH, FEATURES), BATCH)
  masks = {'valid': VALID[:steps], 'resets': RESETS[:steps]}
  check(masks, (a[:steps], b[:steps], h0, reset_to))


@pytest.mark.parametrize('reverse', [False, True])
def test_no_steps_return_the_initial_state(reverse: bool) -> None:
  a, b, h0, _ = map(jnp.asarray, make_args(float, (FEATURES,), BATCH))
  none = jnp.zeros((0, BATCH), bool)

  def run(a: Any, h0: Any) -> Any:
    return linear_recurrence(a, b[:0], h0, valid=none, resets=none, reverse=reverse)

  h_final, h = run(a, h0)
  assert h.shape == (0, BATCH, FEATURES)
  np.testing.assert_array_equal(h_final, h0)
  np.testing.assert_array_equal(jax.grad(lambda h: run(a, h)[0].sum())(h0), 1)


def test_a_row_without_a_valid_step_keeps_its_state_exactly() -> None:
  a, b, h0, _ = map(jnp.asarray, make_args(float, (TIME, BATCH, FEATURES), BATCH))
  b = jnp.where(VALID[..., None], b, jnp.nan)  # Padding may hold anything.
  h_final, h = linear_recurrence(a, b, h0, valid=VALID)
  np.testing.assert_array_equal(h_final[1], h0[1])
  np.testing.assert_array_equal(h[:, 1], jnp.broadcast_to(h0[1], h[:, 1].shape))
  assert bool(jnp.isfinite(h).all())


@pytest.mark.parametrize('reverse', [False, True])
def test_pieces_equal_the_whole(reverse: bool) -> None:
  a, b, h0, reset_to = map(
    jnp.asarray, make_args(float, (TIME, BATCH, FEATURES), BATCH)
  )
  masks: Any = {'reset_to': reset_to, 'reverse': reverse}
  whole = linear_recurrence(a, b, h0, valid=VALID, resets=RESETS, **masks)
  pieces, state = [], h0
  for piece in [slice(0, 3), slice(3, 3), slice(3, 4), slice(4, 5)][
    :: -1 if reverse else 1
  ]:
    given: Any = {'valid': VALID[piece], 'resets': RESETS[piece]}
    state, h = linear_recurrence(a[piece], b[piece], state, **given, **masks)
    pieces.append(h)
  close(state, whole[0])
  close(jnp.concatenate(pieces[:: -1 if reverse else 1]), whole[1])


def test_a_reset_starts_a_new_sequence_from_zeros() -> None:
  a, b, h0, _ = map(jnp.asarray, make_args(float, (TIME, BATCH, FEATURES), BATCH))
  resets = np.zeros((TIME, BATCH), bool)
  resets[3] = True
  _, h = linear_recurrence(a, b, h0, resets=resets)
  close(h[:3], linear_recurrence(a[:3], b[:3], h0)[1])
  close(h[3:], linear_recurrence(a[3:], b[3:], jnp.zeros_like(h0))[1])


@pytest.mark.parametrize(
  ('dtype', 'state'), [(jnp.bfloat16, 'float32'), (jnp.complex64, 'complex64')]
)
def test_the_state_is_float32_or_wider(dtype: Any, state: str) -> None:
  a, b, h0, _ = map(jnp.asarray, make_args(float, (FEATURES,), BATCH))
  b, h0 = b.astype(jnp.bfloat16), h0.astype(jnp.bfloat16)
  a = a.astype(dtype)
  h_final, h = linear_recurrence(a, b, h0)
  assert h_final.dtype == h.dtype == state
  wide = (jnp.asarray(x, state) for x in (a, b, h0))
  close(h, linear_recurrence(*wide)[1])


def test_the_reverse_pass_stores_no_partial_sums() -> None:
  a, h0 = jnp.full((64, FEATURES), 0.5), jnp.ones(FEATURES)
  _, pullback = jax.vjp(linear_recurrence, a, a, h0)
  stored = sum(x.size for x in jax.tree.leaves(pullback))
  assert stored < 3.5 * a.size  # Plain differentiation of the scan stores 5 times `b`.


def test_arguments_that_do_not_fit_are_named() -> None:
  a, b, h0, _ = map(jnp.asarray, make_args(float, (FEATURES,), BATCH))
  for bad, message in [
    ({'a': jnp.ones(3)}, r'a: got shape \(3,\), expected one that broadcasts to \(5,'),
    ({'a': a.reshape(1, 1, 1, -1)}, r'a: got shape \(1, 1, 1, 2\), expected'),
    ({'b': b[0, 0]}, r'b: got shape \(2,\), expected \(time, \*batch, features\)'),
    ({'h0': h0[1:]}, r'h0: got \(2, 2\), expected \(3, 2\)'),
    ({'reset_to': h0[0]}, r'reset_to: got \(2,\), expected \(3, 2\)'),
    ({'valid': VALID.astype(int)}, r'valid: got .*int64.*, expected .*bool'),
    ({'resets': RESETS[:, 1:]}, r'resets: got \(\(5, 2\).*, expected \(\(5, 3\)'),
  ]:
    with pytest.raises(ValueError, match=message):
      linear_recurrence(**({'a': a, 'b': b, 'h0': h0} | bad))
