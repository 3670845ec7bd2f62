"""Torch's names of the modules of networks that torchvision does not have."""

import re
from typing import Any

import flax.linen as nn

from ..cnn.convnext_v2 import ConvNeXtV2
from ..cnn.preact_resnet import PreActResNet
from ..cnn.resnet import ResNet, pooled_shortcut
from ..cnn.resnet_cifar import ResNetCIFAR
from ..cnn.unet import UNet
from ..cnn.xception import Xception
from .names import Name, Table
from .torchvision import TORCHVISION

_RESNET = (
  Name(r'stem_conv', r'conv1'),
  Name(r'stem_norm', r'bn1'),
  Name(r'stage(\d)_block(\d+)/conv(\d)', r'layer\1.\2.conv\3'),
  Name(r'stage(\d)_block(\d+)/norm(\d)', r'layer\1.\2.bn\3'),
  Name(r'head/dense', r'fc'),
)


def _convnext_v2(match: re.Match[str], model: Any) -> str:
  stage, rest = match.groups()
  at = f'stages.{int(stage) - 1}'
  if rest in ('norm', 'conv'):  # between it and the stage before
    return f'{at}.downsample.{("norm", "conv").index(rest)}'
  block, layer = rest.removeprefix('block').split('/')
  name = {
    'conv': 'conv_dw',
    'norm': 'norm',
    'dense1': 'mlp.fc1',
    'response_norm': 'mlp.grn',
    'dense2': 'mlp.fc2',
  }[layer]
  return f'{at}.blocks.{block}.{name}'


def _resnet_stem(match: re.Match[str], model: Any) -> str:
  index, part = int(match['index']), match['part']
  if part == 'norm' and index == 2:  # out of the sequence
    return 'bn1'
  return f'conv1.{3 * index + (part == "norm")}'


def _resnet_shortcut(match: re.Match[str], model: Any) -> str:
  stage, block, part = match.groups()
  index = (part == 'norm') + (model.shortcut is pooled_shortcut)
  return f'layer{stage}.{block}.downsample.{index}'


def _unet(match: re.Match[str], model: Any) -> str:
  stage, block, part = match.groups()
  side = 'decoder' if stage.startswith('up') else 'encoder'
  return f'{side}{stage[-1]}.{part}{int(block) + 1}'


def _xception(match: re.Match[str], model: Any) -> str:
  stage, block, layer, part = match.groups()
  index = sum(map(len, model.blocks[: int(stage) - 1])) + int(block)
  # A ReLU, a convolution and a normalisation each, but for the first ReLU.
  at = 3 * int(layer) - 2 - (index == 0)
  name = {'depthwise': f'{at}.conv1', 'pointwise': f'{at}.pointwise'}
  return f'block{index + 1}.rep.{name.get(part, at + 1)}'


def _xception_shortcut(match: re.Match[str], model: Any) -> str:
  stage, part = match.groups()
  index = 1 + sum(map(len, model.blocks[: int(stage) - 1]))
  return f'block{index}.skip{"bn" if part == "norm" else ""}'


def _xception_last(match: re.Match[str], model: Any) -> str:
  layer, part = int(match[1]) + 2, match[2]
  name = {'depthwise': f'conv{layer}.conv1', 'pointwise': f'conv{layer}.pointwise'}
  return name.get(part, f'bn{layer}')


# Tables by the class of the model: those that timm has alone,
TIMM_ALONE: dict[type[nn.Module], Table] = {
  ConvNeXtV2: (
    Name(r'stem_conv', r'stem.0'),
    Name(r'stem_norm', r'stem.1'),
    Name(r'stage(\d)_(.*)', _convnext_v2),
    Name(r'head/norm', r'head.norm'),
    Name(r'head/dense', r'head.fc'),
  ),
  ResNet: (
    *(name for name in TORCHVISION[ResNet] if 'shortcut' not in name.pattern),
    Name(r'stem_(?P<part>conv|norm)(?P<index>\d)', _resnet_stem),
    Name(r'stage(\d)_block(\d+)/shortcut_(conv|norm)', _resnet_shortcut),
    Name(r'stage(\d)_block(\d+)/squeeze_excite/reduce', r'layer\1.\2.se.fc1'),
    Name(r'stage(\d)_block(\d+)/squeeze_excite/expand', r'layer\1.\2.se.fc2'),
  ),
  Xception: (
    Name(r'stem(\d)/conv', r'conv\1'),
    Name(r'stem(\d)/norm', r'bn\1'),
    Name(r'stage(\d)_block(\d)/conv(\d)/(\w+)', _xception),
    Name(r'stage(\d)_block0/shortcut/(\w+)', _xception_shortcut),
    Name(r'last(\d)/(\w+)', _xception_last),
    Name(r'head/dense', r'fc'),
  ),
}

# and those of no library, with torchvision's names of its ResNet for what is alike.
OWN: dict[type[nn.Module], Table] = {
  PreActResNet: (
    *_RESNET,
    Name(r'stage(\d)_block(\d+)/shortcut_conv', r'layer\1.\2.downsample.0'),
    Name(r'last_norm', r'bn'),
  ),
  ResNetCIFAR: _RESNET,
  UNet: (
    Name(r'((?:stage|up)\d)_block(\d)/(conv|norm)', _unet),
    Name(r'up(\d)_conv', r'upconv\1'),
    Name(r'head/conv', r'conv'),
  ),
}
