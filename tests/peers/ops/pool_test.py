"""Pooling against torch: forward and gradients."""

from functools import partial
from typing import Any

import pytest
import torch

from convscan.architectures.ops import (
  adaptive_avg_pool,
  adaptive_max_pool,
  avg_pool,
  max_pool,
)

WINDOWS = [
  # window, stride, padding, dilation
  (3, 2, 0, 1),
  (3, 2, 1, 1),
  (2, 2, 1, 1),
  (3, 3, 1, 1),
  (2, 3, 0, 1),
  (2, 1, 1, 3),
]


@pytest.mark.parametrize('ceil_mode', [False, True])
@pytest.mark.parametrize(('window', 'stride', 'padding', 'dilation'), WINDOWS)
def test_max_pool(
  equals_torch: Any,
  window: int,
  stride: int,
  padding: int,
  dilation: int,
  ceil_mode: bool,
) -> None:
  for size in (6, 7, 9):
    equals_torch(
      lambda x: max_pool(
        x,
        (window, window),
        strides=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
      ),
      torch.nn.MaxPool2d(window, stride, padding, dilation, ceil_mode=ceil_mode),
      (2, size, size + 3, 4),
    )


@pytest.mark.parametrize('ceil_mode', [False, True])
@pytest.mark.parametrize('count', [False, True])
@pytest.mark.parametrize(('window', 'stride', 'padding', 'dilation'), WINDOWS[:-1])
def test_avg_pool(
  equals_torch: Any,
  window: int,
  stride: int,
  padding: int,
  dilation: int,
  count: bool,
  ceil_mode: bool,
) -> None:
  del dilation
  for size in (6, 7, 9):
    equals_torch(
      lambda x: avg_pool(
        x,
        (window, window),
        strides=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count,
      ),
      torch.nn.AvgPool2d(window, stride, padding, ceil_mode, count),
      (2, size, size + 3, 4),
    )


@pytest.mark.parametrize(
  ('size', 'window', 'stride'), [(2, 3, 2), (1, 2, 2), (1, 3, 3)]
)
def test_a_window_may_hang_out_of_an_array_that_is_smaller(
  equals_torch: Any, size: int, window: int, stride: int
) -> None:
  for ours, theirs in ((max_pool, torch.nn.MaxPool2d), (avg_pool, torch.nn.AvgPool2d)):
    equals_torch(
      partial(ours, window_shape=(window, window), strides=stride, ceil_mode=True),
      theirs(window, stride, ceil_mode=True),
      (2, size, size + 3, 4),
    )


@pytest.mark.parametrize('size', [1, 6, 7, 13])
@pytest.mark.parametrize('output_size', [1, 6, 7, (2, 3)])
def test_adaptive_pools(equals_torch: Any, size: int, output_size: Any) -> None:
  equals_torch(
    lambda x: adaptive_avg_pool(x, output_size),
    torch.nn.AdaptiveAvgPool2d(output_size),
    (2, size, size + 3, 4),
  )
  equals_torch(
    lambda x: adaptive_max_pool(x, output_size),
    torch.nn.AdaptiveMaxPool2d(output_size),
    (2, size, size + 3, 4),
  )
