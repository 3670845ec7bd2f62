"""Linear cells against the papers' equations, step by step in numpy's float64."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures import rnn
from convscan.architectures.rnn import (
  LinearCell,
  LRUCell,
  MinGRUCell,
  MinLSTMCell,
  QRNNCell,
  RGLRUCell,
  SRUCell,
)

TIME, BATCH, H = 5, 4, 3
close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)

# The cell, and the size of its inputs.
CELLS: dict[str, tuple[Any, int]] = {
  'min_gru': (MinGRUCell, 2),
  'min_lstm': (MinLSTMCell, 2),
  'qrnn_1': (partial(QRNNCell, window=1), 2),
  'qrnn_2': (QRNNCell, 2),
  'qrnn_3': (partial(QRNNCell, window=3), 2),
  'sru': (SRUCell, H),
  'sru_projected': (SRUCell, 2),
  'lru': (partial(LRUCell, r_min=0.5, r_max=0.9), H),
  'lru_projected': (partial(LRUCell, state_features=2, r_min=0.5, r_max=0.9), 2),
  'rg_lru': (RGLRUCell, H),
  'rg_lru_projected': (RGLRUCell, 2),
}


def test_every_cell_has_a_case() -> None:
  cells = {name for name in rnn.__all__ if name.endswith('Cell')}
  cells = {name for name in cells if issubclass(getattr(rnn, name), LinearCell)}
  made = {type(cell(H)).__name__ for cell, _ in CELLS.values()}
  assert cells - {'LinearCell'} == made


PARAMS: dict[str, dict[str, tuple[int, ...]]] = {
  'min_gru': {'kernel': (2, 2 * H), 'bias': (2 * H,)},
  'min_lstm': {'kernel': (2, 3 * H), 'bias': (3 * H,)},
  'qrnn_1': {'kernel': (2, 3 * H), 'bias': (3 * H,)},
  'qrnn_2': {'kernel': (4, 3 * H), 'bias': (3 * H,)},
  'qrnn_3': {'kernel': (6, 3 * H), 'bias': (3 * H,)},
  'sru': {'kernel': (H, 3 * H), 'bias': (2 * H,)},
  'sru_projected': {'kernel': (2, 4 * H), 'bias': (2 * H,)},
  'lru': {
    'kernel': (H, 2 * H),
    'nu_log': (H,),
    'theta_log': (H,),
    'gamma_log': (H,),
    'output_kernel': (2 * H, H),
    'skip': (H,),
  },
  'lru_projected': {
    'kernel': (2, 4),
    'nu_log': (2,),
    'theta_log': (2,),
    'gamma_log': (2,),
    'output_kernel': (4, H),
    'skip_kernel': (2, H),
  },
  'rg_lru': {'kernel': (H, 2 * H), 'bias': (2 * H,), 'decay': (H,)},
  'rg_lru_projected': {'kernel': (2, 3 * H), 'bias': (2 * H,), 'decay': (H,)},
}
# Gaps at both ends and within, a row without a valid step, and one without a gap.
VALID = (
  np.array([[0, 0, 1, 1], [1, 0, 1, 0], [1, 0, 1, 0], [0, 0, 1, 1], [1, 0, 1, 1]]) > 0
)
# At valid steps and at others, at the ends, and twice in a row.
RESETS = np.zeros((TIME, BATCH), bool)
RESETS[[3, 2, 0, 2, 3, 1, 3], [0, 1, 2, 2, 2, 3, 3]] = True
MASKS: dict[str, Any] = {
  'none': {},
  'valid': {'valid': VALID},
  'resets': {'resets': RESETS},
  'both': {'valid': VALID, 'resets': RESETS},
  'backwards': {'valid': VALID, 'resets': RESETS, 'reverse': True},
}


def sigmoid(x: Any) -> Any:
  return 1 / (1 + np.exp(-x))


def numpy_step(name: str, p: Any, x: Any, carry: Any) -> Any:
  """One step of one sequence, as the paper writes it: the new carry and the output."""
  kind = name.removesuffix('_projected')
  if kind == 'min_gru':
    z, h = np.split(x @ p['kernel'] + p['bias'], 2)
    h = (1 - sigmoid(z)) * carry + sigmoid(z) * h
    return h, h
  if kind == 'min_lstm':
    f, i, h = np.split(x @ p['kernel'] + p['bias'], 3)
    f, i = sigmoid(f), sigmoid(i)
    h = f / (f + i) * carry + i / (f + i) * h
    return h, h
  if kind.startswith('qrnn'):
    past, c = carry
    window = [*past, x]
    taps = np.split(p['kernel'], len(window))
    z, f, o = np.split(sum(u @ W for u, W in zip(window, taps, strict=True)), 3)
    bz, bf, bo = np.split(p['bias'], 3)
    z, f, o = np.tanh(z + bz), sigmoid(f + bf), sigmoid(o + bo)
    c = f * c + (1 - f) * z
    return (np.array(window[1:]).reshape(past.shape), c), o * c
  if kind == 'sru':
    Wf, Wr, W, *Wx = np.split(p['kernel'], p['kernel'].shape[1] // H, axis=1)
    bf, br = np.split(p['bias'], 2)
    f, r = sigmoid(x @ Wf + bf), sigmoid(x @ Wr + br)
    c = f * carry + (1 - f) * (x @ W)
    return c, r * c + (1 - r) * (x @ Wx[0] if Wx else x)
  if kind == 'lru':
    B, C = np.split(p['kernel'], 2, axis=1), np.split(p['output_kernel'], 2)
    B, C = B[0] + 1j * B[1], C[0] + 1j * C[1]
    h = np.exp(-np.exp(p['nu_log']) + 1j * np.exp(p['theta_log'])) * carry
    h = h + np.exp(p['gamma_log']) * (x @ B)
    D = p['skip_kernel'] if 'skip_kernel' in p else np.diag(p['skip'])
    return h, (h @ C).real + x @ D
  Wa, Wx, *W = np.split(p['kernel'], p['kernel'].shape[1] // H, axis=1)
  ba, bx = np.split(p['bias'], 2)
  r, i = sigmoid(x @ Wa + ba), sigmoid(x @ Wx + bx)
  a = np.exp(-8 * np.log(1 + np.exp(p['decay'])) * r)
  h = a * carry + np.sqrt(1 - a**2) * i * (x @ W[0] if W else x)
  return h, h


def numpy_run(
  name: str,
  args: Any,
  valid: Any = None,
  resets: Any = None,
  reverse: bool = False,
) -> Any:
  """Sequence by sequence and step by step; a step that is not valid is left out."""
  p, start, xs, reset_to = args
  valid = np.ones((TIME, BATCH), bool) if valid is None else valid
  resets = np.zeros((TIME, BATCH), bool) if resets is None else resets
  ys, finals = np.zeros((TIME, BATCH, H)), []
  for n in range(BATCH):
    carry = jax.tree.map(lambda x: x[n], start)  # noqa: B023
    for t in range(TIME)[:: -1 if reverse else 1]:
      if resets[t, n]:
        carry = jax.tree.map(lambda x: x[n], reset_to)  # noqa: B023
      if valid[t, n]:
        carry, ys[t, n] = numpy_step(name, p, xs[t, n], carry)
    finals.append(carry)
  return jax.tree.map(lambda *x: np.stack(x), *finals), ys


def make_args(name: str) -> Any:
  """Parameters, carry, inputs and the carry after a reset, in float64."""
  cell, inputs = CELLS[name]
  rng = np.random.default_rng(0)
  params = {key: 0.7 * rng.normal(size=shape) for key, shape in PARAMS[name].items()}
  shapes = cell(H).initialize_carry(jax.random.key(0), (BATCH, inputs))

  def draw(x: Any) -> Any:
    real, imag = rng.normal(size=(2, *x.shape))
    return real + 1j * imag if jnp.iscomplexobj(x) else real

  start, reset_to = (jax.tree.map(draw, shapes) for _ in range(2))
  return params, start, rng.normal(size=(TIME, BATCH, inputs)), reset_to


@partial(jax.jit, static_argnames=('name', 'reverse'))
def run(name: str, args: Any, **masks: Any) -> Any:
  params, carry, xs, reset_to = args
  cell = CELLS[name][0](H)
  call = partial(cell.apply, {'params': params}, method='run')
  return call(carry, xs, reset_to=reset_to, **masks)


def single(args: Any) -> Any:
  return jax.tree.map(jnp.asarray, args)


def scalar(outputs: Any) -> Any:
  """A number that depends on the outputs and the final carry, for either library."""
  carry, ys = outputs
  weights = np.cos(np.arange(ys.size)).reshape(ys.shape).astype(ys.dtype)
  final = sum((x.real**2 + x.imag).sum() for x in jax.tree.leaves(carry))
  return (weights * ys**2).sum() + 0.3 * final


@pytest.mark.parametrize('name', CELLS)
def test_parameters_have_the_documented_shapes(name: str) -> None:
  cell, inputs = CELLS[name]
  x = jnp.ones((BATCH, inputs))
  carry = cell(H).initialize_carry(jax.random.key(0), x.shape)
  init = partial(cell(H).init_with_output, jax.random.key(0))
  (new, y), variables = jax.eval_shape(init, carry, x)
  assert jax.tree.map(lambda x: x.shape, variables) == {'params': PARAMS[name]}
  assert y.shape == (BATCH, H)
  shape = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)  # noqa: E731
  assert shape(new) == shape(carry)
  assert not any(x.any() for x in jax.tree.leaves(carry))


@pytest.mark.parametrize(
  ('name', 'masks'),
  [
    (name, masks)
    for name in CELLS
    for masks in (MASKS if name.startswith('qrnn') else ['none', 'backwards'])
  ],
)
def test_equals_the_equations(name: str, masks: str) -> None:
  args = make_args(name)
  got = run(name, single(args), **MASKS[masks])
  expected = numpy_run(name, args, **MASKS[masks])
  jax.tree.map(close, got, expected)
  assert expected[1].std() > 0.1


def central(f: Any, args: Any, along: Any, step: float) -> Any:
  """The slope of `f` along a direction, to the square of the step."""
  move = lambda s: jax.tree.map(lambda x, v: x + s * v, args, along)  # noqa: E731
  return (f(move(step)) - f(move(-step))) / (2 * step)


@pytest.mark.parametrize('name', CELLS)
def test_gradients_equal_central_differences(name: str) -> None:
  args = make_args(name)
  masks = MASKS['backwards' if name == 'qrnn_2' else 'both']
  got = jax.jit(jax.grad(lambda args: scalar(run(name, args, **masks))))(single(args))
  leaves, tree = jax.tree.flatten(args)
  zeros = [np.zeros_like(x) for x in leaves]
  f = lambda args: scalar(numpy_run(name, args, **masks))  # noqa: E731
  slopes = []
  for n, leaf in enumerate(leaves):
    slope = np.zeros_like(leaf)
    for index in np.ndindex(leaf.shape):
      for unit in [1, 1j] if np.iscomplexobj(leaf) else [1]:
        along = [x.copy() for x in zeros]
        along[n][index] = unit
        # jax.grad is the conjugate of the steepest ascent.
        slope[index] += np.conj(unit) * central(
          f, args, jax.tree.unflatten(tree, along), 1e-5
        )
    slopes.append(slope)
  expected = jax.tree.unflatten(tree, slopes)
  jax.tree.map(close, got, expected)
  assert all(np.any(x) for x in slopes if x.size)


@pytest.mark.parametrize('name', ['min_lstm', 'qrnn_3', 'lru', 'rg_lru'])
def test_forward_mode_and_hessian_vector_products(name: str) -> None:
  args, masks = make_args(name), MASKS['both']
  along = jax.tree.map(lambda x: 0.3 * np.cos(x), args)

  @jax.jit
  def ours(args: Any, along: Any) -> Any:
    f = lambda args: scalar(run(name, args, **masks))  # noqa: E731
    slope, hvp = jax.jvp(jax.grad(f), (args,), (along,))
    curvature = sum(
      (h * v).sum().real
      for h, v in zip(jax.tree.leaves(hvp), jax.tree.leaves(along), strict=True)
    )
    return jax.jvp(f, (args,), (along,))[1], curvature, slope

  slope, curvature, _ = ours(single(args), single(along))
  f = lambda args: scalar(numpy_run(name, args, **masks))  # noqa: E731
  close(slope, central(f, args, along, 1e-5))
  second = central(lambda args: central(f, args, along, 1e-3), args, along, 1e-3)
  np.testing.assert_allclose(curvature, second, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize('name', ['sru', 'lru', 'rg_lru', 'qrnn_1', 'qrnn_2', 'qrnn_3'])
def test_steps_and_pieces_equal_the_whole(name: str) -> None:
  args = single(make_args(name))
  params, carry, xs, reset_to = args
  cell = CELLS[name][0](H)
  apply = jax.jit(partial(cell.apply, {'params': params}))
  given = {'valid': jnp.asarray(VALID), 'resets': jnp.asarray(RESETS)}
  whole = run(name, args, **given)

  start, pieces = carry, []
  for piece in [slice(0, 1), slice(1, 1), slice(1, 4), slice(4, 5)]:
    flags = {key: x[piece] for key, x in given.items()}
    carry, ys = run(name, (params, carry, xs[piece], reset_to), **flags)
    pieces.append(ys)
  jax.tree.map(close, (carry, jnp.concatenate(pieces)), whole)

  # Step by step, with the masks by hand.
  def select(flags: Any, yes: Any, no: Any) -> Any:
    flags = jnp.expand_dims(flags, range(1, yes.ndim))
    return jnp.where(flags, yes, no)

  carry = start
  for t in range(TIME):
    carry = jax.tree.map(partial(select, RESETS[t]), reset_to, carry)
    new, y = apply(carry, xs[t])
    carry = jax.tree.map(partial(select, VALID[t]), new, carry)
    close(select(VALID[t], y, 0), whole[1][t])
  jax.tree.map(close, carry, whole[0])


@pytest.mark.parametrize('name', ['min_gru', 'qrnn_3', 'lru_projected'])
def test_resets_start_sequences_of_their_own_from_zeros(name: str) -> None:
  params, carry, xs, _ = single(make_args(name))
  zeros = jax.tree.map(jnp.zeros_like, carry)
  resets = np.zeros((TIME, BATCH), bool)
  resets[2] = True
  call = partial(CELLS[name][0](H).apply, {'params': params}, method='run')
  final, ys = call(carry, xs, resets=resets)
  close(ys[:2], call(carry, xs[:2])[1])
  jax.tree.map(close, (final, ys[2:]), call(zeros, xs[2:]))


@pytest.mark.parametrize('name', ['min_gru', 'qrnn_3', 'lru_projected'])
def test_without_a_valid_step_the_carry_stays_and_outputs_are_zero(name: str) -> None:
  params, carry, xs, _ = single(make_args(name))
  call = partial(CELLS[name][0](H).apply, {'params': params}, method='run')
  xs = jnp.where(VALID[..., None], xs, jnp.nan)  # Padding may hold anything.
  final, ys = call(carry, xs, valid=VALID)
  row = lambda tree: jax.tree.map(lambda x: x[1], tree)  # noqa: E731
  jax.tree.map(np.testing.assert_array_equal, row(final), row(carry))
  assert not np.asarray(ys)[~VALID].any()
  assert all(np.isfinite(x).all() for x in jax.tree.leaves((final, ys)))
  for reverse in (False, True):
    final, ys = call(carry, xs[:0], valid=VALID[:0], reverse=reverse)
    assert ys.shape == (0, BATCH, H)
    jax.tree.map(np.testing.assert_array_equal, final, carry)


@pytest.mark.parametrize('name', ['min_gru', 'qrnn_3', 'lru_projected'])
def test_batch_axes_and_vmap(name: str) -> None:
  args = single(make_args(name))
  params, carry, xs, reset_to = args
  expected = run(name, args, valid=VALID, resets=RESETS)

  two = lambda x: x.reshape(2, 2, *x.shape[1:])  # noqa: E731
  stacked = jax.tree.map(two, (carry, reset_to))
  fold = lambda x: x.reshape(TIME, 2, 2, *x.shape[2:])  # noqa: E731
  final, ys = run(
    name,
    (params, stacked[0], fold(xs), stacked[1]),
    valid=fold(VALID),
    resets=fold(RESETS),
  )
  jax.tree.map(close, (final, ys), (jax.tree.map(two, expected[0]), fold(expected[1])))

  def one(params: Any, carry: Any, xs: Any, reset_to: Any, *flags: Any) -> Any:
    valid, resets = flags
    return run(name, (params, carry, xs, reset_to), valid=valid, resets=resets)

  over_batch = jax.jit(jax.vmap(one, (None, 0, 1, 0, 1, 1), (0, 1)))
  got = over_batch(params, carry, xs, reset_to, VALID, RESETS)
  jax.tree.map(close, got, expected)


@pytest.mark.parametrize('name', CELLS)
def test_bfloat16_cells_keep_a_wide_state(name: str) -> None:
  cell, inputs = CELLS[name]
  half = cell(H, dtype=jnp.bfloat16, param_dtype=jnp.bfloat16)
  args = make_args(name)
  carry = half.initialize_carry(jax.random.key(0), (BATCH, inputs))
  init = partial(half.init, jax.random.key(0))
  variables = jax.eval_shape(init, carry, jnp.ones((BATCH, inputs)))
  dtypes = lambda tree: {x.dtype.name for x in jax.tree.leaves(tree)}  # noqa: E731
  assert dtypes(variables) == {'bfloat16'}
  params, xs = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), (args[0], args[2]))
  carry, reset_to = single((args[1], args[3]))
  call = jax.jit(partial(half.apply, method='run'))
  given: Any = {'valid': VALID, 'resets': RESETS, 'reset_to': reset_to}
  final, ys = call({'params': params}, carry, xs, **given)
  assert ys.dtype == jnp.bfloat16
  assert dtypes(final) == ({'complex64'} if name.startswith('lru') else {'float32'})
  expected = numpy_run(name, args, VALID, RESETS)
  got = final, ys.astype(jnp.float32)
  jax.tree.map(partial(np.testing.assert_allclose, atol=0.15), got, expected)


def test_a_window_of_bfloat16_inputs_is_kept_exactly() -> None:
  cell = QRNNCell(H, window=3, dtype=jnp.bfloat16)
  xs = jnp.asarray(make_args('qrnn_3')[2], jnp.bfloat16)
  carry = cell.initialize_carry(jax.random.key(0), xs.shape[1:])
  variables = cell.init(jax.random.key(0), carry, xs[0])
  (past, _), _ = cell.apply(variables, carry, xs, method='run')
  assert past.dtype == jnp.float32
  np.testing.assert_array_equal(past, xs[-2:].swapaxes(0, 1).astype(jnp.float32))


def test_the_gates_of_min_lstm_may_both_round_to_zero() -> None:
  cell = MinLSTMCell(1)
  params = {'kernel': jnp.zeros((1, 3)), 'bias': jnp.array([-200.0, -201.0, 1.0])}
  h, _ = cell.apply({'params': params}, jnp.full((1,), 2.0), jnp.ones(1))
  f = sigmoid(1.0)  # exp(-200) / (exp(-200) + exp(-201))
  close(h, [2 * f + (1 - f)])


def test_rg_lru_near_a_decay_of_one() -> None:
  """`sqrt(1 - a^2)` in float32 would be 0 at -20, and its slope infinite at -200."""

  def step(gate: Any, x: Any) -> Any:
    params = {
      'kernel': jnp.zeros((1, 2)),
      'bias': jnp.stack([gate, 100.0]),
      'decay': jnp.zeros(1),
    }
    carry = jnp.zeros(1)
    return RGLRUCell(1).apply({'params': params}, carry, x[None])[0][0]

  value, slopes = jax.value_and_grad(step, (0, 1))(-20.0, 1.0)
  rate = 2 * 8 * np.log(2) * sigmoid(-20.0)
  np.testing.assert_allclose(value, np.sqrt(rate), rtol=1e-5)
  np.testing.assert_allclose(slopes, [np.sqrt(rate) / 2, np.sqrt(rate)], rtol=1e-5)
  assert all(np.isfinite(x) for x in jax.grad(step, (0, 1))(-200.0, 1.0))


def test_the_initial_decays_are_those_of_the_papers() -> None:
  size = 4000
  carry, x = jnp.zeros((1, size), jnp.complex64), jnp.ones((1, 1))
  cell = LRUCell(1, state_features=size, r_min=0.5, r_max=0.9, max_phase=1.0)
  p = jax.jit(cell.init)(jax.random.key(0), carry, x)['params']
  p = jax.tree.map(partial(np.asarray, dtype=np.float64), p)
  radius, phase = np.exp(-np.exp(p['nu_log'])), np.exp(p['theta_log'])
  # Uniform by area, so uniform in the square of the radius.
  quantiles = np.quantile(radius**2, [0, 0.25, 0.5, 1])
  np.testing.assert_allclose(quantiles, [0.25, 0.39, 0.53, 0.81], atol=0.02)
  np.testing.assert_allclose(np.quantile(phase, [0, 0.5, 1]), [0, 0.5, 1], atol=0.03)
  np.testing.assert_allclose(np.exp(2 * p['gamma_log']), 1 - radius**2, rtol=1e-4)
  np.testing.assert_allclose(p['kernel'].std(), np.sqrt(1 / 2), rtol=0.05)
  np.testing.assert_allclose(p['output_kernel'].std(), np.sqrt(1 / size), rtol=0.05)

  init = jax.jit(RGLRUCell(size).init)
  decay = init(jax.random.key(0), carry.real, x)['params']['decay']
  a = np.exp(-8 * np.log1p(np.exp(np.asarray(decay, np.float64))))
  quantiles = np.quantile(a, [0, 0.5, 1])
  np.testing.assert_allclose(quantiles, [0.9, 0.9495, 0.999], atol=0.003)


def test_initialisers_are_the_callers() -> None:
  ones = nn.initializers.ones
  for name, (cell, inputs) in CELLS.items():
    made = cell(H, kernel_init=ones, bias_init=ones, carry_init=ones)
    carry = made.initialize_carry(jax.random.key(0), (BATCH, inputs))
    params = made.init(jax.random.key(0), carry, jnp.ones((BATCH, inputs)))['params']
    for key in {'kernel', 'bias'} & params.keys():
      np.testing.assert_array_equal(params[key], 1, err_msg=name)
    np.testing.assert_array_equal(jax.tree.leaves(carry)[-1], 1, err_msg=name)


def test_what_does_not_fit_is_named() -> None:
  params, (past, c), xs, _ = single(make_args('qrnn_2'))
  apply = partial(QRNNCell(H).apply, {'params': params}, method='run')
  with pytest.raises(ValueError, match=r'carry: got past .*\(4, 2\), expected \(4, 1,'):
    apply((past[:, 0], c), xs)
  with pytest.raises(ValueError, match=r'reset_to: got past inputs of shape \(3, 1'):
    apply((past, c), xs, reset_to=(past[1:], c))
  with pytest.raises(ValueError, match=r'h0: got \(3, 3\), expected \(4, 3\)'):
    apply((past, c[1:]), xs)
  with pytest.raises(ValueError, match='valid: got'):
    apply((past, c), xs, valid=VALID[1:])
  with pytest.raises(ValueError, match='window: got 0, expected at least 1'):
    QRNNCell(H, window=0).initialize_carry(jax.random.key(0), (BATCH, 2))
  carry = jnp.zeros((BATCH, H), jnp.complex64)
  with pytest.raises(ValueError, match=r'r_min, r_max: got 0.5, 0.5, expected 0 <='):
    LRUCell(H, r_min=0.5, r_max=0.5).init(jax.random.key(0), carry, xs[0])
  with pytest.raises(ValueError, match=r'a_min, a_max: got 0.9, 1, expected 0 < a_min'):
    RGLRUCell(H, a_max=1).init(jax.random.key(0), carry.real, xs[0])
  with pytest.raises(NotImplementedError):
    LinearCell(H).init(jax.random.key(0), carry.real, xs[0])
