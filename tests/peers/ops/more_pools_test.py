"""The rarer pools against torch and timm: forward and gradients."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from timm.layers import BlurPool2d

from convscan.architectures.ops import (
  adaptive_avg_pool,
  adaptive_max_pool,
  blur_pool,
  fractional_max_pool,
  gem_pool,
  global_max_pool,
  lp_pool,
  max_pool_with_indices,
  max_unpool,
  spatial_pyramid_pool,
)

SHAPES = [(6,), (7,), (6, 9), (7, 8), (4, 7, 5)]


def shape_of(sizes: tuple[int, ...]) -> tuple[int, ...]:
  return (2, *sizes, 3)


@pytest.mark.parametrize('sizes', SHAPES)
@pytest.mark.parametrize(
  ('window', 'stride', 'padding', 'dilation', 'ceil_mode'),
  [(2, 2, 0, 1, False), (3, 2, 1, 1, True), (2, 1, 1, 3, False)],
)
def test_max_pool_with_indices(
  equals_torch: Any,
  sizes: tuple[int, ...],
  window: int,
  stride: int,
  padding: int,
  dilation: int,
  ceil_mode: bool,
) -> None:
  ndim = len(sizes)
  theirs = getattr(torch.nn, f'MaxPool{ndim}d')(
    window, stride, padding, dilation, return_indices=True, ceil_mode=ceil_mode
  )

  def ours(x: Any) -> Any:
    return max_pool_with_indices(
      x,
      (window,) * ndim,
      strides=stride,
      padding=padding,
      dilation=dilation,
      ceil_mode=ceil_mode,
    )

  equals_torch(lambda x: ours(x)[0], lambda x: theirs(x)[0], shape_of(sizes))
  # Few values: of equal ones the first counts.
  x = np.random.default_rng(0).integers(0, 3, size=shape_of(sizes)).astype(np.float32)
  _, indices = theirs(torch.from_numpy(np.moveaxis(x, -1, 1)))
  np.testing.assert_array_equal(
    np.moveaxis(np.asarray(ours(jnp.asarray(x))[1]), -1, 1), indices
  )


@pytest.mark.parametrize('sizes', SHAPES)
@pytest.mark.parametrize('padding', [0, 1])
def test_max_unpool(equals_torch: Any, sizes: tuple[int, ...], padding: int) -> None:
  ndim = len(sizes)
  pool = getattr(torch.nn, f'MaxPool{ndim}d')(2, 2, padding, return_indices=True)
  unpool = getattr(torch.nn, f'MaxUnpool{ndim}d')(2, 2, padding)
  window = (2,) * ndim

  def ours(x: Any) -> Any:
    values, indices = max_pool_with_indices(x, window, padding=padding)
    return max_unpool(values, indices, window, padding=padding, output_size=sizes)

  equals_torch(ours, lambda x: unpool(*pool(x), output_size=sizes), shape_of(sizes))
  if all(size % 2 == 0 for size in sizes):
    equals_torch(
      lambda x: max_unpool(*max_pool_with_indices(x, window), window),
      lambda x: getattr(torch.nn, f'MaxUnpool{ndim}d')(2)(
        *getattr(torch.nn, f'MaxPool{ndim}d')(2, return_indices=True)(x)
      ),
      shape_of(sizes),
    )


@pytest.mark.parametrize('sizes', SHAPES)
@pytest.mark.parametrize(
  ('p', 'stride', 'ceil_mode'),
  [(2, None, False), (1, 1, False), (4, 2, True), (float('inf'), 2, True)],
)
def test_lp_pool(
  equals_torch: Any, sizes: tuple[int, ...], p: float, stride: int, ceil_mode: bool
) -> None:
  theirs = getattr(torch.nn, f'LPPool{len(sizes)}d')(p, 3, stride, ceil_mode)
  equals_torch(
    lambda x: lp_pool(
      x**2, (3,) * len(sizes), norm_type=p, strides=stride, ceil_mode=ceil_mode
    ),
    lambda x: theirs(x**2),
    shape_of(sizes),
    tol=1e-4,
  )


@pytest.mark.parametrize('filter_size', [3, 5])
@pytest.mark.parametrize('size', [8, 9])
def test_blur_pool(equals_torch: Any, filter_size: int, size: int) -> None:
  equals_torch(
    lambda x: blur_pool(x, filter_size=filter_size),
    BlurPool2d(filt_size=filter_size),
    (2, size, 7, 3),
  )


@pytest.mark.parametrize('sizes', [(7, 8), (10, 9), (6, 7, 9)])
def test_fractional_max_pool(equals_torch: Any, sizes: tuple[int, ...]) -> None:
  ndim = len(sizes)
  outs = tuple(n - 3 for n in sizes)
  samples = np.random.default_rng(0).uniform(size=(2, 3, ndim)).astype(np.float32)
  theirs = getattr(torch.nn, f'FractionalMaxPool{ndim}d')(
    2, outs, _random_samples=torch.from_numpy(samples)
  )
  ours = samples[..., ::-1] if ndim == 2 else samples
  equals_torch(
    lambda x: fractional_max_pool(x, (2,) * ndim, outs, ours), theirs, shape_of(sizes)
  )
  # Of equal values the first has the gradient.
  equals_torch(
    lambda x: fractional_max_pool(
      jnp.floor(x) + (x - jax.lax.stop_gradient(x)), (2,) * ndim, outs, ours
    ),
    lambda x: theirs(x.floor() + (x - x.detach())),
    shape_of(sizes),
  )


@pytest.mark.parametrize('sizes', SHAPES)
def test_global_max_and_generalised_mean(
  equals_torch: Any, sizes: tuple[int, ...]
) -> None:
  axes = tuple(range(2, len(sizes) + 2))
  equals_torch(global_max_pool, lambda x: x.amax(axes), shape_of(sizes))
  equals_torch(
    lambda x, p: gem_pool(x, p**2 + 2),
    lambda x, p: x.clamp(min=1e-6).pow(p**2 + 2).mean(axes).pow(1 / (p**2 + 2)),
    shape_of(sizes),
    (1,),
  )


@pytest.mark.parametrize('sizes', [(6, 9), (7, 5)])
@pytest.mark.parametrize('kind', ['avg', 'max'])
def test_spatial_pyramid_pool(
  equals_torch: Any, sizes: tuple[int, ...], kind: str
) -> None:
  pool = {'avg': adaptive_avg_pool, 'max': adaptive_max_pool}[kind]
  adaptive = getattr(torch.nn.functional, f'adaptive_{kind}_pool2d')
  equals_torch(
    lambda x: spatial_pyramid_pool(x, (1, 3), pool=pool),
    lambda x: torch.cat([adaptive(x, n).movedim(1, -1).flatten(1) for n in (1, 3)], 1),
    shape_of(sizes),
  )
