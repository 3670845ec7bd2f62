"""Recurrent decoders that attend over what an encoder left."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ..ops.step import Carry, hidden
from .attention import Attention
from .directions import MakeCell
from .rnn import RNN
from .stack import Stack


class Memory(NamedTuple):
  """What an encoder left.

  Attributes:
    keys: `[batch, source, features]`.
    projected: what the attention's `project` made of them, `[batch, source, ...]`.
    mask: bool `[batch, source]`: which of them there are.
  """

  keys: Array
  projected: Array
  mask: Array


class Bridge(nn.Module):
  r"""Makes a first carry of a final state, with a dense layer for each array of it.

  .. math::
    s_0 = \tanh(W h + b)

  as in Bahdanau et al. 2015, appendix A.2.2, with a bias.

  Attributes:
    dtype: dtype of the computation.

  >>> h, like = jnp.ones((2, 3)), (jnp.zeros((2, 4)), jnp.zeros((2, 5)))
  >>> carry, variables = Bridge().init_with_output(jax.random.key(0), h, like)
  >>> jax.tree.map(jnp.shape, carry)
  ((2, 4), (2, 5))
  """

  dtype: DTypeLike | None = None

  @nn.compact
  def __call__(self, final: Array, like: Carry) -> Carry:
    """Returns a carry.

    Args:
      final: `[batch, features]`.
      like: a carry of the shapes and dtypes to make, each `[batch, features]`.
    """

    def make(leaf: Array) -> Array:
      x = nn.Dense(leaf.shape[-1], dtype=self.dtype)(final)
      return jnp.tanh(x).astype(leaf.dtype)

    return jax.tree.map(make, like)


class Decoder(nn.Module):
  """A decoder's fields, and how it starts; base of the decoders.

  A subclass makes `attention`, and writes the call.

  Attributes:
    cell: makes a layer's cell, called as `cell(features, dtype=...)`.
    attention: what attends over the memory.
    features: the size of each layer.
    num_layers: how many layers there are.
    dropout_rate: the rate between layers, where the decoder has any.
    dtype: dtype of the computation.
  """

  cell: MakeCell
  attention: Attention
  features: int
  num_layers: int = 1
  dropout_rate: float = 0.0
  dtype: DTypeLike | None = None

  def setup(self) -> None:
    """Makes the layers."""
    self.bridge = Bridge(dtype=self.dtype)
    self.cells = [
      self.cell(self.features, dtype=self.dtype) for _ in range(self.num_layers)
    ]

  def start(self, keys: Array, final: Array, mask: Array) -> tuple[Carry, Memory]:
    """Returns the first carry, and the memory.

    Args:
      keys: the encoder's outputs `[batch, source, features]`.
      final: the encoder's final state `[batch, features]`.
      mask: bool `[batch, source]`.
    """
    key, shape = jax.random.key(0), (len(final), self.features)
    like = tuple(cell.initialize_carry(key, shape) for cell in self.cells)
    return self.bridge(final, like), Memory(keys, self.attention.project(keys), mask)

  def __call__(
    self, inputs: Array, carry: Carry, memory: Memory, *, train: bool = False
  ) -> tuple[Carry, Array]:
    """Takes steps; what comes before a step is all that it depends on.

    Args:
      inputs: `[batch, time, features]`, the embedded tokens.
      carry: what `start` or the step before returned.
      memory: what `start` returned.
      train: whether to drop activations, with the stream `dropout`.

    Returns:
      `(carry, outputs)`, the outputs `[batch, time, features]`.
    """
    raise NotImplementedError


class LuongDecoder(Decoder):
  r"""Attends after its layers: Luong et al. 2015, https://arxiv.org/abs/1508.04025.

  .. math::
    \begin{aligned}
    h_t &= \mathrm{RNN}(x_t, h_{t-1}) \\
    \tilde h_t &= \tanh(W_c [c_t; h_t])
    \end{aligned}

  with :math:`c_t` the attention's context for :math:`h_t`: global attention, equation
  5. It is without the input feeding of section 3.3, so no step waits for the attention
  of the one before: the layers run over all steps first. For the fields see `Decoder`.
  """

  def setup(self) -> None:
    """Makes the layers."""
    super().setup()
    layers = [RNN(cell) for cell in self.cells]
    self.stack = Stack(layers, dropout_rate=self.dropout_rate)
    self.combine = nn.Dense(self.features, use_bias=False, dtype=self.dtype)

  def __call__(
    self, inputs: Array, carry: Carry, memory: Memory, *, train: bool = False
  ) -> tuple[Carry, Array]:
    """Takes steps; see `Decoder`."""
    carry, h = self.stack(inputs, initial_carry=carry, return_carry=True, train=train)
    keys, projected, mask = memory
    context, _ = self.attention(h, keys, mask=mask, projected=projected)
    return carry, jnp.tanh(self.combine(jnp.concatenate([context, h], axis=-1)))


class BahdanauDecoder(Decoder):
  r"""Attends before each step: Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473.

  .. math::
    \begin{aligned}
    s_t &= \mathrm{RNN}([x_t; c_t], s_{t-1}) \\
    t_t &= \tanh(W_o [s_t; x_t; c_t])
    \end{aligned}

  with :math:`c_t` the attention's context for the last layer's :math:`s_{t-1}`. It
  deviates from the paper in the last equation, where appendix A.2.2 has a maxout of
  pairs; and there is no dropout between layers, of which the paper has one. For the
  fields see `Decoder`.
  """

  def setup(self) -> None:
    """Makes the layers."""
    super().setup()
    self.combine = nn.Dense(self.features, dtype=self.dtype)

  def __call__(
    self, inputs: Array, carry: Carry, memory: Memory, *, train: bool = False
  ) -> tuple[Carry, Array]:
    """Takes steps; see `Decoder`."""
    keys, projected, mask = memory

    def step(module: Any, carry: Carry, x: Array) -> tuple[Carry, Array]:
      query = hidden(carry)[:, None]
      context, _ = module.attention(query, keys, mask=mask, projected=projected)
      # The keys may be wider than the dtype of the computation.
      context = context[:, 0].astype(x.dtype)
      y, after = jnp.concatenate([x, context], axis=-1), []
      for cell, before in zip(module.cells, carry, strict=True):
        new, y = cell(before, y)
        after.append(new)
      return tuple(after), jnp.concatenate([y, x, context], axis=-1)

    scan = nn.scan(
      step,
      variable_broadcast='params',
      split_rngs={'params': False},
      in_axes=1,
      out_axes=1,
    )
    carry, outputs = scan(self, carry, inputs)
    return carry, jnp.tanh(self.combine(outputs))
