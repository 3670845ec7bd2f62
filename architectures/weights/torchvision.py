"""What torchvision calls the modules of its networks: a table a family."""

import itertools
import re
from typing import Any

import flax.linen as nn

from ..cnn.alexnet import AlexNet
from ..cnn.convnext import ConvNeXt
from ..cnn.densenet import DenseNet
from ..cnn.efficientnet import EfficientNet, EfficientNetV2
from ..cnn.googlenet import GoogLeNet
from ..cnn.inception import InceptionV3
from ..cnn.mnasnet import MNASNet
from ..cnn.mobilenet_v2 import MobileNetV2
from ..cnn.mobilenet_v3 import MobileNetV3
from ..cnn.regnet import RegNet
from ..cnn.resnet import ResNet
from ..cnn.shufflenet_v2 import ShuffleNetV2
from ..cnn.squeezenet import SqueezeNet
from ..cnn.vgg import VGG
from .names import Name, Table

# A convolution and its normalisation, where they have names.
_TORCH_PART = {'conv': 'conv', 'norm': 'bn'}
# A convolution's sequence, and the two convolutions of squeeze and excitation.
_PARTS = {'conv': '0', 'norm': '1', 'reduce': 'fc1', 'expand': 'fc2'}


def _densenet(match: re.Match[str], model: Any) -> str:
  stage, block, part = match.groups()
  return f'features.denseblock{stage}.denselayer{int(block) + 1}.{part}'


def _efficientnet(match: re.Match[str], model: Any) -> str:
  stage, block, layer, part = match.groups()
  row = model.rows[int(stage) - 1]
  layers = ['fused', 'project']
  if not row.fused:
    layers = ['expand', 'depthwise', 'squeeze_excite', 'project']
    layers = layers[row.expansion == 1 :]
  return f'features.{stage}.{block}.block.{layers.index(layer)}.{_PARTS[part]}'


def _convnext(match: re.Match[str], model: Any) -> str:
  stage, block, layer = match.groups()
  index = 2 * int(stage) - 1
  if block is None:  # between it and the stage before
    return f'features.{index - 1}.{("norm", "conv").index(layer)}'
  layers = ('conv', None, 'norm', 'dense1', None, 'dense2')
  at = layer if layer == 'layer_scale' else f'block.{layers.index(layer)}'
  return f'features.{index}.{block}.{at}'


def _googlenet(match: re.Match[str], model: Any) -> str:
  stage, block, branch, part = match.groups()
  if branch is None:
    name = f'conv{int(stage) + int(block) + 1}'
  else:
    name = f'inception{int(stage) + 1}{"abcde"[int(block)]}.{branch.replace("_", ".")}'
  return f'{name}.{_TORCH_PART[part]}'


def _inception_v3(match: re.Match[str], model: Any) -> str:
  stage, block, branch, part = match.groups()
  if branch is None:
    name = {'0': ('1a_3x3', '2a_3x3', '2b_3x3'), '1': ('3b_1x1', '4a_3x3')}[stage]
    return f'Conv2d_{name[int(block)]}.{_TORCH_PART[part]}'
  letter = 'bcd'[int(block)] if stage == '2' else 'abcde'[int(block)]
  return f'Mixed_{int(stage) + 3}{letter}.{branch}.{_TORCH_PART[part]}'


def _mnasnet(match: re.Match[str], model: Any) -> str:
  stage, block, layer, part = match.groups()
  at = {'expand': 0, 'depthwise': 3, 'project': 6}[layer] + (part == 'norm')
  if stage == '1':  # no module of its own
    return f'layers.{at}'
  return f'layers.{int(stage) + 6}.{block}.layers.{at}'


def _mobilenet_v2(match: re.Match[str], model: Any) -> str:
  stage, block, layer, part = match.groups()
  rows = model.rows[: int(stage) - 1]
  index = 1 + sum(row.size for row in rows) + int(block)
  if layer is None:
    return f'features.{index}.{_PARTS[part]}'
  layers = ['expand', 'depthwise', 'project'][model.rows[len(rows)].expansion == 1 :]
  at = layers.index(layer)
  if layer == 'project':  # no sequence of its own
    return f'features.{index}.conv.{at + int(_PARTS[part])}'
  return f'features.{index}.conv.{at}.{_PARTS[part]}'


