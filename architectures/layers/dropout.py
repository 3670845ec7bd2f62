"""Dropout whose rate is checked."""

import flax.linen as nn


class Dropout(nn.Dropout):
  """`flax.linen.Dropout`, which refuses a rate that is no probability below 1.

  Raises:
    ValueError: `rate` is not in [0, 1).

  >>> Dropout(2.0)
  Traceback (most recent call last):
  ValueError: dropout_rate: got 2.0, expected 0 <= rate < 1
  """

  def __post_init__(self) -> None:
    """Checks the rate."""
    if not 0 <= self.rate < 1:
      raise ValueError(f'dropout_rate: got {self.rate}, expected 0 <= rate < 1')
    super().__post_init__()
