"""The kinds of dropout against torch's, by what they drop."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch_networks import import_torchvision

from convscan.architectures.layers import AlphaDropout
from convscan.architectures.layers.drop_block import keep_blocks


@pytest.mark.parametrize('size', [8, 9])
@pytest.mark.parametrize('block', [1, 3, 5])
@pytest.mark.parametrize('ndim', [2, 3])
def test_the_same_seeds_drop_the_same_blocks(size: int, block: int, ndim: int) -> None:
  sizes = (size, 10, 7)[:ndim]
  starts = [n - block + 1 for n in sizes]
  gamma = 0.2 * np.prod(sizes) / (block**ndim * np.prod(starts))
  torch.manual_seed(0)
  seeds = torch.empty(4, 3, *starts).bernoulli_(gamma)
  torch.manual_seed(0)
  theirs = getattr(import_torchvision().ops, f'drop_block{ndim}d')
  want = theirs(torch.ones(4, 3, *sizes), 0.2, block)
  assert 0 < (want == 0).float().mean() < 0.5
  got = keep_blocks(jnp.asarray(seeds.movedim(1, -1).numpy() > 0), block)
  np.testing.assert_allclose(got, want.movedim(1, -1), rtol=1e-5)


def test_alpha_dropout_has_torchs_values() -> None:
  torch.manual_seed(0)
  want = torch.nn.AlphaDropout(0.3)(torch.ones(1000)).unique()
  layer: Any = AlphaDropout(0.3)
  rngs = {'dropout': jax.random.key(0)}
  y = layer.apply({}, jnp.ones(1000), deterministic=False, rngs=rngs)
  np.testing.assert_allclose(np.unique(y), want, rtol=1e-6)