def _mobilenet_v3(match: re.Match[str], model: Any) -> str:
  stage, block, layer, part = match.groups()
  index = sum(map(len, model.blocks[: int(stage) - 1])) + int(block)
  if layer is None:
    return f'features.{index + 1}.{_PARTS[part]}'
  before, row = (None, *itertools.chain(*model.blocks))[index : index + 2]
  layers = ['expand'] if row.expanded != (before.features if before else 16) else []
  layers += ['depthwise', 'squeeze_excite'][: 1 + row.squeeze]
  at = [*layers, 'project'].index(layer)
  return f'features.{index + 1}.block.{at}.{_PARTS[part]}'


def _regnet(match: re.Match[str], model: Any) -> str:
  stage, block, layer, part = match.groups()
  name = {'conv1': 'a', 'conv2': 'b', 'conv3': 'c', 'squeeze_excite': 'se'}[layer]
  return f'trunk_output.block{stage}.block{stage}-{block}.f.{name}.{_PARTS[part]}'


def _shufflenet_v2(match: re.Match[str], model: Any) -> str:
  stage, block, left, layer, part = match.groups()
  # A ReLU follows all layers but the depthwise.
  at = {'expand': 0, 'depthwise': 0 if left else 3, 'project': 2 if left else 5}[layer]
  branch = f'branch{1 if left else 2}'
  return f'stage{int(stage) + 1}.{block}.{branch}.{at + int(_PARTS[part])}'


def _squeezenet(match: re.Match[str], model: Any) -> str:
  stage, block, layer = match.groups()
  before = sum(size + 1 for size in model.stage_sizes[: int(stage) - 1])
  return f'features.{3 + before + int(block)}.{layer}'


def _vgg(match: re.Match[str], model: Any) -> str:
  stage, block, part = match.groups()
  layers = 3 if model.use_norm else 2  # a convolution, a normalisation, a ReLU
  before = sum(size * layers + 1 for size in model.stage_sizes[: int(stage) - 1])
  return f'features.{before + int(block) * layers + (part == "norm")}'


_EFFICIENTNET = (
  Name(r'stem/conv', r'features.0.0'),
  Name(r'stem/norm', r'features.0.1'),
  Name(r'stage(\d)_block(\d+)/(\w+)/(\w+)', _efficientnet),
  Name(r'stage(\d)_block0/conv', r'features.\1.0'),
  Name(r'stage(\d)_block0/norm', r'features.\1.1'),
  Name(r'head/dense', r'classifier.1'),
)

