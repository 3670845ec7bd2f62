"""The published networks drop what torchvision's do in training, and as often."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
import seeded
import torch
from torch_networks import import_torchvision

import convscan.architectures as arch
from convscan.architectures.layers import Dropout, StochasticDepth

# All whose rates differ from those of another of their kind.
VARIANTS = [
  n for n in arch.names('cnn') if n.startswith(('efficientnet_', 'convnext_'))
]
# RegNet, which drops nothing, is not to be had without its arrays.
NAMES = sorted(n for n in {*seeded.KINDS, *VARIANTS} if not n.startswith('regnet'))
# Its auxiliary head needs them.
SIZES = {'inception_v3': 299}
Drops = list[tuple[int, str, float]]


def their_drops(name: str, size: int) -> Drops:
  """How many layers have run, what is dropped after them, and the probability."""
  found: Drops = []
  layers = 0

  def watch(module: Any, args: Any, output: Any) -> None:
    nonlocal layers
    layers += isinstance(module, torch.nn.Conv2d | torch.nn.Linear)
    if isinstance(module, torch.nn.Dropout) and module.p:
      found.append((layers, 'element', module.p))
    elif type(module).__name__ == 'StochasticDepth' and module.p:
      found.append((layers, module.mode, round(module.p, 6)))

  with torch.device('meta'):
    options = {'init_weights': False} if name in ('googlenet', 'inception_v3') else {}
    net = import_torchvision().models.get_model(name, weights=None, **options)
    for module in net.modules():
      module.register_forward_hook(watch)
    net.train()(torch.zeros(2, 3, size, size))
  return found


def our_drops(name: str, size: int) -> Drops:
  found: Drops = []
  layers = 0

  def watch(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
    nonlocal layers
    output, module = call(*args, **kwargs), context.module
    if context.method_name == '__call__':
      layers += 'kernel' in module.variables.get('params', {})
      if type(module) in (Dropout, StochasticDepth) and module.rate:
        assert not kwargs['deterministic']
        mode = getattr(module, 'mode', 'element')
        found.append((layers, mode, round(module.rate, 6)))
    return output

  model = arch.build(name)
  keys = {'params': jax.random.key(0), 'dropout': jax.random.key(1)}
  with nn.intercept_methods(watch):
    jax.eval_shape(
      lambda x: model.init(keys, x, train=True), jnp.zeros((2, size, size, 3))
    )
  return found


@pytest.mark.parametrize(
  'name',
  [
    pytest.param(name, marks=[] if name in seeded.KINDS else pytest.mark.long)
    for name in NAMES
  ],
)
def test_the_same_is_dropped_after_the_same_layers(name: str) -> None:
  size = SIZES.get(name, 64)
  assert our_drops(name, size) == their_drops(name, size)
