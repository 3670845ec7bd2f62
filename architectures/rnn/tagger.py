"""Recurrent networks that give each step of a sequence a label."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from .directions import CELLS, one_way, two_way
from .encoder import Encoder, check_sizes, valid_steps


class Tag(nn.Module):
  """Makes a tagger of what reads sequences, such as `Encoder`, the next base.

  Attributes:
    num_tags: how many tags there are.
  """

  num_tags: int = 10

  def setup(self) -> None:
    """Makes the layers."""
    check_sizes(self, 'num_tags')
    super().setup()
    self.head = self.make_head(self.num_tags)

  def __call__(
    self, inputs: Array, *, train: bool, seq_lengths: Array | None = None
  ) -> Array:
    """Tags sequences; for the arguments see `encode`.

    Returns:
      Logits, float32 `[batch, time, num_tags]`, zero past each length.

    Raises:
      ValueError: an argument does not fit.
    """
    outputs, _ = self.encode(inputs, train=train, seq_lengths=seq_lengths)
    logits = self.head(self.dropout(outputs, deterministic=not train))
    valid = valid_steps(outputs, seq_lengths)
    return jnp.where(valid[..., None], logits, 0).astype(jnp.float32)


class SequenceTagger(Tag, Encoder):
  """Recurrent layers and a dense layer at each step.

  With layers in both directions it is the BI-LSTM of Huang et al. 2015
  (https://arxiv.org/abs/1508.01991), section 2.2. For the fields see `Encoder`, then
  `Tag`.

  >>> import jax
  >>> from convscan.architectures.rnn import LSTMCell
  >>> model = SequenceTagger(partial(two_way, LSTMCell), vocab_size=11, num_tags=5)
  >>> tokens = jnp.zeros((2, 7), int)
  >>> variables = model.init(jax.random.key(0), tokens, train=False)
  >>> model.apply(variables, tokens, train=False).shape
  (2, 7, 5)
  """


# Every variant by name: those that run in both directions, and those whose tags depend
# on no later step.
MODELS: dict[str, Callable[..., SequenceTagger]] = {
  f'{name}_tagger': partial(SequenceTagger, layer=partial(two_way, cell))
  for name, cell in CELLS.items()
}
MODELS |= {
  f'{name}_causal_tagger': partial(SequenceTagger, layer=partial(one_way, cell))
  for name, cell in CELLS.items()
}
