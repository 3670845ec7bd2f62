"""Transposed convolutions against torch: forward and gradients."""

from typing import Any

import jax
import numpy as np
import pytest
import torch

from convscan.architectures.layers import ConvTranspose
from convscan.architectures.ops import conv_transpose

CASES = [
  # strides, padding, output_padding, dilation, groups
  (1, 0, 0, 1, 1),
  (2, 1, 1, 1, 1),
  (3, 0, 2, 1, 2),
  (2, 3, 0, 2, 4),
  (1, 1, 2, 3, 2),
]


@pytest.mark.parametrize('ndim', [1, 2, 3])
@pytest.mark.parametrize('case', CASES)
def test_op(equals_torch: Any, case: tuple[int, ...], ndim: int) -> None:
  strides, padding, output_padding, dilation, groups = case
  theirs = getattr(torch.nn.functional, f'conv_transpose{ndim}d')
  for size in (4, 5):
    sizes, window = (size, 4, 3)[:ndim], (3, 2, 4)[:ndim]
    equals_torch(
      lambda x, kernel: conv_transpose(
        x,
        kernel,
        strides=strides,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
        groups=groups,
      ),
      lambda x, weight: theirs(
        x, weight, None, strides, padding, output_padding, groups, dilation
      ),
      (2, *sizes, 4),
      (*window, 3, 4),
    )


def test_each_dimension_may_have_its_own(equals_torch: Any) -> None:
  equals_torch(
    lambda x, kernel: conv_transpose(
      x, kernel, strides=(3, 1), padding=(1, 0), output_padding=(2, 0), dilation=(1, 2)
    ),
    lambda x, weight: torch.nn.functional.conv_transpose2d(
      x, weight, None, (3, 1), (1, 0), (2, 0), 1, (1, 2)
    ),
    (1, 3, 4, 2),
    (2, 3, 5, 2),
  )


def test_layer_takes_torchs_weights() -> None:
  theirs = torch.nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2)
  weight, bias = (p.detach().numpy() for p in theirs.parameters())
  params = {'kernel': weight.transpose(2, 3, 1, 0), 'bias': bias}
  layer = ConvTranspose(6, (3, 3), strides=2, padding=1, output_padding=1, groups=2)
  x = np.random.default_rng(0).normal(size=(1, 5, 4, 4)).astype(np.float32)
  shapes = jax.eval_shape(layer.init, jax.random.key(0), x)['params']
  assert jax.tree.map(np.shape, shapes) == jax.tree.map(np.shape, params)
  want = theirs(torch.from_numpy(x).permute(0, 3, 1, 2)).detach().permute(0, 2, 3, 1)
  np.testing.assert_allclose(
    layer.apply({'params': params}, x), want, rtol=1e-5, atol=1e-6
  )
