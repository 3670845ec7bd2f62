"""Layers in one direction or both, made from a cell and a size."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ..ops.step import hidden
from .bidirectional import Bidirectional
from .cells import ElmanCell, GRUCell, LSTMCell
from .rnn import RNN
from .stack import Stack

MakeCell = Callable[..., nn.RNNCellBase]
MakeLayer = Callable[..., RNN | Bidirectional]

# The cells that each kind of model has a row for, by the name of the row.
CELLS: dict[str, MakeCell] = {'elman': ElmanCell, 'gru': GRUCell, 'lstm': LSTMCell}


def one_way(cell: MakeCell, features: int, *, dtype: DTypeLike | None = None) -> RNN:
  """Makes a layer from the first step to the last.

  >>> one_way(GRUCell, 4).cell.features
  4
  """
  return RNN(cell(features, dtype=dtype))


def two_way(
  cell: MakeCell, features: int, *, dtype: DTypeLike | None = None
) -> Bidirectional:
  """Makes a layer in both directions, each of the size; they are concatenated.

  >>> two_way(GRUCell, 4).backward_rnn.cell.features
  4
  """
  forward, backward = (one_way(cell, features, dtype=dtype) for _ in range(2))
  return Bidirectional(forward, backward)


def final_state(layer: RNN | Bidirectional | Stack | Any, carry: Any) -> Array:
  """Returns the hidden state that a layer ended in: the carry's last leaf.

  That of a `Bidirectional` is merged as its outputs are, each direction's from the end
  of its own run; that of a `Stack` is its last layer's.

  Args:
    layer: the layer.
    carry: the carry it returned.

  Returns:
    `[*batch, features]`.

  Raises:
    ValueError: the state is complex, so that it is no output of the cell.
  """
  if isinstance(layer, Stack):
    return final_state(layer.layers[-1], carry[-1])
  if isinstance(layer, Bidirectional):
    rnns = layer.forward_rnn, layer.backward_rnn
    return layer.merge_fn(*map(final_state, rnns, carry))
  state = hidden(carry)
  if jnp.iscomplexobj(state):
    raise ValueError(
      f'cell: {type(layer.cell).__name__} ends in a complex state, which is no output; '
      'pool its outputs instead'
    )
  return state
