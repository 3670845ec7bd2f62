"""Each cell against its paper's equations, written as a loop in torch in float64."""

import functools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import Tensor, sigmoid, tanh
from torch.nn import functional as F

from convscan.architectures import rnn
from convscan.architectures.rnn import RNN

BATCH, TIME, INPUTS, H, P = 2, 4, 3, 5, 2
close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)


def gates(p: Any, x: Tensor, h: Tensor, size: int = H) -> Any:
  """The sums of a gate's two products and its bias, by gate."""
  return (x @ p['kernel'] + h @ p['recurrent_kernel'] + p['bias']).split(size, -1)


def elman(p: Any, x: Tensor, h: Tensor) -> Tensor:
  (z,) = gates(p, x, h)
  return tanh(z)


def irnn(p: Any, x: Tensor, h: Tensor) -> Tensor:
  (z,) = gates(p, x, h)
  return z.clamp(min=0)


def indrnn(p: Any, x: Tensor, h: Tensor) -> Tensor:
  return (x @ p['kernel'] + p['recurrent_kernel'] * h + p['bias']).clamp(min=0)


def lstm(p: Any, x: Tensor, state: Any) -> Any:
  c, h = state
  i, f, g, o = gates(p, x, h)
  c = sigmoid(f) * c + sigmoid(i) * tanh(g)
  return c, sigmoid(o) * tanh(c)


def peephole_lstm(p: Any, x: Tensor, state: Any) -> Any:
  c, h = state
  i, f, g, o = gates(p, x, h)
  i, f = sigmoid(i + p['input_peephole'] * c), sigmoid(f + p['forget_peephole'] * c)
  c = f * c + i * tanh(g)
  return c, sigmoid(o + p['output_peephole'] * c) * tanh(c)


def coupled_lstm(p: Any, x: Tensor, state: Any) -> Any:
  c, h = state
  f, g, o = gates(p, x, h)
  c = sigmoid(f) * c + (1 - sigmoid(f)) * tanh(g)
  return c, sigmoid(o) * tanh(c)


def projected_lstm(p: Any, x: Tensor, state: Any) -> Any:
  c, m = lstm(p, x, state)
  return c, m @ p['projection']


