"""Recurrent encoder-decoders with attention, and decoding with them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from ..layers import Dropout
from ..ops.step import Carry
from .attention import AdditiveAttention, GeneralAttention
from .beam import beam_search
from .cells import GRUCell, LSTMCell
from .decoder import BahdanauDecoder, Decoder, LuongDecoder, Memory
from .directions import one_way, two_way
from .embedding import Embed, check_tokens
from .encoder import Encoder, check_sizes, valid_steps


class EncoderDecoder(Encoder):
  """Reads a source and predicts each next token of a target.

  The source is numbers or, with a `vocab_size`, tokens; for the fields before
  `target_vocab_size` see `Encoder`. The decoder has as many layers as the encoder, each
  of `hidden_features`, and starts from the encoder's final state.

  Attributes:
    target_vocab_size: how many tokens of the target there are.
    decoder: makes the decoder, called as `decoder(features=..., num_layers=...,
      dropout_rate=..., dtype=...)`: `LuongDecoder` or `BahdanauDecoder` with its cell
      and its attention.

  >>> model = MODELS['lstm_luong_seq2seq'](vocab_size=11, target_vocab_size=7)
  >>> source, targets = jnp.zeros((2, 5), int), jnp.zeros((2, 4), int)
  >>> variables = model.init(jax.random.key(0), source, targets, train=False)
  >>> model.apply(variables, source, targets, train=False).shape
  (2, 4, 7)
  >>> tokens, scores = model.beam_search(
  ...   variables, source, beam_size=3, max_length=6, bos_token=0, eos_token=1
  ... )
  >>> tokens.shape, scores.shape
  ((2, 3, 6), (2, 3))
  """

  target_vocab_size: int = 0  # refused: it must be given
  decoder: Callable[..., Decoder] = partial(
    LuongDecoder, cell=LSTMCell, attention=GeneralAttention()
  )

  def setup(self) -> None:
    """Makes the layers."""
    check_sizes(self, 'target_vocab_size', 'embedding_features')
    super().setup()
    self.target_dropout = Dropout(self.dropout_rate)
    self.target_embed = Embed(
      self.target_vocab_size, self.embedding_features, dtype=self.dtype
    )
    self.decode_layers = self.decoder(
      features=self.hidden_features,
      num_layers=self.num_layers,
      dropout_rate=self.dropout_rate,
      dtype=self.dtype,
    )
    self.head = nn.Dense(self.target_vocab_size, dtype=self.dtype)

  def __call__(
    self,
    source: Array,
    targets: Array,
    *,
    train: bool,
    source_lengths: Array | None = None,
  ) -> Array:
    """Returns the logits of each next token, given the true ones before it.

    Args:
      source: the inputs of `encode`.
      targets: int `[batch, time]`: the start token, then the target but for its last
        token. What lies after a step changes nothing at it, so padding is harmless.
      train: whether to drop activations, with the stream `dropout`.
      source_lengths: the `seq_lengths` of `encode`; no attention goes past them.

    Returns:
      The logits, float32 `[batch, time, target_vocab_size]`.

    Raises:
      ValueError: an argument does not fit.
    """
    check_tokens('targets', targets, self.target_vocab_size)
    if len(targets) != len(source):
      raise ValueError(
        f'source, targets: got {len(source)} and {len(targets)} examples, expected as '
        'many'
      )
    carry, memory = self.start(source, train=train, source_lengths=source_lengths)
    return self.decode(targets, carry, memory, train=train)[1]

  def start(
    self, source: Array, *, train: bool = False, source_lengths: Array | None = None
  ) -> tuple[Carry, Memory]:
    """Reads the source: the decoder's first carry, and its memory.

    Args:
      source: see the call, as for the others.
      train: see the call.
      source_lengths: see the call.
    """
    outputs, final = self.encode(source, train=train, seq_lengths=source_lengths)
    mask = valid_steps(outputs, source_lengths)
    return self.decode_layers.start(outputs, final, mask)

  def decode(
    self, tokens: Array, carry: Carry, memory: Memory, *, train: bool = False
  ) -> tuple[Carry, Array]:
    """Takes decoding steps.

    Args:
      tokens: int `[batch, time]`.
      carry: what `start` or the steps before returned.
      memory: what `start` returned.
      train: see the call.

    Returns:
      `(carry, logits)`, the logits float32 `[batch, time, target_vocab_size]`.
    """
    x = self.target_dropout(self.target_embed(tokens), deterministic=not train)
    carry, y = self.decode_layers(x, carry, memory, train=train)
    y = self.target_dropout(y, deterministic=not train)
    return carry, self.head(y).astype(jnp.float32)

  @nn.nowrap
  def beam_search(
    self,
    variables: Any,
    source: Array,
    *,
    beam_size: int,
    max_length: int,
    bos_token: int,
    eos_token: int,
    source_lengths: Array | None = None,
    length_penalty: float | Array = 0.0,
  ) -> tuple[Array, Array]:
    """Decodes sources; a beam of 1 is greedy.

    Args:
      variables: the model's variables.
      source: see the call.
      beam_size: see the function `beam_search`, as for the others.
      max_length: see there.
      bos_token: the start token of each target.
      eos_token: see there.
      source_lengths: see the call.
      length_penalty: see there.

    Returns:
      `(tokens, scores)`: int32 `[batch, beam, max_length]`, the best first, without the
      start token and filled up with the end token; and float32 `[batch, beam]`.

    Raises:
      ValueError: an argument does not fit.
    """
    if not 0 <= bos_token < self.target_vocab_size:
      raise ValueError(
        f'bos_token: got {bos_token}, expected 0 to {self.target_vocab_size - 1}'
      )
    carry: Any
    carry, memory = self.apply(
      variables, source, source_lengths=source_lengths, method='start'
    )
    memory = jax.tree.map(lambda x: jnp.repeat(x, max(beam_size, 1), axis=0), memory)

    def step(carry: Carry, tokens: Array) -> tuple[Carry, Array]:
      logits: Any
      carry, logits = self.apply(
        variables, tokens[:, None], carry, memory, method='decode'
      )
      return carry, logits[:, 0]

    return beam_search(
      step,
      carry,
      jnp.full(len(source), bos_token, jnp.int32),
      beam_size=beam_size,
      max_length=max_length,
      eos_token=eos_token,
      length_penalty=length_penalty,
    )


# Every variant by name: a constructor that lacks the two vocabularies.
MODELS: dict[str, Callable[..., EncoderDecoder]] = {
  'gru_bahdanau_seq2seq': partial(
    EncoderDecoder,
    layer=partial(two_way, GRUCell),
    decoder=partial(
      BahdanauDecoder, cell=GRUCell, attention=AdditiveAttention(features=128)
    ),
  ),
  'lstm_luong_seq2seq': partial(
    EncoderDecoder,
    layer=partial(one_way, LSTMCell),
    decoder=partial(LuongDecoder, cell=LSTMCell, attention=GeneralAttention()),
  ),
}
