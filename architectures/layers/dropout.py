"""Dropout whose rate is checked."""

import flax.linen as nn


class Dropout(nn.Dropout):
  """`flax.linen.Dropout`, which refuses a rate that is no probability below 1.

  Along `broadcast_dims` all is dropped or nothing: `(1, 2)` drops whole channels of
  `[batch, height, width, channels]`, the spatial dropout of Tompson et al. 2014
  (https://arxiv.org/abs/1411.4280) and of torch's `Dropout2d`.

  Raises:
    ValueError: `rate` is not in [0, 1).

  >>> Dropout(2.0)
  Traceback (most recent call last):
  ValueError: dropout_rate: got 2.0, expected 0 <= rate < 1
  """

  def __post_init__(self) -> None:
    """Checks the rate."""
    check_dropout_rate(self.rate)
    super().__post_init__()


def check_dropout_rate(rate: float) -> None:
  """Raises a ValueError if `rate` is not in [0, 1)."""
  if not 0 <= rate < 1:
    raise ValueError(f'dropout_rate: got {rate}, expected 0 <= rate < 1')