# By the class of the model.
TORCHVISION: dict[type[nn.Module], Table] = {
  AlexNet: (
    Name(r'stage1_block0/conv', r'features.0'),
    Name(r'stage2_block0/conv', r'features.3'),
    Name(r'stage3_block0/conv', r'features.6'),
    Name(r'stage3_block1/conv', r'features.8'),
    Name(r'stage3_block2/conv', r'features.10'),
    Name(r'head/hidden0', r'classifier.1', ndim=2),
    Name(r'head/hidden1', r'classifier.4'),
    Name(r'head/dense', r'classifier.6'),
  ),
  ConvNeXt: (
    Name(r'stem_conv', r'features.0.0'),
    Name(r'stem_norm', r'features.0.1'),
    Name(r'stage(\d)_(?:block(\d+)/)?(conv|norm|dense\d)', _convnext),
    Name(r'stage(\d)_block(\d+)/(layer_scale)', _convnext, ndim=3),
    Name(r'head/norm', r'classifier.0'),
    Name(r'head/dense', r'classifier.2'),
  ),
  DenseNet: (
    Name(r'stem_(conv|norm)', r'features.\g<1>0'),
    Name(r'stage(\d)_block(\d+)/((?:conv|norm)\d)', _densenet),
    Name(r'transition(\d)_(conv|norm)', r'features.transition\1.\2'),
    Name(r'last_norm', r'features.norm5'),
    Name(r'head/dense', r'classifier'),
  ),
  EfficientNet: _EFFICIENTNET,
  EfficientNetV2: _EFFICIENTNET,
  GoogLeNet: (
    Name(r'stage(\d)_block(\d)(?:/(branch\w+))?/(conv|norm)', _googlenet),
    Name(r'aux(\d)_head/block0/conv', r'aux\1.conv.conv'),
    Name(r'aux(\d)_head/block0/norm', r'aux\1.conv.bn'),
    Name(r'aux(\d)_head/head/hidden0', r'aux\1.fc1', ndim=2),
    Name(r'aux(\d)_head/head/dense', r'aux\1.fc2'),
    Name(r'head/dense', r'fc'),
  ),
  InceptionV3: (
    Name(r'stage(\d)_block(\d)(?:/(branch\w+))?/(conv|norm)', _inception_v3),
    Name(r'aux1_head/block(\d)/conv', r'AuxLogits.conv\1.conv'),
    Name(r'aux1_head/block(\d)/norm', r'AuxLogits.conv\1.bn'),
    Name(r'aux1_head/head/dense', r'AuxLogits.fc'),
    Name(r'head/dense', r'fc'),
  ),
  MNASNet: (
    Name(r'stem/conv', r'layers.0'),
    Name(r'stem/norm', r'layers.1'),
    Name(r'stage(\d)_block(\d)/(\w+)/(\w+)', _mnasnet),
    Name(r'stage8_block0/conv', r'layers.14'),
    Name(r'stage8_block0/norm', r'layers.15'),
    Name(r'head/dense', r'classifier.1'),
  ),
  MobileNetV2: (
    Name(r'stem/conv', r'features.0.0'),
    Name(r'stem/norm', r'features.0.1'),
    Name(r'stage(\d)_block(\d)/(?:(\w+)/)?(conv|norm)', _mobilenet_v2),
    Name(r'head/dense', r'classifier.1'),
  ),
  MobileNetV3: (
    Name(r'stem/conv', r'features.0.0'),
    Name(r'stem/norm', r'features.0.1'),
    Name(r'stage(\d)_block(\d+)(?:/(\w+))?/(\w+)', _mobilenet_v3),
    Name(r'head/hidden0', r'classifier.0', ndim=2),
    Name(r'head/dense', r'classifier.3'),
  ),
  RegNet: (
    Name(r'stem/conv', r'stem.0'),
    Name(r'stem/norm', r'stem.1'),
    Name(r'stage(\d)_block(\d+)/(\w+)/(\w+)', _regnet),
    Name(
      r'stage(\d)_block(\d+)/shortcut_conv', r'trunk_output.block\1.block\1-\2.proj.0'
    ),
    Name(
      r'stage(\d)_block(\d+)/shortcut_norm', r'trunk_output.block\1.block\1-\2.proj.1'
    ),
    Name(r'head/dense', r'fc'),
  ),
  ResNet: (
    Name(r'stem_conv', r'conv1'),
    Name(r'stem_norm', r'bn1'),
    Name(r'stage(\d)_block(\d+)/conv(\d)', r'layer\1.\2.conv\3'),
    Name(r'stage(\d)_block(\d+)/norm(\d)', r'layer\1.\2.bn\3'),
    Name(r'stage(\d)_block(\d+)/shortcut_conv', r'layer\1.\2.downsample.0'),
    Name(r'stage(\d)_block(\d+)/shortcut_norm', r'layer\1.\2.downsample.1'),
    Name(r'head/dense', r'fc'),
  ),
  ShuffleNetV2: (
    Name(r'stem/conv', r'conv1.0'),
    Name(r'stem/norm', r'conv1.1'),
    Name(r'stage(\d)_block(\d)/(left_)?([a-z]+)/(\w+)', _shufflenet_v2),
    Name(r'stage4_block0/conv', r'conv5.0'),
    Name(r'stage4_block0/norm', r'conv5.1'),
    Name(r'head/dense', r'fc'),
  ),
  SqueezeNet: (
    Name(r'stem/conv', r'features.0'),
    Name(r'stage(\d)_block(\d)/(\w+)/conv', _squeezenet),
    Name(r'head/conv', r'classifier.1'),
  ),
  VGG: (
    Name(r'stage(\d)_block(\d)/(conv|norm)', _vgg),
    Name(r'head/hidden0', r'classifier.0', ndim=2),
    Name(r'head/hidden1', r'classifier.3'),
    Name(r'head/dense', r'classifier.6'),
  ),
}
