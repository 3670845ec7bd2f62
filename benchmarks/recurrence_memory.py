"""The temporary memory of a long sequence's gradient, with and without remat.

    python benchmarks/recurrence_memory.py [--time 4096] [--batch 32] [--hidden 512]

Compiles, and runs nothing: the numbers are XLA's own, for the device that is here.
"""

import argparse
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from rounds import machine, table, versions

from convscan.architectures.rnn import RNN, LSTMCell


def temporary_bytes(model: nn.Module, x: jax.ShapeDtypeStruct) -> int:
  """Returns what the gradient needs besides its arguments and its results."""

  def loss(variables: dict, x: Array) -> Array:
    return jnp.sum(jnp.square(model.apply(variables, x)))

  variables = jax.eval_shape(model.init, jax.random.key(0), x)
  compiled = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(variables, x).compile()
  return compiled.memory_analysis().temp_size_in_bytes


def main(argv: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  parser.add_argument('--time', type=int, default=4096)
  parser.add_argument('--batch', type=int, default=32)
  parser.add_argument('--hidden', type=int, default=512)
  parser.add_argument('--remat-every', type=int, default=64)
  args = parser.parse_args(argv)
  H, every = args.hidden, args.remat_every
  x = jax.ShapeDtypeStruct((args.batch, args.time, H), jnp.float32)
  models = {
    'RNN(LSTMCell), remat_every=None': RNN(LSTMCell(H)),
    f'RNN(LSTMCell), remat_every={every}': RNN(LSTMCell(H), remat_every=every),
    'flax.linen.RNN(OptimizedLSTMCell)': nn.RNN(nn.OptimizedLSTMCell(H)),
  }
  sizes = {name: temporary_bytes(model, x) for name, model in models.items()}
  for facts in (machine(), versions(['jax', 'jaxlib', 'flax']), vars(args)):
    print(', '.join(f'{k} {v}' for k, v in facts.items()))
  least = min(sizes.values())
  rows = [[n, f'{b / 2**20:.0f}', f'{b / least:.1f}'] for n, b in sizes.items()]
  print('\n' + table(['gradient', 'temporary MiB', 'of the least'], rows))


if __name__ == '__main__':
  main()
