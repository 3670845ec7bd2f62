"""Normalisations against torch: forward and gradients."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch_networks import import_torchvision

from convscan.architectures.layers import BatchNorm, GroupNorm, InstanceNorm, LayerNorm

SHAPES = [(3, 6, 4), (3, 5, 6, 4), (3, 4, 5, 7, 4)]


def call(layer: Any, **kwargs: Any) -> Any:
  def run(x: Any, scale: Any, bias: Any) -> Any:
    variables = {'params': {'scale': scale, 'bias': bias}}
    return layer.apply(variables, x + 2 * jnp.cos(4 * x), **kwargs)

  return run


def torchs(layer: Any, shape: tuple[int, ...]) -> Any:
  def run(x: Any, weight: Any, bias: Any) -> Any:
    params = {'weight': weight, 'bias': bias}
    x = x + 2 * (4 * x).cos()
    if isinstance(layer, torch.nn.LayerNorm):
      return torch.func.functional_call(layer, params, x.movedim(1, -1)).movedim(-1, 1)
    return torch.func.functional_call(layer, params, x)

  return run


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('kind', ['group', 'layer', 'instance'])
def test_within_an_example(
  equals_torch: Any, kind: str, shape: tuple[int, ...]
) -> None:
  instance = getattr(torch.nn, f'InstanceNorm{len(shape) - 2}d')
  ours, theirs = {
    'group': (GroupNorm(num_groups=2), torch.nn.GroupNorm(2, 4)),
    'layer': (LayerNorm(), torch.nn.LayerNorm(4)),
    'instance': (InstanceNorm(), instance(4, affine=True)),
  }[kind]
  equals_torch(call(ours), torchs(theirs, shape), shape, (4,), (4,), tol=1e-4)


@pytest.mark.parametrize('shape', SHAPES)
def test_batch_norm(equals_torch: Any, shape: tuple[int, ...]) -> None:
  theirs = getattr(torch.nn, f'BatchNorm{len(shape) - 2}d')(4)
  layer = BatchNorm(use_running_average=False, momentum=0.9)
  first = {'mean': jnp.zeros(4), 'var': jnp.ones(4)}

  def ours(x: Any, scale: Any, bias: Any) -> Any:
    variables = {'params': {'scale': scale, 'bias': bias}, 'batch_stats': first}
    y, updated = layer.apply(variables, x, mutable='batch_stats')
    return y, updated['batch_stats']

  equals_torch(
    lambda *args: ours(*args)[0],
    lambda x, weight, bias: torch.func.functional_call(
      theirs, {'weight': weight, 'bias': bias}, x
    ),
    shape,
    (4,),
    (4,),
    tol=1e-4,
  )
  x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
  theirs.reset_running_stats()
  theirs(torch.from_numpy(np.moveaxis(x, -1, 1)))
  _, stats = ours(jnp.asarray(x), jnp.ones(4), jnp.zeros(4))
  np.testing.assert_allclose(stats['mean'], theirs.running_mean, atol=1e-6)
  n = np.prod(shape[:-1])  # torch's running variance is the unbiased one
  np.testing.assert_allclose(
    (stats['var'] - 0.9) * n / (n - 1) + 0.9, theirs.running_var, rtol=1e-5
  )


def test_frozen_batch_norm(equals_torch: Any) -> None:
  theirs = import_torchvision().ops.FrozenBatchNorm2d(4)
  rng = np.random.default_rng(0)
  arrays = {
    name: rng.uniform(0.5, 2, size=4).astype(np.float32)
    for name in ('weight', 'bias', 'running_mean', 'running_var')
  }
  theirs.load_state_dict({name: torch.from_numpy(a) for name, a in arrays.items()})
  scale, bias, mean, var = map(jnp.asarray, arrays.values())
  variables = {
    'params': {'scale': scale, 'bias': bias},
    'batch_stats': {'mean': mean, 'var': var},
  }
  for size in (5, 6):
    equals_torch(
      lambda x: BatchNorm(frozen=True).apply(variables, x), theirs, (2, size, 7, 4)
    )
