"""Token embeddings, with dropout of whole words."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..layers.dropout import check_rates


def check_tokens(argument: str, tokens: Array, vocab_size: int) -> None:
  """Checks tokens `[batch, time]`.

  Args:
    argument: what errors call them.
    tokens: the tokens. Their values are seen where they are concrete, so outside
      `jax.jit`; inside it, those out of range are not found out.
    vocab_size: how many tokens there are.

  Raises:
    ValueError: not integers, not of two axes, or not in `[0, vocab_size)`.
  """
  if tokens.ndim != 2 or not jnp.issubdtype(tokens.dtype, jnp.integer):
    raise ValueError(
      f'{argument}: got {tokens.dtype}{tokens.shape}, expected integers [batch, time]'
    )
  if not isinstance(tokens, jax.core.Tracer):
    values = np.asarray(tokens)
    wrong = values[(values < 0) | (values >= vocab_size)]
    if wrong.size:
      raise ValueError(
        f'{argument}: got {wrong[0]}, expected 0 to {vocab_size - 1}, for a '
        f'vocabulary of {vocab_size}'
      )


class Embed(nn.Embed):
  """`flax.linen.Embed` that drops whole words in training.

  The dropout of Gal and Ghahramani 2016 (https://arxiv.org/abs/1512.05287), as Merity
  et al. 2018 (https://arxiv.org/abs/1708.02182) have it: rows of the matrix are
  dropped, one draw a call, so that a word that is dropped is so at each of its
  occurrences in the batch. `attend`, the product with the transposed matrix, drops
  nothing.

  Attributes:
    dropout_rate: the rate at which words are dropped.

  >>> embed = Embed(11, 4, dropout_rate=0.5)
  >>> tokens = jnp.zeros((2, 5), int)
  >>> x, variables = embed.init_with_output(jax.random.key(0), tokens)
  >>> x.shape
  (2, 5, 4)
  """

  dropout_rate: float = 0.0

  def __post_init__(self) -> None:
    """Checks the rate."""
    check_rates(self)
    super().__post_init__()

  def __call__(self, inputs: Array, *, train: bool = False) -> Array:
    """Looks tokens up.

    Args:
      inputs: tokens, integers of any shape.
      train: drop words, with the stream `dropout`.

    Returns:
      `[*inputs.shape, features]`.
    """
    x = super().__call__(inputs)
    if not train or not self.dropout_rate:
      return x
    key = self.make_rng('dropout')
    kept = jax.random.bernoulli(key, 1 - self.dropout_rate, (self.num_embeddings,))
    scale = kept.astype(x.dtype) / jnp.asarray(1 - self.dropout_rate, x.dtype)
    return x * scale[inputs][..., None]
