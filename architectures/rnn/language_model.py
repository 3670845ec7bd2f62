"""Recurrent language models, and sampling from them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ..layers import Dropout
from ..ops.recurrence import Carry
from .cells import ElmanCell, GatedCell, GRUCell, LSTMCell
from .rnn import RNN


def _check_tokens(argument: str, tokens: Array) -> None:
  if tokens.ndim != 2 or not jnp.issubdtype(tokens.dtype, jnp.integer):
    raise ValueError(
      f'{argument}: got {tokens.dtype}{tokens.shape}, expected integers [batch, time]'
    )


class LanguageModel(nn.Module):
  """A stack of recurrent layers that predicts the next token.

  It is the network of Zaremba et al. 2014 (https://arxiv.org/abs/1409.2329), whose
  small model the defaults are: dropout, on what enters a layer and on what leaves the
  last, touches no recurrent connection. Initialisation is that of the layers here,
  not the paper's.

  Attributes:
    vocab_size: how many tokens there are.
    cell: makes a layer's cell, called as `cell(features, dtype=...)`.
    embedding_features: the size of a token's embedding.
    hidden_features: the size of each layer.
    num_layers: how many layers there are.
    dropout_rate: the probability that an activation is dropped in training.
    dtype: dtype of the computation; the logits and the carries are float32.

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

  def setup(self) -> None:
    """Makes the layers."""
    self.embed = nn.Embed(self.vocab_size, self.embedding_features, dtype=self.dtype)
    for field in ('vocab_size', 'embedding_features', 'hidden_features', 'num_layers'):
      if getattr(self, field) < 1:
        raise ValueError(f'{field}: got {getattr(self, field)}, expected 1 or more')
    self.dropout = Dropout(self.dropout_rate)
    self.layers = [
      RNN(self.cell(self.hidden_features, dtype=self.dtype))
      for _ in range(self.num_layers)
    ]
    self.head = nn.Dense(self.vocab_size, dtype=self.dtype)

  def __call__(
    self,
    tokens: Array,
    *,
    train: bool,
    initial_carry: tuple[Carry, ...] | None = None,
    return_carry: bool = False,
  ) -> Any:
    """Returns the logits of each next token.

    Args:
      tokens: int `[batch, time]`, in `[0, vocab_size)`.
      train: whether to drop activations, with the stream `dropout`.
      initial_carry: a carry for each layer, as `return_carry` gives them.
      return_carry: return `(carry, logits)` and not `logits` alone.

    Returns:
      The logits, float32 `[batch, time, vocab_size]`.

    Raises:
      ValueError: `tokens` or `initial_carry` does not fit.
    """
    _check_tokens('tokens', tokens)
    carries = (None,) * self.num_layers if initial_carry is None else initial_carry
    if len(carries) != self.num_layers:
      raise ValueError(
        f'initial_carry: got {len(carries)} carries, expected {self.num_layers}'
      )
    x = self.dropout(self.embed(tokens), deterministic=not train)
    finals = []
    for layer, carry in zip(self.layers, carries, strict=True):
      final, x = layer(x, initial_carry=carry, return_carry=True)
      x = self.dropout(x, deterministic=not train)
      finals.append(final)
    logits = self.head(x).astype(jnp.float32)
    return (tuple(finals), logits) if return_carry else logits

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
      Arrays `[batch, time, hidden_features]`, named as in `RNN.gates`.

    Raises:
      ValueError: `tokens` does not fit, or the cell has no gates.
    """
    _check_tokens('tokens', tokens)
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
  _check_tokens('prompt_tokens', prompt_tokens)
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
  'elman_lm': partial(LanguageModel, cell=ElmanCell),
  'gru_lm': partial(LanguageModel, cell=GRUCell),
  'lstm_lm': partial(LanguageModel, cell=LSTMCell),
}
