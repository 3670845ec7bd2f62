"""Networks that no library has compute what their publications say, in torch."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_networks import prepare

import convscan.architectures as arch


def conv3x3(ins: int, outs: int, stride: int = 1) -> nn.Conv2d:
  return nn.Conv2d(ins, outs, 3, stride, padding=1, bias=False)


class PaddedBlock(nn.Module):
  """He et al. 2015, section 4.2, with the shortcut of option A."""

  def __init__(self, ins: int, outs: int, stride: int) -> None:
    super().__init__()
    self.conv1, self.bn1 = conv3x3(ins, outs, stride), nn.BatchNorm2d(outs)
    self.conv2, self.bn2 = conv3x3(outs, outs), nn.BatchNorm2d(outs)
    self.more, self.stride = outs - ins, stride

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
    x = F.avg_pool2d(x, 1, self.stride)
    zeros = x.new_zeros(x.shape[0], self.more, *x.shape[2:])
    return F.relu(y + torch.cat([x, zeros], 1))


class CIFARNet(nn.Module):
  """Stages after a 3x3 convolution; keeps the maps of the last call."""

  def __init__(
    self, block: Callable[..., nn.Module], sizes: Sequence[int], widths: Sequence[int]
  ) -> None:
    super().__init__()
    self.conv1 = conv3x3(3, widths[0])
    self.bn1 = nn.BatchNorm2d(widths[0])
    before = widths[0]
    for i, (size, width) in enumerate(zip(sizes, widths, strict=True)):
      blocks = []
      for j in range(size):
        blocks.append(block(before, width, 2 if i and not j else 1))
        before = width
      setattr(self, f'layer{i + 1}', nn.Sequential(*blocks))
    self.fc = nn.Linear(before, 10)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    self.maps = [F.relu(self.bn1(self.conv1(x)))]
    for layer in (self.layer1, self.layer2, self.layer3):
      self.maps.append(layer(self.maps[-1]))
    return self.fc(self.maps[-1].mean((2, 3)))


# The network of torch, the name and the fields of ours, and the sizes of images.
TWINS: dict[str, tuple[Callable[[], Any], str, dict[str, Any], Sequence[Any]]] = {
  'resnet_cifar': (
    partial(CIFARNet, PaddedBlock, (1, 2, 1), (4, 10, 12)),
    'resnet20_cifar',
    {'stage_sizes': (1, 2, 1), 'channels': (4, 10, 12)},
    ((2, 13, 15, 3), (2, 16, 12, 3)),
  ),
}


def relative_error(got: Any, expected: Any) -> float:
  return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.fixture(scope='module')
def twins(request: pytest.FixtureRequest) -> Any:
  """A network in torch, ours with its weights, and images."""
  make, name, fields, shapes = TWINS[request.param]
  net = prepare(make(), (8, *shapes[-1][3:], *shapes[-1][1:3]))
  model = arch.build(name, **fields)
  variables = arch.weights.from_torch(model, net.state_dict(), shapes[0])
  images = [
    np.random.default_rng(1).normal(size=shape).astype(np.float32) for shape in shapes
  ]
  return net, model, variables, images


each = pytest.mark.parametrize('twins', TWINS, indirect=True)


@each
def test_logits_and_maps_are_the_twins(twins: Any) -> None:
  net, model, variables, images = twins
  apply = jax.jit(partial(model.apply, train=False), static_argnames='method')
  for x in images:
    with torch.no_grad():
      logits = net(torch.from_numpy(x).movedim(-1, 1)).numpy()
    # The logits tell the images apart.
    assert logits.std(axis=0).mean() > 0.01 * np.abs(logits).max()
    assert relative_error(apply(variables, x), logits) < 1e-4
    maps = apply(variables, x, method='features')
    assert list(maps) == list(model.feature_info)
    for (stage, y), expected in zip(maps.items(), net.maps, strict=True):
      assert relative_error(y, expected.movedim(1, -1).numpy()) < 1e-4
      stride, channels = model.feature_info[stage]
      assert y.shape == (2, *(-(-n // stride) for n in x.shape[1:3]), channels)


@each
def test_a_round_trip_returns_every_array(twins: Any) -> None:
  net, model, variables, _ = twins
  theirs = {
    key: tensor.numpy()
    for key, tensor in net.state_dict().items()
    if not key.endswith('num_batches_tracked')
  }
  back = arch.weights.to_torch(model, variables)
  assert back.keys() == theirs.keys()
  jax.tree.map(np.testing.assert_array_equal, back, theirs)


@each
def test_every_leaf_matters(twins: Any) -> None:
  _, model, variables, (x, _) = twins

  def total(variables: Any) -> Any:
    logits = model.apply(variables, x, train=False)
    return jnp.sum(logits * jnp.sin(jnp.arange(logits.size)).reshape(logits.shape))

  gradient = jax.jit(jax.grad(total))(variables)
  for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
    assert bool(jnp.any(leaf)), jax.tree_util.keystr(path)
