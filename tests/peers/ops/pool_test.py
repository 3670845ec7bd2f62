"""Pooling against torch: forward and gradients."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
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


def compare(ours: Any, theirs: Any, size: int) -> None:
  x = np.random.default_rng(size).normal(size=(2, size, size + 3, 4))
  x = x.astype(np.float32)
  tx = torch.from_numpy(x).permute(0, 3, 1, 2).requires_grad_()
  ty = theirs(tx)
  y, pullback = jax.vjp(ours, jnp.asarray(x))
  np.testing.assert_allclose(y, ty.detach().permute(0, 2, 3, 1), rtol=1e-5, atol=1e-6)
  g = np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape)
  (tg,) = torch.autograd.grad(ty, tx, torch.from_numpy(g).permute(0, 3, 1, 2))
  np.testing.assert_allclose(
    pullback(jnp.asarray(g))[0], tg.permute(0, 2, 3, 1), rtol=1e-5, atol=1e-6
  )


@pytest.mark.parametrize('ceil_mode', [False, True])
@pytest.mark.parametrize(('window', 'stride', 'padding', 'dilation'), WINDOWS)
def test_max_pool(
  window: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> None:
  for size in (6, 7, 9):
    compare(
      lambda x: max_pool(
        x,
        (window, window),
        strides=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
      ),
      torch.nn.MaxPool2d(window, stride, padding, dilation, ceil_mode=ceil_mode),
      size,
    )


@pytest.mark.parametrize('ceil_mode', [False, True])
@pytest.mark.parametrize('count', [False, True])
@pytest.mark.parametrize(('window', 'stride', 'padding', 'dilation'), WINDOWS[:-1])
def test_avg_pool(
  window: int, stride: int, padding: int, dilation: int, count: bool, ceil_mode: bool
) -> None:
  del dilation
  for size in (6, 7, 9):
    compare(
      lambda x: avg_pool(
        x,
        (window, window),
        strides=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count,
      ),
      torch.nn.AvgPool2d(window, stride, padding, ceil_mode, count),
      size,
    )


@pytest.mark.parametrize(
  ('size', 'window', 'stride'), [(2, 3, 2), (1, 2, 2), (1, 3, 3)]
)
def test_a_window_may_hang_out_of_an_array_that_is_smaller(
  size: int, window: int, stride: int
) -> None:
  for ours, theirs in ((max_pool, torch.nn.MaxPool2d), (avg_pool, torch.nn.AvgPool2d)):
    compare(
      partial(ours, window_shape=(window, window), strides=stride, ceil_mode=True),
      theirs(window, stride, ceil_mode=True),
      size,
    )


@pytest.mark.parametrize('size', [1, 6, 7, 13])
@pytest.mark.parametrize('output_size', [1, 6, 7, (2, 3)])
def test_adaptive_pools(size: int, output_size: Any) -> None:
  compare(
    lambda x: adaptive_avg_pool(x, output_size),
    torch.nn.AdaptiveAvgPool2d(output_size),
    size,
  )
  compare(
    lambda x: adaptive_max_pool(x, output_size),
    torch.nn.AdaptiveMaxPool2d(output_size),
    size,
  )
