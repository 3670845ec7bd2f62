"""Winograd's minimal filtering: 3x3 convolutions by fewer products.

Lavin and Gray 2015, https://arxiv.org/abs/1509.09308, section 4.1, F(2x2, 3x3): the
output falls into tiles of 2x2, each from a tile of 4x4 of the input. In the transformed
tiles 16 products replace 36; here these are 16 matrix products over all tiles.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# `G` of the paper, for rows and columns at once.
_G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_G2 = np.kron(_G, _G)


def winograd(
  x: jax.Array, kernel: jax.Array, pads: Sequence[tuple[int, int]]
) -> jax.Array:
  """Convolves by a 3x3 kernel of stride 1.

  Rounding errors are a few times those of a direct sum; an infinite entry makes NaNs
  of the outputs around it.

  Args:
    x: `[batch, height, width, in_channels]`.
    kernel: `[3, 3, in_channels, out_channels]` of the dtype of `x`.
    pads: `(low, high)` for the height and the width.

  Returns:
    `[batch, *out, out_channels]`, where `out = size + low + high - 2`.

  Example:
    >>> x, kernel = jnp.ones((1, 3, 4, 1)), jnp.ones((3, 3, 1, 1))
    >>> winograd(x, kernel, [(0, 0), (0, 0)])[0, ..., 0]
    Array([[9., 9.]], dtype=float32)
  """
  batch, in_channels, out_channels = x.shape[0], *kernel.shape[2:]
  out = [n + low + high - 2 for n, (low, high) in zip(x.shape[1:3], pads, strict=True)]
  rows, columns = tiles = [-(-n // 2) for n in out]
  # To whole tiles, and then into the four phases of even and odd rows and columns.
  spare = [2 * t - n for t, n in zip(tiles, out, strict=True)]
  pads = [(low, high + s) for (low, high), s in zip(pads, spare, strict=True)]
  x = jnp.pad(x, [(0, 0), *pads, (0, 0)])
  x = x.reshape(batch, rows + 1, 2, columns + 1, 2, in_channels)
  phases = [
    [half.squeeze((2, 4)) for half in lax.split(half, (1, 1), 4)]
    for half in lax.split(x, (1, 1), 2)
  ]

  def tile(i: int, j: int) -> jax.Array:
    """The entries at row `i` and column `j` of every tile."""
    phase = phases[i % 2][j % 2][:, i // 2 :, j // 2 :]
    return phase[:, :rows, :columns].reshape(-1, in_channels)

  entries = [[tile(i, j) for j in range(4)] for i in range(4)]
  inputs = _both_ways(_transform_input, entries)
  # Split, and not indexed: the transpose is one concatenation, and not sixteen sums.
  kernels = lax.split(_G2.astype(kernel.dtype) @ kernel.reshape(9, -1), (1,) * 16)
  kernels = [k.reshape(in_channels, out_channels) for k in kernels]
  products = [[inputs[i][j] @ kernels[4 * i + j] for j in range(4)] for i in range(4)]
  outputs = [
    [y.reshape(batch, rows, 1, columns, 1, out_channels) for y in row]
    for row in _both_ways(_transform_output, products)
  ]
  y = jnp.concatenate([jnp.concatenate(row, 4) for row in outputs], 2)
  y = y.reshape(batch, 2 * rows, 2 * columns, out_channels)
  return y[:, : out[0], : out[1]]


def _transform_input(d: Sequence[jax.Array]) -> list[jax.Array]:
  """Multiplies by `B` of the paper, transposed."""
  return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _transform_output(m: Sequence[jax.Array]) -> list[jax.Array]:
  """Multiplies by `A` of the paper, transposed."""
  return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def _both_ways(transform: Any, rows: Any) -> list[Any]:
  """Transforms each row, then each column."""
  columns = zip(*[transform(row) for row in rows], strict=True)
  return list(zip(*[transform(column) for column in columns], strict=True))
