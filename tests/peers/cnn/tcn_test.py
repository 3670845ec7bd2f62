"""The temporal convolutional network computes what Bai et al.'s does, in torch."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import convscan.architectures as arch

FEATURES, LAYERS, WINDOW, INPUTS, CLASSES = 4, 3, 3, 2, 5
SMALL = {
  'hidden_features': FEATURES,
  'num_layers': LAYERS,
  'kernel_size': WINDOW,
}
X = np.random.default_rng(0).normal(size=(2, 17, INPUTS)).astype(np.float32)
close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)


class WeightNormConv1d(nn.Conv1d):
  """As `torch.nn.utils.weight_norm`, which is deprecated, makes of a `Conv1d`."""

  def __init__(self, *args: Any, **options: Any) -> None:
    super().__init__(*args, **options)
    self.weight_v, self.weight_g = (
      self.weight,
      nn.Parameter(torch.ones(len(self.weight), 1, 1)),
    )
    del self.weight

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    weight = torch._weight_norm(self.weight_v, self.weight_g)
    return self._conv_forward(x, weight, self.bias)


class Block(nn.Module):
  """Two convolutions, cut to what is causal, beside a shortcut (figure 1b)."""

  def __init__(self, ins: int, outs: int, dilation: int) -> None:
    super().__init__()
    self.cut = (WINDOW - 1) * dilation
    for i, width in ((1, ins), (2, outs)):
      conv = WeightNormConv1d(width, outs, WINDOW, padding=self.cut, dilation=dilation)
      setattr(self, f'conv{i}', conv)
    self.downsample = nn.Conv1d(ins, outs, 1) if ins != outs else nn.Identity()

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    y = x
    for conv in (self.conv1, self.conv2):
      y = F.relu(conv(y)[..., : -self.cut])
    return F.relu(y + self.downsample(x))


class Net(nn.Module):
  """Blocks, and a linear layer at each step; `tcn.maps` holds the blocks' outputs."""

  def __init__(self) -> None:
    super().__init__()
    widths = [INPUTS, *[FEATURES] * LAYERS]
    blocks = (Block(widths[i], widths[i + 1], 2**i) for i in range(LAYERS))
    self.tcn = nn.Module()
    self.tcn.network = nn.Sequential(*blocks)
    self.linear = nn.Linear(FEATURES, CLASSES)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    self.maps = []
    for block in self.tcn.network:
      x = block(x)
      self.maps.append(x.movedim(1, -1))
    return self.linear(self.maps[-1])


@pytest.fixture(scope='module')
def pair() -> Any:
  model = arch.build('tcn_tagger', **SMALL, num_tags=CLASSES)
  torch.manual_seed(0)
  net = Net()
  for parameter in net.parameters():
    nn.init.normal_(parameter, std=0.7)
  return net, model, arch.weights.from_torch(model, net.state_dict(), X.shape)


def test_logits_and_maps_are_the_twins(pair: Any) -> None:
  net, model, variables = pair
  with torch.no_grad():
    logits = net(torch.from_numpy(X).movedim(-1, 1)).numpy()
  assert logits.std(axis=(0, 1)).min() > 0.1
  close(model.apply(variables, X, train=False), logits)
  maps = model.apply(variables, X, method='features')
  for y, expected in zip(maps.values(), net.maps, strict=True):
    close(y, expected.numpy())
  classifier = arch.build('tcn_classifier', **SMALL, num_classes=CLASSES)
  close(classifier.apply(variables, X, train=False), logits[:, -1])


def test_gradients_are_the_twins(pair: Any) -> None:
  net, model, variables = pair
  weights = np.sin(np.arange(2 * 17 * CLASSES)).reshape(2, 17, CLASSES)
  weights = weights.astype(np.float32)

  def total(variables: Any) -> Any:
    return jnp.sum(model.apply(variables, X, train=False) * weights)

  got = arch.weights.to_torch(model, jax.jit(jax.grad(total))(variables))
  net.zero_grad()
  logits = net(torch.from_numpy(X).movedim(-1, 1))
  (logits * torch.from_numpy(weights)).sum().backward()
  for key, parameter in net.named_parameters():
    assert got[key].any(), key
    np.testing.assert_allclose(got[key], parameter.grad, rtol=1e-3, atol=1e-3)


def test_a_round_trip_returns_every_array(pair: Any) -> None:
  net, model, variables = pair
  theirs = {key: tensor.numpy() for key, tensor in net.state_dict().items()}
  back = arch.weights.to_torch(model, variables)
  assert back.keys() == theirs.keys()
  jax.tree.map(np.testing.assert_array_equal, back, theirs)
