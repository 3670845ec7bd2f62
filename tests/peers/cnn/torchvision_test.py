"""The published networks compute what torchvision's do."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import convscan.architectures as arch

# A network of each kind of block, and the torch modules whose outputs the maps are.
_REGNET = {'stage0': 'stem'} | {
  f'stage{i}': f'trunk_output.block{i}' for i in (1, 2, 3, 4)
}
_RESNET = {'stage0': 'relu'} | {f'stage{i}': f'layer{i}' for i in (1, 2, 3, 4)}
NETWORKS = {
  'alexnet': {'stage1': 'features.2', 'stage2': 'features.5', 'stage3': 'features.12'},
  'convnext_tiny': {f'stage{i}': f'features.{2 * i - 1}' for i in (1, 2, 3, 4)},
  'densenet121': {
    'stage0': 'features.relu0',
    **{f'stage{i}': f'features.denseblock{i}' for i in (1, 2, 3)},
    'stage4': 'features.norm5',
  },
  'efficientnet_b0': {f'stage{i}': f'features.{i}' for i in range(9)},
  'efficientnet_v2_s': {f'stage{i}': f'features.{i}' for i in range(8)},
  'googlenet': {
    f'stage{i}': module
    for i, module in enumerate(
      ('conv1', 'conv3', 'inception3b', 'inception4e', 'inception5b')
    )
  },
  'inception_v3': {
    f'stage{i}': module
    for i, module in enumerate(
      ('Conv2d_2b_3x3', 'Conv2d_4a_3x3', 'Mixed_5d', 'Mixed_6e', 'Mixed_7c')
    )
  },
  'mnasnet0_5': {
    f'stage{i}': f'layers.{j}' for i, j in enumerate((2, 7, *range(8, 14), 16))
  },
  'mobilenet_v2': {
    f'stage{i}': f'features.{j}' for i, j in enumerate((0, 1, 3, 6, 10, 13, 16, 17, 18))
  },
  'mobilenet_v3_large': {
    f'stage{i}': f'features.{j}' for i, j in enumerate((0, 1, 3, 6, 12, 15, 16))
  },
  'mobilenet_v3_small': {
    f'stage{i}': f'features.{j}' for i, j in enumerate((0, 1, 3, 8, 11, 12))
  },
  'regnet_x_400mf': _REGNET,
  'regnet_y_400mf': _REGNET,
  'resnet18': _RESNET,
  'resnext50_32x4d': _RESNET,
  'shufflenet_v2_x0_5': {
    f'stage{i}': module
    for i, module in enumerate(('conv1', 'stage2', 'stage3', 'stage4', 'conv5'))
  },
  'squeezenet1_0': {f'stage{i}': f'features.{j}' for i, j in enumerate((1, 5, 10, 12))},
  'squeezenet1_1': {f'stage{i}': f'features.{j}' for i, j in enumerate((1, 4, 7, 12))},
  'vgg11': {
    f'stage{i}': f'features.{j}' for i, j in enumerate((2, 5, 10, 15, 20), start=1)
  },
  'vgg13_bn': {
    f'stage{i}': f'features.{j}' for i, j in enumerate((6, 13, 20, 27, 34), start=1)
  },
}
# By how many pixels more than rounding a map may differ from the image by its stride.
UNPADDED = {'inception_v3': 3, 'squeezenet1_0': 2}
IMAGES = {'odd': (2, 75, 67, 3), 'even': (2, 64, 80, 3)}


def make_images(size: str, min_size: int = 64) -> np.ndarray:
  batch, *sides, channels = IMAGES[size]
  more = max(min_size + min_size % 2 - 64, 0)
  shape = (batch, *(side + more for side in sides), channels)
  x = np.random.default_rng(1).normal(size=shape)
  # Noise alone is the same to a network that does not normalise, but for its contrast.
  return (x / np.arange(1, batch + 1)[:, None, None, None]).astype(np.float32)


def relative_error(got: Any, expected: Any) -> float:
  return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.fixture(scope='module')
def pair(request: pytest.FixtureRequest, published: Any) -> Any:
  """A network of torchvision's, and ours with its weights."""
  net = published(request.param)
  model = arch.build(request.param)
  variables = arch.weights.from_torch(model, net.state_dict(), (1, 96, 96, 3))
  return request.param, net, model, variables


each = pytest.mark.parametrize('pair', NETWORKS, indirect=True)


@each
def test_logits_and_maps_are_torchvisions(pair: Any) -> None:
  import torch

  name, net, model, variables = pair
  modules, expected = dict(net.named_modules()), {}

  def keep(stage: str, module: Any, args: Any, output: Any) -> None:
    # A copy, for an activation in place may follow; and the first call's.
    expected.setdefault(stage, output.detach().clone().permute(0, 2, 3, 1).numpy())

  hooks = [
    modules[path].register_forward_hook(partial(keep, stage))
    for stage, path in NETWORKS[name].items()
  ]
  apply = jax.jit(partial(model.apply, train=False), static_argnames='method')
  for size in IMAGES:
    x = make_images(size, model.min_size)
    expected.clear()
    with torch.no_grad():
      logits = net(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
    # The logits tell the images apart.
    assert logits.std(axis=0).mean() > 0.01 * np.abs(logits).max()
    assert relative_error(apply(variables, x), logits) < 1e-3
    maps = apply(variables, x, method='features')
    assert list(maps) == list(model.feature_info) == list(expected)
    for stage, (stride, channels) in model.feature_info.items():
      assert relative_error(maps[stage], expected[stage]) < 1e-3
      assert maps[stage].shape[-1] == channels
      assert abs(maps[stage].shape[1] - x.shape[1] / stride) < 2 + UNPADDED.get(name, 0)
  for hook in hooks:
    hook.remove()


@each
def test_a_round_trip_returns_every_array(pair: Any) -> None:
  import torch

  _, net, model, variables = pair
  theirs = {
    key: tensor.numpy()
    for key, tensor in net.state_dict().items()
    if not key.endswith('num_batches_tracked')
  }
  back = arch.weights.to_torch(model, variables)
  assert back.keys() == theirs.keys()
  jax.tree.map(np.testing.assert_array_equal, back, theirs)
  state = net.state_dict()  # for its metadata, without which MNASNet loads nothing
  state.update({key: torch.from_numpy(a.copy()) for key, a in back.items()})
  missing, unexpected = net.load_state_dict(state)
  assert not missing
  assert not unexpected


@each
def test_every_leaf_matters(pair: Any) -> None:
  _, _, model, variables = pair
  x = jnp.asarray(make_images('even', model.min_size)[:1])

  def total(variables: Any) -> Any:
    logits = model.apply(variables, x, train=False)
    return jnp.sum(logits * jnp.sin(jnp.arange(logits.size)).reshape(logits.shape))

  gradient = jax.jit(jax.grad(total))(variables)
  for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
    key = jax.tree_util.keystr(path)
    # The auxiliary heads matter in training alone: see aux_logits_test.py.
    assert bool(jnp.any(leaf)) != ('aux' in key), key
