"""Cells against torch and Haiku."""

from functools import partial
from typing import Any

import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from convscan.architectures.rnn import (
  RNN,
  ElmanCell,
  GRUCell,
  LSTMCell,
  ProjectedLSTMCell,
  ResetBeforeGRUCell,
)

BATCH, TIME, INPUTS, H = 3, 6, 5, 4
X = jnp.asarray(np.random.default_rng(0).normal(size=(BATCH, TIME, INPUTS)), np.float32)
close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)


def drawn(*shapes: tuple[int, ...]) -> list[Any]:
  """Arrays of normal numbers, scaled by the square root of their first axis."""
  rng = np.random.default_rng(2)
  return [(rng.normal(size=s) / np.sqrt(s[0])).astype(np.float32) for s in shapes]


@pytest.mark.filterwarnings('ignore:LSTM with projections')  # It is slow there.
@pytest.mark.parametrize('name', ['tanh', 'relu', 'lstm', 'gru', 'projected'])
def test_a_sequence_equals_torch(name: str) -> None:
  cell, module = {
    'tanh': (ElmanCell(H), torch.nn.RNN(INPUTS, H)),
    'relu': (
      ElmanCell(H, activation_fn=nn.relu),
      torch.nn.RNN(INPUTS, H, nonlinearity='relu'),
    ),
    'lstm': (LSTMCell(H), torch.nn.LSTM(INPUTS, H)),
    'gru': (GRUCell(H), torch.nn.GRU(INPUTS, H)),
    'projected': (ProjectedLSTMCell(H, 3), torch.nn.LSTM(INPUTS, H, proj_size=3)),
  }[name]
  shapes = {key: p.shape for key, p in module.state_dict().items()}
  state = dict(zip(shapes, drawn(*shapes.values()), strict=True))
  module.load_state_dict({key: torch.from_numpy(p) for key, p in state.items()})
  params = {
    'kernel': state['weight_ih_l0'].T,
    'recurrent_kernel': state['weight_hh_l0'].T,
    'bias': state['bias_ih_l0'] + state['bias_hh_l0'],
  }
  if name == 'gru':
    params['bias'] = state['bias_ih_l0'] + np.r_[state['bias_hh_l0'][: 2 * H], H * [0]]
    params['recurrent_bias'] = state['bias_hh_l0'][2 * H :]
  if name == 'projected':
    params['projection'] = state['weight_hr_l0'].T
  params = jax.tree.map(partial(jnp.asarray, dtype=jnp.float32), params)
  rnn = RNN(cell, time_major=True, return_carry=True)
  x = X.swapaxes(0, 1)
  carry, y = rnn.apply({'params': {'cell': params}}, x)
  with torch.no_grad():
    expected, states = module(torch.from_numpy(np.array(x)))
  close(y, expected.numpy())
  states = states[::-1] if isinstance(states, tuple) else (states,)
  for got, state in zip(jax.tree.leaves(carry), states, strict=True):
    close(got, state[0].numpy())


def test_a_reset_before_gru_step_equals_haiku() -> None:
  kernel, recurrent_kernel, bias = drawn((INPUTS, 3 * H), (H, 3 * H), (3 * H,))
  (h,) = drawn((BATCH, H))
  params = {'kernel': kernel, 'recurrent_kernel': recurrent_kernel, 'bias': bias}
  _, got = ResetBeforeGRUCell(H).apply({'params': params}, h, X[:, 0])

  def z_r_n(w: Any) -> Any:
    r, z, n = np.split(w, 3, axis=-1)
    return np.concatenate([-z, r, n], axis=-1)  # Its z is our 1 - z.

  theirs = {
    'w_i': z_r_n(kernel),
    'w_h': z_r_n(recurrent_kernel),
    'b': z_r_n(bias),
  }
  gru = hk.without_apply_rng(hk.transform(lambda x, h: hk.GRU(H)(x, h)[0]))
  close(got, gru.apply({'gru': theirs}, X[:, 0], h))
