"""Recurrent layers one upon another."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from ..layers.dropout import Dropout, check_rates
from ..ops.step import Carry, keep
from .arguments import check_layer, valid_steps
from .bidirectional import Bidirectional
from .rnn import RNN

Connect = Callable[[Array, Array], Array]


def feed(inputs: Array, outputs: Array) -> Array:
  """Gives the next layer the outputs alone."""
  return outputs


def residual(inputs: Array, outputs: Array) -> Array:
  """Adds a layer's inputs to its outputs (He et al. 2015; Wu et al. 2016).

  Raises:
    ValueError: the two have different numbers of features.
  """
  if inputs.shape != outputs.shape:
    raise ValueError(
      f'residual: got inputs {inputs.shape} and outputs {outputs.shape}, expected the '
      'same shape; a layer without a residual connection can come first'
    )
  return inputs + outputs


def dense(inputs: Array, outputs: Array) -> Array:
  """Joins a layer's inputs to its outputs (Huang et al. 2017)."""
  return jnp.concatenate([inputs, outputs], axis=-1)


class Stack(nn.Module):
  """Runs layers one after the other, with dropout between them.

  Attributes:
    layers: each an `RNN`, a `Bidirectional` or another `Stack`.
    connect: makes the next layer's inputs, and the outputs of the last, of a layer's
      inputs and outputs: `feed`, `residual`, `dense` or a function of yours.
    dropout_rate: the rate between two layers, where the call says `train=True`.
    dropout_broadcast_dims: axes along which the dropout is the same; the axis of time
      makes it variational (Gal and Ghahramani 2016).

  >>> from convscan.architectures.rnn import RNN, LSTMCell
  >>> stack = Stack([RNN(LSTMCell(4)), RNN(LSTMCell(4))], connect=dense)
  >>> y, variables = stack.init_with_output(jax.random.key(0), jnp.ones((2, 7, 3)))
  >>> y.shape
  (2, 7, 11)
  """

  layers: Sequence[RNN | Bidirectional | Any]
  connect: Connect = feed
  dropout_rate: float = 0.0
  dropout_broadcast_dims: Sequence[int] = ()

  @nn.compact
  def __call__(
    self,
    inputs: Array,
    *,
    initial_carry: Sequence[Carry] | None = None,
    init_key: Array | None = None,
    seq_lengths: Array | None = None,
    return_carry: bool = False,
    time_major: bool = False,
    mask: Array | None = None,
    resets: Array | None = None,
    train: bool = False,
  ) -> Any:
    """Runs the layers over the inputs.

    Args:
      inputs: as for `RNN`.
      initial_carry: a carry for each layer, by default their initial ones.
      init_key: see `RNN`; split among the layers.
      seq_lengths: see `RNN`.
      return_carry: return `(carries, outputs)` and not `outputs` alone.
      time_major: see `RNN`.
      mask: see `RNN`.
      resets: see `RNN`.
      train: apply dropout, here and in the layers.

    Returns:
      The last layer's outputs, connected, or `(carries, outputs)` if `return_carry`,
      with a tuple of one carry a layer.

    Raises:
      ValueError: no layers, or another number of carries.
    """
    if not self.layers:
      raise ValueError('layers: got none, expected at least one')
    for i, layer in enumerate(self.layers):
      check_layer(f'layers[{i}]', layer)
    starts = [None] * len(self.layers) if initial_carry is None else initial_carry
    if len(starts) != len(self.layers):
      raise ValueError(
        f'initial_carry: got {len(starts)} carries, expected {len(self.layers)}, one a '
        'layer'
      )
    check_rates(self)
    dropout = Dropout(self.dropout_rate, self.dropout_broadcast_dims)
    keys: Any = [None] * len(self.layers)
    if init_key is not None:
      keys = jax.random.split(init_key, len(self.layers))
    carries, x = [], inputs
    for i, (layer, start, key) in enumerate(
      zip(self.layers, starts, keys, strict=True)
    ):
      if i:
        x = dropout(x, deterministic=not train)
      carry, y = layer(
        x,
        initial_carry=start,
        init_key=key,
        seq_lengths=seq_lengths,
        return_carry=True,
        time_major=time_major,
        mask=mask,
        resets=resets,
        train=train,
      )
      carries.append(carry)
      x = self.connect(x, y)
    # What a connection adds to a padded step is padding too.
    axis = 0 if time_major else inputs.ndim - 2
    valid = valid_steps(inputs.shape[:-1], axis, seq_lengths, mask)
    if valid is not None:
      x = keep(valid, x, jnp.zeros_like(x))
    return (tuple(carries), x) if return_carry else x
