"""What timm calls the modules of the networks that it shares: a table a family.

Its networks `tf_...` have the same names, and pad their maps as TensorFlow does: they
are other networks. So are its EfficientNetV2s with trained weights.
"""

import itertools
import re
from typing import Any

import flax.linen as nn

from ..cnn.convnext import ConvNeXt
from ..cnn.densenet import DenseNet
from ..cnn.efficientnet import EfficientNet
from ..cnn.inception import InceptionV3
from ..cnn.mnasnet import MNASNet
from ..cnn.mobilenet_v2 import MobileNetV2
from ..cnn.mobilenet_v3 import MobileNetV3
from ..cnn.regnet import RegNet
from ..cnn.vgg import VGG
from .names import Name, Table, staged
from .others import TIMM_ALONE
from .torchvision import TORCHVISION

# The layers of an inverted residual, by whether it expands the channels.
_SEPARABLE = {
  'depthwise/conv': 'conv_dw',
  'depthwise/norm': 'bn1',
  'project/conv': 'conv_pw',
  'project/norm': 'bn2',
}
_INVERTED = {
  'expand/conv': 'conv_pw',
  'expand/norm': 'bn1',
  'depthwise/conv': 'conv_dw',
  'depthwise/norm': 'bn2',
  'project/conv': 'conv_pwl',
  'project/norm': 'bn3',
}
# Of both; and of MobileNetV3's last stage.
_COMMON = {
  'squeeze_excite/reduce': 'se.conv_reduce',
  'squeeze_excite/expand': 'se.conv_expand',
  'conv': 'conv',
  'norm': 'bn1',
}


def _inverted_residual(match: re.Match[str], model: Any) -> str:
  stage, block, layer = match.groups()
  layers = _COMMON | (_SEPARABLE if stage == '1' else _INVERTED)
  return f'blocks.{int(stage) - 1}.{block}.{layers[layer]}'


def _mobilenet_v3(match: re.Match[str], model: Any) -> str:
  stage, block, layer = match.groups()
  features = [row.features for row in itertools.chain(*model.blocks)]
  index = sum(map(len, model.blocks[: int(stage) - 1])) + int(block)
  before, width = features[:index], (*features, None)[index]
  layers = _COMMON | (_SEPARABLE if stage == '1' else _INVERTED)
  # A stage of theirs is of one width.
  return f'blocks.{len({*before} - {width})}.{before.count(width)}.{layers[layer]}'


def _regnet(match: re.Match[str], model: Any) -> str:
  stage, block, layer, part = match.groups()
  parts = {'conv': 'conv', 'norm': 'bn', 'reduce': 'fc1', 'expand': 'fc2'}
  name = {'shortcut': 'downsample', 'squeeze_excite': 'se'}.get(layer, layer)
  return f's{stage}.b{int(block) + 1}.{name}.{parts[part]}'


_STEM = (Name(r'stem/conv', r'conv_stem'), Name(r'stem/norm', r'bn1'))
_MOBILE = (
  *_STEM,
  Name(r'stage(\d)_block(\d+)/(\w+/\w+)', _inverted_residual),
  Name(r'stage\d_block0/conv', r'conv_head'),
  Name(r'stage\d_block0/norm', r'bn2'),
  Name(r'head/dense', r'classifier'),
)

# By the class of the model.
TIMM: dict[type[nn.Module], Table] = {
  ConvNeXt: (
    Name(r'stem_conv', r'stem.0'),
    Name(r'stem_norm', r'stem.1'),
    Name(r'stage(\d)_norm', staged('stages.{}.downsample.0')),
    Name(r'stage(\d)_conv', staged('stages.{}.downsample.1')),
    Name(r'stage(\d)_block(\d+)/layer_scale', staged('stages.{}.blocks.{}.gamma')),
    Name(r'stage(\d)_block(\d+)/conv', staged('stages.{}.blocks.{}.conv_dw')),
    Name(r'stage(\d)_block(\d+)/norm', staged('stages.{}.blocks.{}.norm')),
    Name(r'stage(\d)_block(\d+)/dense(\d)', staged('stages.{}.blocks.{}.mlp.fc{}')),
    Name(r'head/norm', r'head.norm'),
    Name(r'head/dense', r'head.fc'),
  ),
  DenseNet: TORCHVISION[DenseNet],
  EfficientNet: _MOBILE,
  InceptionV3: TORCHVISION[InceptionV3],
  MNASNet: _MOBILE,
  MobileNetV2: _MOBILE,
  MobileNetV3: (
    *_STEM,
    Name(r'stage(\d)_block(\d+)/(.+)', _mobilenet_v3),
    Name(r'head/hidden0', r'conv_head'),
    Name(r'head/dense', r'classifier'),
  ),
  RegNet: (
    Name(r'stem/conv', r'stem.conv'),
    Name(r'stem/norm', r'stem.bn'),
    Name(r'stage(\d)_block(\d+)/(\w+)[/_](conv|norm|reduce|expand)', _regnet),
    Name(r'head/dense', r'head.fc'),
  ),
  VGG: (
    *(name for name in TORCHVISION[VGG] if name.pattern.startswith('stage')),
    Name(r'head/hidden0', r'pre_logits.fc1'),
    Name(r'head/hidden1', r'pre_logits.fc2', ndim=4),
    Name(r'head/dense', r'head.fc'),
  ),
  **TIMM_ALONE,
}

# The epsilon of their normalisations, where torchvision's is another for some.
EPSILONS: dict[type[nn.Module], float] = {EfficientNet: 1e-5, MobileNetV3: 1e-5}
