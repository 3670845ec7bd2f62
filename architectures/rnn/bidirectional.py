"""Two recurrent layers, one in each direction."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from ..ops.step import Carry
from .arguments import check_layer
from .rnn import RNN


def concatenate(forward: Array, backward: Array) -> Array:
  """Joins the outputs of two directions along the last axis."""
  return jnp.concatenate([forward, backward], axis=-1)


class Bidirectional(nn.Module):
  """Runs a layer forwards and another backwards; `flax.linen.Bidirectional`'s call.

  Schuster and Paliwal, *Bidirectional Recurrent Neural Networks*, 1997. The backward
  layer starts at each sequence's last valid step, and each output stands at its step.

  Attributes:
    forward_rnn: the layer from the first step to the last.
    backward_rnn: the layer from the last step to the first.
    merge_fn: makes one output of the two, by default their concatenation.
    time_major: inputs and outputs are `[time, *batch, features]`.
    return_carry: return `((forward, backward), outputs)` and not `outputs` alone.

  >>> from convscan.architectures.rnn import RNN, GRUCell
  >>> layer = Bidirectional(RNN(GRUCell(4)), RNN(GRUCell(4)))
  >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((2, 7, 3)))
  >>> y.shape
  (2, 7, 8)
  """

  forward_rnn: RNN
  backward_rnn: RNN
  merge_fn: Callable[[Array, Array], Array] = concatenate
  time_major: bool = False
  return_carry: bool = False

  def __post_init__(self) -> None:
    """Checks the layers."""
    for name in ('forward_rnn', 'backward_rnn'):
      layer = getattr(self, name)
      if isinstance(layer, nn.RNN):
        raise ValueError(
          f"{name}: got flax's RNN({type(layer.cell).__name__}), expected convscan's"
        )
      check_layer(name, layer)
    super().__post_init__()

  def __call__(
    self,
    inputs: Array,
    *,
    initial_carry: tuple[Carry, Carry] | None = None,
    init_key: Array | None = None,
    seq_lengths: Array | None = None,
    return_carry: bool | None = None,
    time_major: bool | None = None,
    reverse: bool | None = None,
    keep_order: bool | None = None,
    mask: Array | None = None,
    resets: Array | None = None,
    train: bool = False,
  ) -> Any:
    """Runs both layers over the inputs.

    Args:
      inputs: as for `RNN`, as are the others.
      initial_carry: the carries of the two layers, by default their initial ones.
      init_key: see `RNN`.
      seq_lengths: see `RNN`.
      return_carry: overrides the field, as does the following.
      time_major: see the field.
      reverse: must be None or False; there for `flax.linen.Bidirectional`'s sake.
      keep_order: likewise None or True.
      mask: see `RNN`.
      resets: see `RNN`.
      train: see `RNN`.

    Returns:
      The outputs, or `((forward, backward), outputs)` if `return_carry`.

    Raises:
      ValueError: an argument whose shape, dtype or value does not fit.
    """
    if reverse or keep_order is False:
      raise ValueError(
        f'reverse, keep_order: got {reverse}, {keep_order}; both directions run, each '
        'in the order of its inputs'
      )
    if initial_carry is not None and len(initial_carry) != 2:
      raise ValueError(
        f'initial_carry: got {len(initial_carry)}, expected 2: (forward, backward)'
      )
    keys = (None, None) if init_key is None else jax.random.split(init_key)
    carries = (None, None) if initial_carry is None else initial_carry
    time_major = self.time_major if time_major is None else time_major
    results = [
      rnn(
        inputs,
        initial_carry=carry,
        init_key=key,
        seq_lengths=seq_lengths,
        mask=mask,
        resets=resets,
        time_major=time_major,
        train=train,
        return_carry=True,
        **direction,
      )
      for rnn, carry, key, direction in (
        (self.forward_rnn, carries[0], keys[0], {'reverse': False}),
        (self.backward_rnn, carries[1], keys[1], {'reverse': True, 'keep_order': True}),
      )
    ]
    carry, outputs = zip(*results, strict=True)
    outputs = jax.tree.map(self.merge_fn, *outputs)
    return_carry = self.return_carry if return_carry is None else return_carry
    return (carry, outputs) if return_carry else outputs