def norm(z: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
  return F.layer_norm(z, z.shape[-1:], scale, bias, 1e-5)


def layer_norm_lstm(p: Any, x: Tensor, state: Any) -> Any:
  c, h = state
  zx = norm(x @ p['kernel'], p['input_scale'])
  zh = norm(h @ p['recurrent_kernel'], p['recurrent_scale'])
  i, f, g, o = (zx + zh + p['bias']).split(H, -1)
  c = sigmoid(f) * c + sigmoid(i) * tanh(g)
  return c, sigmoid(o) * tanh(norm(c, p['cell_scale'], p['cell_bias']))


def layer_norm_gru(p: Any, x: Tensor, h: Tensor) -> Tensor:
  rz, n = slice(0, 2 * H), slice(2 * H, 3 * H)
  zx, zh, b = x @ p['kernel'], h @ p['recurrent_kernel'], p['bias']
  sx, sh = p['input_scale'], p['recurrent_scale']
  both = norm(zx[:, rz], sx[rz]) + norm(zh[:, rz], sh[rz], b[rz])
  r, z = sigmoid(both).split(H, -1)
  xn, hn = norm(zx[:, n], sx[n], b[n]), norm(zh[:, n], sh[n], p['recurrent_bias'])
  return (1 - z) * tanh(xn + r * hn) + z * h


def gru(p: Any, x: Tensor, h: Tensor) -> Tensor:
  xr, xz, xn = (x @ p['kernel'] + p['bias']).split(H, -1)
  hr, hz, hn = (h @ p['recurrent_kernel']).split(H, -1)
  r, z = sigmoid(xr + hr), sigmoid(xz + hz)
  n = tanh(xn + r * (hn + p['recurrent_bias']))
  return (1 - z) * n + z * h


def mgu(p: Any, x: Tensor, h: Tensor) -> Tensor:
  xf, xn = (x @ p['kernel'] + p['bias']).split(H, -1)
  hf, hn = (h @ p['recurrent_kernel']).split(H, -1)
  f = sigmoid(xf + hf)
  return (1 - f) * tanh(xn + f * (hn + p['recurrent_bias'])) + f * h


def reset_before_gru(p: Any, x: Tensor, h: Tensor, product: Any = torch.matmul) -> Any:
  W_r, W_z, W_n = p['kernel'].split(H, -1)
  R_r, R_z, R_n = p['recurrent_kernel'].split(H, -1)
  b_r, b_z, b_n = p['bias'].split(H, -1)
  r = sigmoid(product(x, W_r) + product(h, R_r) + b_r)
  z = sigmoid(product(x, W_z) + product(h, R_z) + b_z)
  n = tanh(product(x, W_n) + product(r * h, R_n) + b_n)
  return (1 - z) * n + z * h


def convolve(x: Tensor, kernel: Tensor) -> Tensor:
  window = kernel.shape[:-2]
  conv = (F.conv1d, F.conv2d, F.conv3d)[len(window) - 1]
  # From the last axis to the first; an even window reaches further after a place.
  pads = [n for k in window[::-1] for n in ((k - 1) // 2, k // 2)]
  x = F.pad(x.movedim(-1, 1), pads)
  return conv(x, kernel.permute(-1, -2, *range(len(window)))).movedim(1, -1)


def conv_lstm(p: Any, x: Tensor, state: Any) -> Any:
  c, h = state
  z = convolve(x, p['kernel']) + convolve(h, p['recurrent_kernel']) + p['bias']
  i, f, g, o = z.split(H, -1)
  c = sigmoid(f) * c + sigmoid(i) * tanh(g)
  return c, sigmoid(o) * tanh(c)


class Case(NamedTuple):
  cell: nn.RNNCellBase
  step: Callable[..., Any]
  num_params: int
  space: tuple[int, ...] = ()


# By its published formula, the number of parameters.
d, h, p = INPUTS, H, P
CASES = {
  'elman': Case(rnn.ElmanCell(H), elman, h * (d + h + 1)),
  'irnn': Case(rnn.ElmanCell(H, activation_fn=nn.relu), irnn, h * (d + h + 1)),
  'indrnn': Case(rnn.IndRNNCell(H), indrnn, h * (d + 2)),
  'lstm': Case(rnn.LSTMCell(H), lstm, 4 * h * (d + h + 1)),
  'peephole_lstm': Case(
    rnn.PeepholeLSTMCell(H), peephole_lstm, 4 * h * (d + h + 1) + 3 * h
  ),
  'coupled_lstm': Case(rnn.CoupledLSTMCell(H), coupled_lstm, 3 * h * (d + h + 1)),
  # In torch 4h(d + p + 2) + ph: it has two biases.
  'projected_lstm': Case(
    rnn.ProjectedLSTMCell(H, P), projected_lstm, 4 * h * (d + p + 1) + p * h
  ),
  'layer_norm_lstm': Case(
    rnn.LayerNormLSTMCell(H), layer_norm_lstm, 4 * h * (d + h + 3) + 2 * h
  ),
  'gru': Case(rnn.GRUCell(H), gru, 3 * h * (d + h) + 4 * h),
  'layer_norm_gru': Case(
    rnn.LayerNormGRUCell(H), layer_norm_gru, 3 * h * (d + h + 2) + 4 * h
  ),
  'mgu': Case(rnn.MGUCell(H), mgu, 2 * h * (d + h) + 3 * h),
  'reset_before_gru': Case(
    rnn.ResetBeforeGRUCell(H), reset_before_gru, 3 * h * (d + h + 1)
  ),
  'conv_lstm_2d': Case(
    rnn.ConvLSTMCell(H, (3, 2)), conv_lstm, 4 * h * (6 * (d + h) + 1), (3, 4)
  ),
  'conv_lstm_3d': Case(
    rnn.ConvLSTMCell(H, (2, 1, 3)), conv_lstm, 4 * h * (6 * (d + h) + 1), (2, 3, 4)
  ),
  'conv_gru_1d': Case(
    rnn.ConvGRUCell(H, (3,)),
    partial(reset_before_gru, product=convolve),
    3 * h * (3 * (d + h) + 1),
    (5,),
  ),
}


def test_every_cell_has_a_case() -> None:
  cells = {name for name in rnn.__all__ if name.endswith('Cell')}
  cells = {name for name in cells if issubclass(getattr(rnn, name), rnn.RecurrentCell)}
  bases = {'RecurrentCell', 'GatedCell'}
  assert cells - bases == {type(case.cell).__name__ for case in CASES.values()}


def inputs_and_variables(case: Case) -> tuple[Any, Any, Any]:
  """Returns random inputs, parameters and carry, in numpy."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=(BATCH, TIME, *case.space, INPUTS))
  carry = case.cell.initialize_carry(jax.random.key(0), x[:, 0].shape)
  shapes = jax.eval_shape(case.cell.init, jax.random.key(0), carry, x[:, 0])['params']

  def draw(leaf: Any) -> np.ndarray:
    fan_in = np.prod(leaf.shape[:-1]) if len(leaf.shape) > 1 else 1
    return rng.normal(size=leaf.shape).astype(np.float32) / np.sqrt(fan_in, dtype='f')

  return x.astype(np.float32), jax.tree.map(draw, shapes), jax.tree.map(draw, carry)


def loss(ys: Any, carry: Any, sin: Any) -> Any:
  """A scalar that depends on each output, and each part of the final carry."""
  return sin(ys * 1.5).sum() + sum(sin(s * 2.5).sum() for s in carry)


def as_tuple(carry: Any) -> Any:
  return carry if isinstance(carry, tuple) else (carry,)


def in_torch(step: Any, x: Any, params: Any, carry: Any) -> Any:
  """Runs the equations; returns the outputs, the final carry and the gradients."""
  leaves, tree = jax.tree.flatten((params, x, carry))
  leaves = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in leaves]
  params, x, state = jax.tree.unflatten(tree, leaves)
  ys = []
  for t in range(TIME):
    state = step(params, x[:, t], state)
    ys.append(as_tuple(state)[-1])
  y = torch.stack(ys, 1)
  loss(y, as_tuple(state), torch.sin).backward()
  grads = jax.tree.unflatten(tree, [a.grad.numpy() for a in leaves])
  return y.detach().numpy(), jax.tree.map(lambda s: s.detach().numpy(), state), grads


@functools.cache
def in_jax(name: str) -> Any:
  """As `in_torch`, by `RNN`."""
  cell = CASES[name].cell

  @jax.jit
  @partial(jax.grad, argnums=(0, 1, 2), has_aux=True)
  def run(params: Any, x: Any, carry: Any) -> Any:
    final, y = RNN(cell, return_carry=True).apply(
      {'params': {'cell': params}}, x, initial_carry=carry
    )
    return loss(y, as_tuple(final), jnp.sin), (y, final)

  x, params, carry = inputs_and_variables(CASES[name])
  grads, (y, final) = run(params, x, carry)
  return y, final, grads


@pytest.mark.parametrize('name', CASES)
def test_a_cell_computes_its_equations_and_their_gradients(name: str) -> None:
  x, params, carry = inputs_and_variables(CASES[name])
  expected = in_torch(CASES[name].step, x, params, carry)
  jax.tree.map(close, in_jax(name), expected)
  # The comparison means something: no parameter is without effect.
  assert all(np.abs(g).max() > 1e-3 for g in jax.tree.leaves(expected))


@pytest.mark.parametrize('name', CASES)
def test_stepping_a_cell_equals_running_it(name: str) -> None:
  case = CASES[name]
  x, params, carry = inputs_and_variables(case)
  step = jax.jit(partial(case.cell.apply, {'params': params}))
  ys = []
  for t in range(TIME):
    carry, y = step(carry, x[:, t])
    ys.append(y)
  jax.tree.map(close, in_jax(name)[:2], (jnp.stack(ys, 1), carry))


@pytest.mark.parametrize('name', CASES)
def test_parameters_are_as_many_as_published(name: str) -> None:
  _, params, _ = inputs_and_variables(CASES[name])
  assert sum(a.size for a in params.values()) == CASES[name].num_params


@pytest.mark.parametrize('name', CASES)
def test_bfloat16_cells_keep_a_float32_state(name: str) -> None:
  case = CASES[name]
  x, params, carry = inputs_and_variables(case)
  cell = case.cell.clone(dtype=jnp.bfloat16, param_dtype=jnp.bfloat16)
  half = jax.tree.map(lambda a: jnp.asarray(a, jnp.bfloat16), params)
  start = cell.initialize_carry(jax.random.key(0), x[:, 0].shape)
  assert {s.dtype for s in as_tuple(start)} == {jnp.dtype(jnp.float32)}
  initialised = jax.eval_shape(cell.init, jax.random.key(0), start, x[:, 0])
  assert {a.dtype for a in jax.tree.leaves(initialised)} == {jnp.dtype(jnp.bfloat16)}
  final, y = jax.jit(cell.apply)({'params': half}, carry, x[:, 0])
  assert y.dtype == jnp.bfloat16
  assert {s.dtype for s in as_tuple(final)} == {jnp.dtype(jnp.float32)}
  np.testing.assert_allclose(y.astype(np.float32), in_jax(name)[0][:, 0], atol=0.1)
