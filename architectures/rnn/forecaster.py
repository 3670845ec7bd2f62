"""Recurrent networks that predict the next steps of a series."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from .decoder import Bridge
from .directions import CELLS, MakeCell, one_way
from .encoder import Encoder, check_sizes


class Forecast(nn.Module):
  """Makes a forecaster of what reads sequences, such as `Encoder`, the next base.

  Attributes:
    horizon: how many steps to predict.
    num_targets: how many numbers to predict for each step.
  """

  horizon: int = 1
  num_targets: int = 1

  def setup(self) -> None:
    """Makes the layers."""
    check_sizes(self, 'horizon', 'num_targets')
    super().setup()
    self.head = self.make_head(self.head_features)

  def __call__(
    self, inputs: Array, *, train: bool, seq_lengths: Array | None = None
  ) -> Array:
    """Predicts what follows the inputs; for the arguments see `encode`.

    Returns:
      float32 `[batch, horizon, num_targets]`.

    Raises:
      ValueError: an argument does not fit.
    """
    _, final = self.encode(inputs, train=train, seq_lengths=seq_lengths)
    return self.predict(self.dropout(final, deterministic=not train))

  @property
  def head_features(self) -> int:
    """How many numbers the head gives at once."""
    return self.horizon * self.num_targets

  def predict(self, final: Array) -> Array:
    """Predicts all steps at once from the final state `[batch, features]`."""
    steps = self.head(final).reshape(len(final), self.horizon, self.num_targets)
    return steps.astype(jnp.float32)


class Forecaster(Forecast, Encoder):
  """Recurrent layers over a window, and the steps that follow it.

  Without a `decoder` the prediction is direct: one dense layer gives every step of the
  horizon from the final state. With one it is recursive: the decoder starts from a
  dense layer's view of the final state and is fed zeros, then its own predictions, in
  training too. For the fields before `decoder` see `Encoder`, then `Forecast`.

  Attributes:
    decoder: makes the cell of a recursive prediction, called as
      `decoder(hidden_features, dtype=...)`; None for a direct one.

  >>> from convscan.architectures.rnn import GRUCell
  >>> model = Forecaster(partial(one_way, GRUCell), horizon=4, decoder=GRUCell)
  >>> window = jnp.ones((2, 7, 3))
  >>> variables = model.init(jax.random.key(0), window, train=False)
  >>> model.apply(variables, window, train=False).shape
  (2, 4, 1)
  """

  decoder: MakeCell | None = None

  def setup(self) -> None:
    """Makes the layers."""
    super().setup()
    if self.decoder is not None:
      self.bridge = Bridge(dtype=self.dtype)
      self.cell = self.decoder(self.hidden_features, dtype=self.dtype)

  @property
  def head_features(self) -> int:
    """See `Forecast`."""
    return self.num_targets if self.decoder is not None else super().head_features

  def predict(self, final: Array) -> Array:
    """Predicts all steps from the final state, at once or one by one."""
    if self.decoder is None:
      return super().predict(final)
    first = jnp.zeros((len(final), self.num_targets), jnp.float32)
    like = self.cell.initialize_carry(jax.random.key(0), first.shape)

    def step(module: Any, state: Any, _: None) -> tuple[Any, Array]:
      carry, y = module.cell(*state)
      prediction = module.head(y).astype(jnp.float32)
      return (carry, prediction), prediction

    scan = nn.scan(
      step,
      variable_broadcast='params',
      split_rngs={'params': False},
      length=self.horizon,
      out_axes=1,
    )
    _, steps = scan(self, (self.bridge(final, like), first), None)
    return steps


# Every variant by name: those that predict all steps at once, and one by one.
MODELS: dict[str, Callable[..., Forecaster]] = {
  f'{name}_forecaster': partial(Forecaster, layer=partial(one_way, cell))
  for name, cell in CELLS.items()
}
MODELS |= {
  f'{name}_recursive_forecaster': partial(
    Forecaster, layer=partial(one_way, cell), decoder=cell
  )
  for name, cell in CELLS.items()
}
