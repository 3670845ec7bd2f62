"""Kinds of convolutions against torch and timm: forward and gradients."""

from typing import Any

import pytest
import torch
from timm.layers import StdConv2d

from convscan.architectures.layers import Conv, SeparableConv
from convscan.architectures.ops import standardise_kernel


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


@pytest.mark.parametrize('size', [6, 7])
def test_weight_standardisation(equals_torch: Any, size: int) -> None:
  layer = Conv(
    4, (3, 3), padding=1, groups=2, use_bias=False, kernel_transform=standardise_kernel
  )
  theirs = StdConv2d(6, 4, 3, groups=2)
  equals_torch(
    lambda x, kernel: layer.apply({'params': {'kernel': kernel}}, x),
    lambda x, weight: torch.func.functional_call(theirs, {'weight': weight}, x),
    (2, size, 5, 6),
    (3, 3, 3, 4),
    tol=1e-4,
  )


@pytest.mark.parametrize('size', [6, 7])
def test_separable_convolution(equals_torch: Any, size: int) -> None:
  layer = SeparableConv(5, (3, 3), strides=2, padding=1, use_bias=False)
  functional = torch.nn.functional
  equals_torch(
    lambda x, depthwise, pointwise: layer.apply(
      {
        'params': {
          'depthwise': {'kernel': depthwise},
          'pointwise': {'kernel': pointwise},
        }
      },
      x,
    ),
    lambda x, depthwise, pointwise: functional.conv2d(
      functional.conv2d(x, depthwise, stride=2, padding=1, groups=4), pointwise
    ),
    (2, size, 5, 4),
    (3, 3, 1, 4),
    (1, 1, 4, 5),
  )
