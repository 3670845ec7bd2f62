"""Local response normalisation and pixel shuffles against torch."""

from typing import Any

import pytest
import torch

from convscan.architectures.ops import (
  depth_to_space,
  local_response_norm,
  space_to_depth,
)


@pytest.mark.parametrize('size', [1, 2, 5, 12])
@pytest.mark.parametrize('shape', [(2, 6, 7), (2, 5, 4, 8), (2, 3, 4, 3, 7)])
def test_local_response_norm(
  equals_torch: Any, size: int, shape: tuple[int, ...]
) -> None:
  equals_torch(
    lambda x: local_response_norm(x, size, alpha=0.3, beta=0.6, k=2.0),
    torch.nn.LocalResponseNorm(size, 0.3, 0.6, 2.0),
    shape,
  )


@pytest.mark.parametrize('block', [1, 2, 3])
def test_pixel_shuffles(equals_torch: Any, block: int) -> None:
  for n in (2, 3):
    equals_torch(
      lambda x: space_to_depth(x, block),
      torch.nn.PixelUnshuffle(block),
      (2, n * block, 4 * block, 3),
    )
    equals_torch(
      lambda x: depth_to_space(x, block),
      torch.nn.PixelShuffle(block),
      (2, n, 4, 3 * block**2),
    )
