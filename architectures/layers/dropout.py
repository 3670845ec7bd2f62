"""Dropout whose rate is checked."""

import dataclasses
from typing import Any

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
  ValueError: rate: got 2.0, expected 0 <= rate < 1
  """

  def __post_init__(self) -> None:
    """Checks the rate."""
    check_rates(self)
    super().__post_init__()


def check_rates(module: Any) -> None:
  """Checks the fields of a module that are named `rate`, or end in `_rate`.

  Raises:
    ValueError: one is neither None nor in [0, 1).
  """
  for field in dataclasses.fields(module):
    if field.name.endswith('rate'):
      rate = getattr(module, field.name)
      if rate is not None and not 0 <= rate < 1:
        raise ValueError(f'{field.name}: got {rate}, expected 0 <= rate < 1')
