"""Networks that torchvision does not have compute what timm's do, or torch twins."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import timm
import torch
from torch_networks import prepare
from torch_twins import CIFARNet, PaddedBlock, PreActNet, UNet

import convscan.architectures as arch


def watched(name: str, modules: Sequence[str], **options: Any) -> Any:
  """A network of timm's that keeps the outputs of these modules in `maps`."""
  net = timm.create_model(name, **options)
  net.maps = []
  net.register_forward_pre_hook(lambda module, args: net.maps.clear())
  for path in modules:
    # A copy, for an activation in place may follow.
    net.get_submodule(path).register_forward_hook(
      lambda module, args, output: net.maps.append(output.detach().clone())
    )
  return net


# The network of torch, the name and the fields of ours, and the sizes of images.
_CIFAR = ((2, 13, 15, 3), (2, 16, 12, 3))
_SHAPES = ((2, 75, 67, 3), (2, 64, 80, 3))
_RESNET = ('act1', 'layer1', 'layer2', 'layer3', 'layer4')
NETWORKS: dict[str, tuple[Callable[[], Any], str, dict[str, Any], Sequence[Any]]] = {
  'resnet_cifar': (
    partial(CIFARNet, PaddedBlock, (1, 2, 1), (4, 10, 12)),
    'resnet20_cifar',
    {'stage_sizes': (1, 2, 1), 'channels': (4, 10, 12)},
    _CIFAR,
  ),
  'preact_basic': (
    partial(PreActNet, (3, 3), (2, 1, 2), (16, 20, 12)),
    'preact_resnet110_cifar',
    {'stage_sizes': (2, 1, 2), 'channels': (16, 20, 12)},
    _CIFAR,
  ),
  'preact_bottleneck': (
    partial(PreActNet, (1, 3, 1), (2, 1, 2), (8, 12, 16)),
    'preact_resnet164_cifar',
    {'stage_sizes': (2, 1, 2), 'channels': (8, 12, 16)},
    _CIFAR,
  ),
}
NETWORKS |= {
  f'unet{"_norm" if use_norm else ""}': (
    partial(UNet, (4, 6, 8), use_norm),
    'unet',
    {'channels': (4, 6, 8), 'use_norm': use_norm, 'num_classes': 10},
    ((2, 15, 14, 3), (2, 12, 20, 3)),
  )
  for use_norm in (False, True)
}
# Of timm's, the modules whose outputs the maps are.
_TIMM = {
  'convnextv2_atto': tuple(f'stages.{i}' for i in range(4)),
  'resnet18d': _RESNET,
  'resnet26d': _RESNET,
  'resnet50d': _RESNET,
  'seresnet18': _RESNET,
  'seresnet50': _RESNET,
  'xception': ('act2', 'block1', 'block2', 'block11', 'act4'),
}
_THEIRS = {'xception': 'legacy_xception'}
# Options of timm's, and ours: fewer blocks, which compile faster.
_OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
  'convnextv2_atto': ({'depths': (1, 1, 2, 1)}, {'stage_sizes': (1, 1, 2, 1)}),
  'resnet50d': ({'layers': (1, 1, 2, 1)}, {'stage_sizes': (1, 1, 2, 1)}),
}
for _name, _modules in _TIMM.items():
  _theirs, _ours = _OPTIONS.get(_name, ({}, {}))
  _make = partial(watched, _THEIRS.get(_name, _name), _modules, **_theirs)
  NETWORKS[_name] = (_make, _name, _ours, _SHAPES)
# Of the networks of published sizes.
WHOLE: dict[str, Callable[[], Any]] = {
  f'resnet{6 * n + 2}_cifar': partial(CIFARNet, PaddedBlock, (n, n, n), (16, 32, 64))
  for n in (3, 5, 7, 9, 18)
}
WHOLE['unet'] = partial(UNet, (64, 128, 256, 512, 1024), False, num_classes=2)
WHOLE['preact_resnet110_cifar'] = partial(PreActNet, (3, 3), (18,) * 3, (16, 32, 64))
WHOLE |= {
  f'preact_resnet{9 * n + 2}_cifar': partial(
    PreActNet, (1, 3, 1), (n, n, n), (64, 128, 256)
  )
  for n in (18, 111)
}
WHOLE |= {
  f'wide_resnet{6 * n + 4}_{k}': partial(
    PreActNet, (3, 3), (n, n, n), (16 * k, 32 * k, 64 * k)
  )
  for n, k in ((2, 8), (4, 10), (6, 4))
}


def relative_error(got: Any, expected: Any) -> float:
  return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.fixture(scope='module')
def pair(request: pytest.FixtureRequest) -> Any:
  """A network in torch, ours with its weights, and images."""
  make, name, fields, shapes = NETWORKS[request.param]
  net = prepare(make(), (8, *shapes[-1][3:], *shapes[-1][1:3]))
  model = arch.build(name, **fields)
  variables = arch.weights.from_torch(model, net.state_dict(), shapes[0])
  images = [
    np.random.default_rng(1).normal(size=shape).astype(np.float32) for shape in shapes
  ]
  return net, model, variables, images


each = pytest.mark.parametrize('pair', NETWORKS, indirect=True)


@each
def test_logits_and_maps_are_the_same(pair: Any) -> None:
  net, model, variables, images = pair
  apply = jax.jit(partial(model.apply, train=False), static_argnames='method')
  for x in images:
    with torch.no_grad():
      logits = net(torch.from_numpy(x).movedim(-1, 1)).numpy()
    # The logits tell the images apart.
    assert logits.std(axis=0).mean() > 0.01 * np.abs(logits).max()
    logits = np.moveaxis(logits, 1, -1)
    # ConvNeXt V2 would be wrong by 9e-5 with the approximate GELU.
    assert relative_error(apply(variables, x), logits) < 3e-5
    maps = apply(variables, x, method='features')
    assert list(maps) == list(model.feature_info)
    for (stage, y), expected in zip(maps.items(), net.maps, strict=True):
      assert relative_error(y, expected.movedim(1, -1).numpy()) < 1e-4
      stride, channels = model.feature_info[stage]
      assert y.shape[-1] == channels
      assert abs(y.shape[1] - x.shape[1] / stride) < 4


@each
def test_a_round_trip_returns_every_array(pair: Any) -> None:
  net, model, variables, _ = pair
  theirs = {
    key: tensor.numpy()
    for key, tensor in net.state_dict().items()
    if not key.endswith('num_batches_tracked')
  }
  back = arch.weights.to_torch(model, variables)
  assert back.keys() == theirs.keys()
  jax.tree.map(np.testing.assert_array_equal, back, theirs)


@each
def test_every_leaf_matters(pair: Any) -> None:
  _, model, variables, (x, _) = pair

  def total(variables: Any) -> Any:
    logits = model.apply(variables, x, train=False)
    return jnp.sum(logits * jnp.sin(jnp.arange(logits.size)).reshape(logits.shape))

  gradient = jax.jit(jax.grad(total))(variables)
  for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
    assert bool(jnp.any(leaf)), jax.tree_util.keystr(path)


@pytest.mark.parametrize('name', WHOLE)
def test_parameters_are_the_twins(name: str) -> None:
  with torch.device('meta'):
    expected = sum(p.numel() for p in WHOLE[name]().parameters())
  summary = arch.summary(arch.build(name), (1, 32, 32, 3))
  assert summary.num_params == expected
