"""Recurrent language models, and sampling from them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ..layers.dropout import Dropout, check_rates
from ..ops.step import Carry
from .base_cell import GatedCell
from .cells import ElmanCell, GRUCell, LSTMCell
from .embedding import Embed, check_tokens
from .encoder import check_sizes
from .rnn import RNN


class LanguageModel(nn.Module):
  """A stack of recurrent layers that predicts the next token.

  It is the network of Zaremba et al. 2014 (https://arxiv.org/abs/1409.2329), whose
  small model the defaults are: dropout, on what enters a layer and on what leaves the
  last, touches no recurrent connection. Initialisation is that of the layers here,
  not the paper's. The fields after `dtype` make it the AWD-LSTM of Merity et al. 2018
  (https://arxiv.org/abs/1708.02182).

  Attributes:
    vocab_size: how many tokens there are.
    cell: makes a layer's cell, called as `cell(features, dtype=...)`.
    embedding_features: the size of a token's embedding.
    hidden_features: the size of each layer; where `tie_embeddings`, of all but the
      last, which has `embedding_features`.
    num_layers: how many layers there are.
    dropout_rate: the probability that an activation is dropped in training: of what
      leaves the last layer and, unless the next two fields say otherwise, elsewhere.
    dtype: dtype of the computation; the logits and the carries are float32.
    input_dropout_rate: the probability for what enters the first layer, or None.
    between_dropout_rate: the probability for what passes between layers, or None.
    dropout_broadcast_dims: axes along which these dropouts are the same; `(1,)`, the
      axis of time, makes them locked (Gal and Ghahramani 2016).
    embedding_dropout_rate: the probability that a word is dropped; see `Embed`.
    dropconnect_rate: the probability that a recurrent weight is dropped; see `RNN`.
    tie_embeddings: the logits are the products of the outputs with the embeddings, plus
      a bias (Press and Wolf 2017, https://arxiv.org/abs/1608.05859; Inan et al. 2017,
      https://arxiv.org/abs/1611.01462).
    activation_penalty: how much the mean square of what leaves the last layer, once
      activations are dropped, adds to a target's loss in training, or
    temporal_penalty: the mean square of how it changes from one step to the next, none
      dropped; both of Merity et al. 2017, https://arxiv.org/abs/1708.01009. Where
      either is not 0 they are sown into the collection `losses`, float32
      `[batch, time]`.

  >>> model = LanguageModel(vocab_size=11, cell=LSTMCell)
  >>> tokens = jnp.zeros((2, 5), int)
  >>> variables = model.init(jax.random.key(0), tokens, train=False)
  >>> model.apply(variables, tokens, train=False).shape
  (2, 5, 11)
  """

  vocab_size: int
  cell: Callable[..., nn.RNNCellBase]
  embedding_features: int = 200
  hidden_features: int = 200
  num_layers: int = 2
  dropout_rate: float = 0.0
  dtype: DTypeLike | None = None
  input_dropout_rate: float | None = None
  between_dropout_rate: float | None = None
  dropout_broadcast_dims: Sequence[int] = ()
  embedding_dropout_rate: float = 0.0
  dropconnect_rate: float = 0.0
  tie_embeddings: bool = False
  activation_penalty: float = 0.0
  temporal_penalty: float = 0.0

  def setup(self) -> None:
    """Makes the layers."""
    check_sizes(
      self, 'vocab_size', 'embedding_features', 'hidden_features', 'num_layers'
    )
    check_rates(self)
    for field in ('activation_penalty', 'temporal_penalty'):
      if getattr(self, field) < 0:
        raise ValueError(f'{field}: got {getattr(self, field)}, expected 0 or more')
    self.embed = Embed(
      self.vocab_size,
      self.embedding_features,
      dtype=self.dtype,
      dropout_rate=self.embedding_dropout_rate,
    )
    self.dropout = self._dropout(self.dropout_rate)
    self.input_dropout = self._dropout(self.input_dropout_rate)
    self.between_dropout = self._dropout(self.between_dropout_rate)
    sizes = [self.hidden_features] * self.num_layers
    if self.tie_embeddings:
      sizes[-1] = self.embedding_features
      zeros = nn.initializers.zeros_init()
      self.head_bias = self.param('head_bias', zeros, (self.vocab_size,))
    else:
      self.head = nn.Dense(self.vocab_size, dtype=self.dtype)
    self.layers = [
      RNN(self.cell(size, dtype=self.dtype), dropconnect_rate=self.dropconnect_rate)
      for size in sizes
    ]

  @nn.nowrap
  def _dropout(self, rate: float | None) -> Dropout:
    if rate is None:
      return self.dropout
    return Dropout(rate, self.dropout_broadcast_dims)

  def __call__(
    self,
    tokens: Array,
    *,
    train: bool,
    initial_carry: tuple[Carry, ...] | None = None,
    return_carry: bool = False,
    seq_lengths: Array | None = None,
    resets: Array | None = None,
  ) -> Any:
    """Returns the logits of each next token.

    Args:
      tokens: int `[batch, time]`, in `[0, vocab_size)`.
      train: whether to drop activations, with the stream `dropout`.
      initial_carry: a carry for each layer, as `return_carry` gives them.
      return_carry: return `(carry, logits)` and not `logits` alone.
      seq_lengths: int `[batch]`, by default the whole time; the carries are those at
        the end of each length, and the logits past it mean nothing.
      resets: bool `[batch, time]`: where a new text begins, with the cells' initial
        carry.

    Returns:
      The logits, float32 `[batch, time, vocab_size]`.

    Raises:
      ValueError: `tokens` or `initial_carry` does not fit. Tokens out of range are seen
        where they are concrete, so outside `jax.jit`.
    """
    check_tokens('tokens', tokens, self.vocab_size)
    carries = (None,) * self.num_layers if initial_carry is None else initial_carry
    if len(carries) != self.num_layers:
      raise ValueError(
        f'initial_carry: got {len(carries)} carries, expected {self.num_layers}'
      )
    x, finals = self.embed(tokens, train=train), []
    before = self.input_dropout
    for layer, carry in zip(self.layers, carries, strict=True):
      x = before(x, deterministic=not train)
      final, x = layer(
        x,
        initial_carry=carry,
        return_carry=True,
        seq_lengths=seq_lengths,
        resets=resets,
        train=train,
      )
      before = self.between_dropout
      finals.append(final)
    outputs, x = x, self.dropout(x, deterministic=not train)
    if train and (self.activation_penalty or self.temporal_penalty):
      self.sow('losses', 'penalty', self._penalty(outputs, x))
    if self.tie_embeddings:
      logits = self.embed.attend(x)
      logits = logits + jnp.broadcast_to(self.head_bias, logits.shape)
    else:
      logits = self.head(x)
    logits = logits.astype(jnp.float32)
    return (tuple(finals), logits) if return_carry else logits

  @nn.nowrap
  def _penalty(self, outputs: Array, dropped: Array) -> Array:
    """Returns what each step `[batch, time]` adds to the loss of its target."""
    size = jnp.mean(jnp.square(dropped.astype(jnp.float32)), axis=-1)
    changes = jnp.diff(outputs.astype(jnp.float32), axis=1)
    change = jnp.mean(jnp.square(changes), axis=-1)
    # Of one step less: so that the mean over all steps is that over the changes.
    steps = outputs.shape[1]
    change = jnp.pad(change, ((0, 0), (1, 0))) * (steps / max(1, steps - 1))
    return self.activation_penalty * size + self.temporal_penalty * change

  @property
  def has_gates(self) -> bool:
    """Whether the cell has gates that `gates` can show."""
    cell = type(self.cell(1))
    return getattr(cell, 'gates', GatedCell.gates) is not GatedCell.gates

  @nn.nowrap
  def sample(self, variables: Any, *args: Any, **kwargs: Any) -> Array:
    """Continues prompts; see the function `sample`."""
    return sample(self, variables, *args, **kwargs)

  def gates(self, tokens: Array) -> dict[str, Array]:
    """Returns the activations of the last layer's gates, by name.

    Args:
      tokens: int `[batch, time]`.

    Returns:
      Arrays `[batch, time, features]` of that layer's size, named as in `RNN.gates`.

    Raises:
      ValueError: `tokens` does not fit, or the cell has no gates.
    """
    check_tokens('tokens', tokens, self.vocab_size)
    x = self.embed(tokens)
    for layer in self.layers[:-1]:
      x = layer(x)
    return self.layers[-1].gates(x)


def sample(
  model: LanguageModel,
  variables: Any,
  key: Array,
  prompt_tokens: Array,
  length: int,
  temperature: float | Array = 1.0,
) -> Array:
  """Continues prompts with tokens drawn from the model.

  A token is drawn with probability `softmax(logits / temperature)`, as the argmax of
  `logits + temperature * Gumbel noise`; a temperature of 0 is thus greedy decoding.

  Args:
    model: the model; static under `jax.jit`, as is `length`.
    variables: the model's variables.
    key: a PRNG key.
    prompt_tokens: int `[batch, time]`, at least one token each.
    length: how many tokens to draw.
    temperature: a scalar, not negative.

  Returns:
    The drawn tokens `[batch, length]`, in the prompts' dtype.

  Raises:
    ValueError: `prompt_tokens` does not fit.

  >>> model = LanguageModel(vocab_size=11, cell=GRUCell)
  >>> prompt = jnp.zeros((2, 3), int)
  >>> variables = model.init(jax.random.key(0), prompt, train=False)
  >>> sample(model, variables, jax.random.key(1), prompt, length=5).shape
  (2, 5)
  """
  check_tokens('prompt_tokens', prompt_tokens, model.vocab_size)
  if not prompt_tokens.shape[1]:
    raise ValueError(f'prompt_tokens: got {prompt_tokens.shape}, expected time >= 1')

  def read(tokens: Array, carry: Any = None) -> tuple[Any, Array]:
    logits: Any
    carry, logits = model.apply(
      variables, tokens, train=False, initial_carry=carry, return_carry=True
    )
    return carry, logits[:, -1]

  def step(state: tuple[Any, Array], key: Array) -> Any:
    carry, logits = state
    noise = temperature * jax.random.gumbel(key, logits.shape)
    tokens = jnp.argmax(logits + noise, axis=-1).astype(prompt_tokens.dtype)
    return read(tokens[:, None], carry), tokens

  keys = jax.random.split(key, length)
  _, tokens = jax.lax.scan(step, read(prompt_tokens), keys)
  return tokens.T


# Every variant by name: a constructor that lacks only `vocab_size`.
MODELS: dict[str, Callable[..., LanguageModel]] = {
  # The authors' command for Penn Treebank (https://github.com/salesforce/awd-lstm-lm,
  # README): 24.2 million parameters for its 10,000 words. Theirs for WikiText-2 has an
  # input_dropout_rate of 0.65 and a between_dropout_rate of 0.2.
  'awd_lstm_lm': partial(
    LanguageModel,
    cell=LSTMCell,
    embedding_features=400,
    hidden_features=1150,
    num_layers=3,
    dropout_rate=0.4,
    input_dropout_rate=0.4,
    between_dropout_rate=0.25,
    dropout_broadcast_dims=(1,),
    embedding_dropout_rate=0.1,
    dropconnect_rate=0.5,
    tie_embeddings=True,
  ),
  'elman_lm': partial(LanguageModel, cell=ElmanCell),
  'gru_lm': partial(LanguageModel, cell=GRUCell),
  'lstm_lm': partial(LanguageModel, cell=LSTMCell),
}
