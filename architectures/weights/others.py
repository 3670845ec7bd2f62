"""Torch's names of the modules of networks that torchvision does not have."""

import re
from typing import Any

import flax.linen as nn

from ..cnn.convnext_v2 import ConvNeXtV2
from ..cnn.preact_resnet import PreActResNet
from ..cnn.resnet import ResNet, pooled_shortcut
from ..cnn.resnet_cifar import ResNetCIFAR
from ..cnn.tcn import TCNClassifier, TCNForecaster, TCNTagger
from ..cnn.unet import UNet
from ..cnn.xception import Xception
from .names import Name, Table, staged
from .torchvision import TORCHVISION

_RESNET = (
  Name(r'stem_conv', r'conv1'),
  Name(r'stem_norm', r'bn1'),
  Name(r'stage(\d)_block(\d+)/conv(\d)', r'layer\1.\2.conv\3'),
  Name(r'stage(\d)_block(\d+)/norm(\d)', r'layer\1.\2.bn\3'),
  Name(r'head/dense', r'fc'),
)


def _convnext_v2_ndim(model: Any) -> int | None:
  # Up to `nano`, timm has 1x1 convolutions for the dense layers. Either is read.
  return 4 if model.channels[0] <= 80 else None


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


# In the names of the authors' code, which are those of `torch.nn.utils.weight_norm`.
_TCN = (
  Name(r'stage(\d+)/(conv\d)/kernel', staged('tcn.network.{}.{}.weight_v')),
  Name(r'stage(\d+)/(conv\d)/scale', staged('tcn.network.{}.{}.weight_g'), ndim=3),
  Name(r'stage(\d+)/(conv\d)/bias', staged('tcn.network.{}.{}.bias')),
  Name(r'stage(\d+)/shortcut', staged('tcn.network.{}.downsample')),
  Name(r'head', r'linear'),
)

# Tables by the class of the model: those that timm has alone,
TIMM_ALONE: dict[type[nn.Module], Table] = {
  ConvNeXtV2: (
    Name(r'stem_conv', r'stem.0'),
    Name(r'stem_norm', r'stem.1'),
    Name(r'stage(\d)_norm', staged('stages.{}.downsample.0')),
    Name(r'stage(\d)_conv', staged('stages.{}.downsample.1')),
    Name(r'stage(\d)_block(\d+)/conv', staged('stages.{}.blocks.{}.conv_dw')),
    Name(r'stage(\d)_block(\d+)/norm', staged('stages.{}.blocks.{}.norm')),
    Name(r'stage(\d)_block(\d+)/response_norm', staged('stages.{}.blocks.{}.mlp.grn')),
    Name(
      r'stage(\d)_block(\d+)/dense(\d)',
      staged('stages.{}.blocks.{}.mlp.fc{}'),
      ndim=_convnext_v2_ndim,
    ),
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
  TCNClassifier: _TCN,
  TCNForecaster: _TCN,
  TCNTagger: _TCN,
  UNet: (
    Name(r'((?:stage|up)\d)_block(\d)/(conv|norm)', _unet),
    Name(r'up(\d)_conv', r'upconv\1'),
    Name(r'head/conv', r'conv'),
  ),
}
