"""The recurrent layers that `recurrence.py` times: ours, the peers', the bare GEMMs."""

from collections.abc import Callable, Iterable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from rounds import num_cores

from convscan.architectures.rnn import RNN, ElmanCell, GRUCell, LSTMCell

GATES = {'lstm': 4, 'gru': 3, 'elman': 1}
OURS = {'lstm': LSTMCell, 'gru': GRUCell, 'elman': ElmanCell}
FLAX: dict[str, list[Any]] = {
  'lstm': [nn.LSTMCell, nn.OptimizedLSTMCell],
  'gru': [nn.GRUCell],
  'elman': [nn.SimpleCell],
}
HAIKU = {'lstm': 'LSTM', 'gru': 'GRU', 'elman': 'VanillaRNN'}
TORCH = {'lstm': 'LSTM', 'gru': 'GRU', 'elman': 'RNN'}
PASSES = ('forward', 'gradient')

Call = Callable[[], Any]
Passes = dict[str, Call]  # keys: PASSES


class Compiled:
  """A jitted function with its arguments; `compile` compiles it afresh."""

  def __init__(self, function: Callable[..., Any], *args: Any):
    self.function, self.args = function, args
    self.jitted = jax.jit(function)

  def __call__(self) -> Any:
    return jax.block_until_ready(self.jitted(*self.args))

  def compile(self) -> Any:
    jax.clear_caches()
    return jax.jit(lambda *args: self.function(*args)).lower(*self.args).compile()


def jax_passes(apply: Callable[[Any, Array], Array], params: Any, x: Array) -> Passes:
  def loss(params: Any, x: Array) -> Array:
    return jnp.sum(jnp.square(apply(params, x).astype(jnp.float32)))

  gradient = jax.grad(loss, argnums=(0, 1))
  return {
    'forward': Compiled(apply, params, x),
    'gradient': Compiled(gradient, params, x),
  }


def linen(model: nn.Module, x: Array) -> Passes:
  # A parameter's shape needs no more of the inputs than one step.
  return jax_passes(model.apply, model.init(jax.random.key(0), x[:1, :1]), x)


def ours(cell: str, x: Array) -> dict[str, Passes]:
  return {'RNN': linen(RNN(OURS[cell](x.shape[-1], dtype=x.dtype)), x)}


def flax(cell: str, x: Array) -> dict[str, Passes]:
  return {
    c.__name__: linen(nn.RNN(c(x.shape[-1], dtype=x.dtype)), x) for c in FLAX[cell]
  }


def haiku(cell: str, x: Array) -> dict[str, Passes]:
  import haiku as hk

  def unroll(x: Array) -> Array:
    core = getattr(hk, HAIKU[cell])(x.shape[-1])
    carry = jax.tree.map(lambda c: c.astype(x.dtype), core.initial_state(x.shape[0]))
    return hk.dynamic_unroll(core, x, carry, time_major=False)[0]

  model = hk.without_apply_rng(hk.transform(unroll))
  params = model.init(jax.random.key(0), x[:1, :1])
  return {HAIKU[cell]: jax_passes(model.apply, params, x)}


def torch(cell: str, x: Array) -> dict[str, Passes]:
  import numpy as np
  import torch

  if jax.default_backend() != 'cpu' and not torch.cuda.is_available():
    raise ImportError('torch sees no GPU')
  device = 'cpu' if jax.default_backend() == 'cpu' else 'cuda'
  torch.set_num_threads(num_cores())
  torch.backends.cudnn.allow_tf32 = True  # as XLA does by default
  options = {'device': device, 'dtype': getattr(torch, x.dtype.name)}
  size = x.shape[-1]
  net = getattr(torch.nn, TORCH[cell])(size, size, batch_first=True, **options)
  tx = torch.tensor(np.asarray(x, np.float32)).to(**options).requires_grad_()

  def wait(result: Any) -> Any:
    if device == 'cuda':
      torch.cuda.synchronize()
    return result

  def forward() -> Any:
    with torch.inference_mode():
      return wait(net(tx)[0])

  def gradient() -> Any:
    loss = net(tx)[0].float().square().sum()
    return wait(torch.autograd.grad(loss, [*net.parameters(), tx]))

  return {TORCH[cell]: {'forward': forward, 'gradient': gradient}}


# Each makes the passes of its variants; the fastest variant of a row and pass counts.
PEERS = {'flax': flax, 'haiku': haiku, 'torch': torch}


def gemms(cell: str, x: Array) -> Passes:
  """The matmuls that no implementation is without, and the least that joins them."""
  batch, time, size = x.shape
  gates = GATES[cell]
  xs = jnp.swapaxes(x, 0, 1).reshape(time * batch, size)
  W, R = jax.random.normal(jax.random.key(0), (2, size, gates * size), x.dtype)
  zeros = jnp.zeros((batch, size), x.dtype)

  def forward(W: Array, R: Array, xs: Array) -> Array:
    def step(h: Array, z: Array) -> tuple[Array, Array]:
      # Not a slice nor a sum, which XLA could push into the product.
      h = (z + h @ R).reshape(batch, gates, size).max(axis=1).clip(-1, 1)
      return h, h

    return jax.lax.scan(step, zeros, (xs @ W).reshape(time, batch, -1))[1]

  def gradient(W: Array, R: Array, xs: Array) -> tuple[Array, ...]:
    def step(dh: Array, dy: Array) -> tuple[Array, Array]:
      dz = jnp.tile((dh + dy).clip(-1, 1), (1, gates))
      # XLA would transpose R anew in every step of `dz @ R.T`.
      return jnp.einsum('bg,hg->bh', dz, R), dz

    hs = forward(W, R, xs)
    dzs = jax.lax.scan(step, zeros, hs, reverse=True)[1].reshape(time * batch, -1)
    return xs.T @ dzs, hs.reshape(time * batch, -1).T @ dzs, dzs @ W.T

  return {
    'forward': Compiled(forward, W, R, xs),
    'gradient': Compiled(gradient, W, R, xs),
  }


def variants(cell: str, x: Array, peers: Iterable[str]) -> dict[str, Passes]:
  """Returns every variant of ours and of the peers, as `peer/variant`."""
  makers = {'ours': ours} | {peer: PEERS[peer] for peer in peers}
  return {
    f'{peer}/{name}': passes
    for peer, make in makers.items()
    for name, passes in make(cell, x).items()
  }
