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
from torch.nn.utils.parametrizations import weight_norm

import convscan.architectures as arch

FEATURES, LAYERS, WINDOW, INPUTS, CLASSES = 4, 3, 3, 2, 5
X = np.random.default_rng(0).normal(size=(2, 17, INPUTS)).astype(np.float32)


class Block(nn.Module):
  """Two convolutions, cut to what is causal, beside a shortcut (figure 1b)."""

  def __init__(self, ins: int, outs: int, dilation: int) -> None:
    super().__init__()
    self.cut = (WINDOW - 1) * dilation
    for i, width in ((1, ins), (2, outs)):
      conv = nn.Conv1d(width, outs, WINDOW, padding=self.cut, dilation=dilation)
      setattr(self, f'conv{i}', weight_norm(conv))
    self.downsample = nn.Conv1d(ins, outs, 1) if ins != outs else nn.Identity()

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    y = x
    for conv in (self.conv1, self.conv2):
      y = F.relu(conv(y)[..., : -self.cut])
    return F.relu(y + self.downsample(x))


def make_net() -> Any:
  torch.manual_seed(0)
  widths = [INPUTS, *[FEATURES] * LAYERS]
  blocks = (Block(widths[i], widths[i + 1], 2**i) for i in range(LAYERS))
  net = nn.ModuleList([*blocks, nn.Linear(FEATURES, CLASSES)])
  for parameter in net.parameters():
    nn.init.normal_(parameter, std=0.7)
  return net


def to_ours(net: Any) -> dict[str, Any]:
  def conv(layer: Any) -> dict[str, Any]:
    state = {key: tensor.numpy() for key, tensor in layer.state_dict().items()}
    if 'weight' in state:
      return {'kernel': state['weight'].T, 'bias': state['bias']}
    scale = state['parametrizations.weight.original0'].ravel()
    kernel = state['parametrizations.weight.original1'].T
    return {'kernel': kernel, 'scale': scale, 'bias': state['bias']}

  *blocks, head = net
  params = {'head': conv(head)}
  for i, block in enumerate(blocks, start=1):
    params[f'stage{i}'] = {
      name: conv(getattr(block, name)) for name in ('conv1', 'conv2')
    }
  params['stage1']['shortcut'] = conv(blocks[0].downsample)
  return {'params': params}


@pytest.fixture(scope='module')
def pair() -> Any:
  model = arch.build(
    'tcn_tagger',
    hidden_features=FEATURES,
    num_layers=LAYERS,
    kernel_size=WINDOW,
    num_tags=CLASSES,
  )
  return make_net(), model


def test_logits_and_maps_are_the_twins(pair: Any) -> None:
  net, model = pair
  variables = to_ours(net)
  shapes = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), X)
  assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, shapes)
  maps = model.apply(variables, X, method='features')
  x = torch.from_numpy(X).movedim(-1, 1)
  *blocks, head = net
  with torch.no_grad():
    for block, stage in zip(blocks, maps, strict=True):
      x = block(x)
      expected = x.movedim(1, -1).numpy()
      np.testing.assert_allclose(maps[stage], expected, rtol=1e-4, atol=1e-4)
    logits = head(x.movedim(1, -1)).numpy()
  assert logits.std(axis=(0, 1)).min() > 0.1
  np.testing.assert_allclose(
    model.apply(variables, X, train=False), logits, rtol=1e-4, atol=1e-4
  )
  classifier = arch.build(
    'tcn_classifier',
    hidden_features=FEATURES,
    num_layers=LAYERS,
    kernel_size=WINDOW,
    num_classes=CLASSES,
  )
  got = classifier.apply(variables, X, train=False)
  np.testing.assert_allclose(got, logits[:, -1], rtol=1e-4, atol=1e-4)


def test_gradients_are_the_twins(pair: Any) -> None:
  net, model = pair
  weights = np.sin(np.arange(2 * 17 * CLASSES)).reshape(2, 17, CLASSES)
  weights = weights.astype(np.float32)

  def total(variables: Any) -> Any:
    return jnp.sum(model.apply(variables, X, train=False) * weights)

  got = jax.jit(jax.grad(total))(to_ours(net))
  x = torch.from_numpy(X).movedim(-1, 1)
  *blocks, head = net
  for block in blocks:
    x = block(x)
  net.zero_grad()
  (head(x.movedim(1, -1)) * torch.from_numpy(weights)).sum().backward()
  gradients = make_net()
  with torch.no_grad():
    for to, source in zip(gradients.parameters(), net.parameters(), strict=True):
      to.copy_(source.grad)
  jax.tree.map(
    partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3), got, to_ours(gradients)
  )
  for path, leaf in jax.tree_util.tree_leaves_with_path(got):
    assert leaf.any(), jax.tree_util.keystr(path)
