"""What reads a sequence in the models here."""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ..layers.dropout import Dropout, check_rates
from . import arguments
from .directions import MakeLayer, final_state
from .embedding import Embed, check_tokens
from .stack import Stack


def check_sizes(module: nn.Module, *fields: str) -> None:
  """Checks that fields of a module are at least 1.

  Raises:
    ValueError: one is not.
  """
  for field in fields:
    if getattr(module, field) < 1:
      raise ValueError(f'{field}: got {getattr(module, field)}, expected 1 or more')


def read_inputs(module: Any, inputs: Array, train: bool) -> Array:
  """Makes numbers `[batch, time, features]` of what a model is called with.

  Args:
    module: the model, with `vocab_size`, `embed` and `dropout` as `Encoder` has them.
    inputs: tokens or numbers; see `Encoder.encode`.
    train: whether to drop embeddings.

  Raises:
    ValueError: the inputs are neither.
  """
  if module.vocab_size is not None:
    check_tokens('inputs', inputs, module.vocab_size)
    return module.dropout(module.embed(inputs), deterministic=not train)
  if inputs.ndim < 3 or not jnp.issubdtype(inputs.dtype, jnp.floating):
    raise ValueError(
      f'inputs: got {inputs.dtype}{inputs.shape}, expected floating numbers '
      '[batch, time, features], or a vocab_size for tokens [batch, time]'
    )
  return inputs.reshape(*inputs.shape[:2], math.prod(inputs.shape[2:]))


class Encoder(nn.Module):
  """Recurrent layers over numbers or tokens; base of the models.

  A subclass adds fields and a `__call__`, and calls `super().setup()` in its `setup`.

  Attributes:
    layer: makes a layer, called as `layer(features, dtype=...)`, such as
      `partial(two_way, LSTMCell)`.
    hidden_features: the size of each layer, in each direction.
    num_layers: how many layers there are.
    vocab_size: how many tokens there are, or None where the inputs are numbers.
    embedding_features: the size of a token's embedding.
    dropout_rate: the probability that an activation is dropped in training: of the
      embeddings, between the layers, and before what the model adds to them.
    dtype: dtype of the computation; results and carries are float32.

  >>> import jax
  >>> from functools import partial
  >>> from convscan.architectures.rnn import GRUCell, two_way
  >>> model = Encoder(partial(two_way, GRUCell), hidden_features=4)
  >>> (outputs, final), variables = model.init_with_output(
  ...   jax.random.key(0), jnp.ones((2, 7, 3)), method='encode'
  ... )
  >>> outputs.shape, final.shape
  ((2, 7, 8), (2, 8))
  """

  layer: MakeLayer
  hidden_features: int = 128
  num_layers: int = 1
  vocab_size: int | None = None
  embedding_features: int = 128
  dropout_rate: float = 0.0
  dtype: DTypeLike | None = None

  def setup(self) -> None:
    """Makes the layers."""
    check_sizes(self, 'hidden_features', 'num_layers')
    check_rates(self)
    self.dropout = Dropout(self.dropout_rate)
    if self.vocab_size is not None:
      check_sizes(self, 'vocab_size', 'embedding_features')
      self.embed = Embed(self.vocab_size, self.embedding_features, dtype=self.dtype)
    layers = [
      self.layer(self.hidden_features, dtype=self.dtype) for _ in range(self.num_layers)
    ]
    self.stack = Stack(layers, dropout_rate=self.dropout_rate)

  def encode(
    self, inputs: Array, *, train: bool = False, seq_lengths: Array | None = None
  ) -> tuple[Array, Array]:
    """Runs the layers over the inputs.

    Args:
      inputs: int `[batch, time]` where there is a `vocab_size`, the padding in range
        too; else floating `[batch, time, ...]`, whose further axes are flattened into
        one, so that images `[batch, height, width, channels]` are read row by row.
      train: whether to drop activations, with the stream `dropout`.
      seq_lengths: int `[batch]`, by default the whole time; what lies past a length
        changes nothing.

    Returns:
      The outputs `[batch, time, features]`, zero past each length, and the last
      layer's final state `[batch, features]`.

    Raises:
      ValueError: an argument does not fit.
    """
    x = read_inputs(self, inputs, train)
    carry, outputs = self.stack(
      x, seq_lengths=seq_lengths, return_carry=True, train=train
    )
    return outputs, final_state(self.stack, carry)

  @nn.nowrap
  def make_head(self, features: int) -> nn.Dense:
    """Makes the linear layer of a model."""
    return nn.Dense(features, dtype=self.dtype)


def valid_steps(outputs: Array, seq_lengths: Array | None) -> Array:
  """Returns which steps of `outputs [batch, time, ...]` are valid: `[batch, time]`."""
  valid = arguments.valid_steps(outputs.shape[:2], 1, seq_lengths, None)
  return jnp.ones(outputs.shape[:2], bool) if valid is None else valid
