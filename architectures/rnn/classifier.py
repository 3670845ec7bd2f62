"""Recurrent networks that give a sequence one label."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from .directions import CELLS, one_way
from .encoder import Encoder, check_sizes, valid_steps

Pool = Callable[[Array, Array, Array], Array]


def last_state(outputs: Array, final: Array, valid: Array) -> Array:
  """Returns the final state: at the last valid step, or at the first if backwards."""
  return final


def mean_pool(outputs: Array, final: Array, valid: Array) -> Array:
  """Returns the mean of the outputs over valid steps, or zero where there is none.

  >>> y = jnp.array([[[1.0], [3.0], [0.0]]])
  >>> mean_pool(y, y[:, 1], jnp.array([[True, True, False]]))
  Array([[2.]], dtype=float32)
  """
  total = jnp.sum(jnp.where(valid[..., None], outputs, 0), axis=1)
  count = jnp.maximum(jnp.sum(valid, axis=1), 1)
  return total / count[:, None].astype(total.dtype)


def max_pool(outputs: Array, final: Array, valid: Array) -> Array:
  """Returns the maximum of the outputs over valid steps, or zero where there is none.

  >>> y = jnp.array([[[-2.0], [-1.0], [0.0]]])
  >>> max_pool(y, y[:, 1], jnp.array([[True, True, False]]))
  Array([[-1.]], dtype=float32)
  """
  lowest = jnp.finfo(outputs.dtype).min
  largest = jnp.max(jnp.where(valid[..., None], outputs, lowest), axis=1)
  return jnp.where(jnp.any(valid, axis=1)[:, None], largest, 0)


class Classify(nn.Module):
  """Makes a classifier of what reads sequences, such as `Encoder`, the next base.

  Attributes:
    num_classes: how many classes there are.
    pool: makes one vector of each sequence, called as `pool(outputs, final, valid)`
      with what `encode` returns and bool `[batch, time]`: `last_state`, `mean_pool`,
      `max_pool` or a function of yours.
  """

  num_classes: int = 10
  pool: Pool = last_state

  def setup(self) -> None:
    """Makes the layers."""
    check_sizes(self, 'num_classes')
    super().setup()
    self.head = self.make_head(self.num_classes)

  def __call__(
    self, inputs: Array, *, train: bool, seq_lengths: Array | None = None
  ) -> Array:
    """Classifies sequences; for the arguments see `encode`.

    Returns:
      Logits, float32 `[batch, num_classes]`.

    Raises:
      ValueError: an argument does not fit.
    """
    outputs, final = self.encode(inputs, train=train, seq_lengths=seq_lengths)
    x = self.pool(outputs, final, valid_steps(outputs, seq_lengths))
    x = self.dropout(x, deterministic=not train)
    return self.head(x).astype(jnp.float32)


class SequenceClassifier(Classify, Encoder):
  """Recurrent layers, a pool over time and a dense layer.

  For the fields see `Encoder`, then `Classify`.

  >>> from convscan.architectures.rnn import GRUCell
  >>> model = SequenceClassifier(partial(one_way, GRUCell), num_classes=7)
  >>> import jax
  >>> images = jnp.ones((2, 8, 8, 1))  # Each a sequence of 8 rows.
  >>> variables = model.init(jax.random.key(0), images, train=False)
  >>> model.apply(variables, images, train=False).shape
  (2, 7)
  """


# Every variant by name.
MODELS: dict[str, Callable[..., SequenceClassifier]] = {
  f'{name}_classifier': partial(SequenceClassifier, layer=partial(one_way, cell))
  for name, cell in CELLS.items()
}
