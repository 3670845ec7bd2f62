"""The padding modes of convolutions against torch: forward and gradients."""

from typing import Any

import pytest
import torch

from convscan.architectures.layers import Conv


@pytest.mark.parametrize('mode', ['zeros', 'reflect', 'replicate', 'circular'])
@pytest.mark.parametrize('ndim', [1, 2, 3])
def test_padding_modes(equals_torch: Any, mode: str, ndim: int) -> None:
  window, padding = (3, 2, 5)[:ndim], (2, 1, 3)[:ndim]
  layer = Conv(2, window, strides=2, padding=padding, padding_mode=mode, use_bias=False)
  make = getattr(torch.nn, f'Conv{ndim}d')
  theirs = make(4, 2, window, 2, padding, padding_mode=mode, bias=False)
  for size in (6, 7):
    equals_torch(
      lambda x, kernel: layer.apply({'params': {'kernel': kernel}}, x),
      lambda x, weight: torch.func.functional_call(theirs, {'weight': weight}, x),
      (2, *(size, 4, 5)[:ndim], 4),
      (*window, 4, 2),
    )
