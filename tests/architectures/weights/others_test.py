"""Weights of the networks that torchvision does not have, without any library."""

from functools import partial
from typing import Any

import jax
import numpy as np
import pytest

import convscan.architectures as arch

SHAPE = (1, 32, 32, 3)
# Of each, a key and its shape: timm's, the authors' or torchvision's of its ResNet.
KEYS: dict[str, tuple[str, tuple[int, ...]]] = {
  'convnextv2_nano': ('stages.3.blocks.1.mlp.fc2.weight', (640, 2560, 1, 1)),
  'convnextv2_tiny': ('stages.3.blocks.2.mlp.grn.bias', (3072,)),
  'preact_resnet110_cifar': ('layer2.0.downsample.0.weight', (32, 16, 1, 1)),
  'resnet18d': ('layer4.0.downsample.1.weight', (512, 256, 1, 1)),
  'resnet20_cifar': ('layer3.2.bn2.running_var', (64,)),
  'seresnet18': ('layer1.1.se.fc1.weight', (8, 64, 1, 1)),
  'tcn_classifier': ('tcn.network.0.conv1.weight_g', (25, 1, 1)),
  'tcn_forecaster': ('linear.weight', (1, 25)),
  'tcn_tagger': ('tcn.network.0.conv1.weight_v', (25, 96, 7)),
  'unet': ('upconv1.weight', (1024, 512, 2, 2)),
  'wide_resnet40_4': ('bn.weight', (256,)),
  'xception': ('block12.rep.4.pointwise.weight', (1024, 728, 1, 1)),
}


@pytest.mark.parametrize('name', KEYS)
def test_a_round_trip_returns_every_array(name: str) -> None:
  model: Any = arch.build(name)
  images = jax.ShapeDtypeStruct(SHAPE, np.float32)
  shapes = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), images)
  # Each array is told by its first entry, and its axes by their order.
  sizes = iter(range(1, 10_000))
  variables = jax.tree.map(
    lambda leaf: (
      np.arange(np.prod(leaf.shape), dtype=np.float32).reshape(leaf.shape) + next(sizes)
    ),
    shapes,
  )
  state = arch.weights.to_torch(model, variables)
  assert len(state) == len(jax.tree.leaves(variables))
  key, shape = KEYS[name]
  assert state[key].shape == shape
  jax.tree.map(
    np.testing.assert_array_equal,
    arch.weights.from_torch(model, state, SHAPE),
    variables,
  )
