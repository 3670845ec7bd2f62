"""What Hugging Face's transformers call the modules of their networks.

They are the families that torchvision shares, and ConvNeXt V2. MobileNetV2 and
EfficientNet are not: the published ones pad their maps as TensorFlow does.
"""

import re
from typing import Any

import flax.linen as nn

from ..cnn.convnext import ConvNeXt
from ..cnn.convnext_v2 import ConvNeXtV2
from ..cnn.regnet import RegNet
from ..cnn.resnet import ResNet
from .names import Name, Table, staged

_PARTS = {'conv': 'convolution', 'norm': 'normalization'}


def _resnet(match: re.Match[str], model: Any) -> str:
  stage, block, part, layer = match.groups()
  at = f'layer.{int(layer) - 1}' if layer else 'shortcut'
  return f'resnet.encoder.stages.{int(stage) - 1}.layers.{block}.{at}.{_PARTS[part]}'


def _regnet(match: re.Match[str], model: Any) -> str:
  stage, block, layer, part = match.groups()
  layers = ['conv1', 'conv2', 'squeeze_excite', 'conv3']
  if not model.squeeze_ratio:
    layers.remove('squeeze_excite')
  at = 'shortcut' if layer == 'shortcut' else f'layer.{layers.index(layer)}'
  parts = {**_PARTS, 'reduce': 'attention.0', 'expand': 'attention.2'}
  return f'regnet.encoder.stages.{int(stage) - 1}.layers.{block}.{at}.{parts[part]}'


def _convnext(body: str) -> Table:
  layers = body + '.encoder.stages.{}.layers.{}.'
  down = body + '.encoder.stages.{}.downsampling_layer.'
  return (
    Name(r'stem_conv', f'{body}.embeddings.patch_embeddings'),
    Name(r'stem_norm', f'{body}.embeddings.layernorm'),
    Name(r'stage(\d)_norm', staged(down + '0')),
    Name(r'stage(\d)_conv', staged(down + '1')),
    Name(r'stage(\d)_block(\d+)/layer_scale', staged(layers + 'layer_scale_parameter')),
    Name(r'stage(\d)_block(\d+)/response_norm', staged(layers + 'grn'), before=3),
    Name(r'stage(\d)_block(\d+)/conv', staged(layers + 'dwconv')),
    Name(r'stage(\d)_block(\d+)/norm', staged(layers + 'layernorm')),
    Name(r'stage(\d)_block(\d+)/dense(\d)', staged(layers + 'pwconv{}')),
    Name(r'head/norm', f'{body}.layernorm'),
    Name(r'head/dense', r'classifier'),
  )


# By the class of the model.
HUGGINGFACE: dict[type[nn.Module], Table] = {
  ConvNeXt: _convnext('convnext'),
  ConvNeXtV2: _convnext('convnextv2'),
  RegNet: (
    Name(r'stem/conv', r'regnet.embedder.embedder.convolution'),
    Name(r'stem/norm', r'regnet.embedder.embedder.normalization'),
    Name(r'stage(\d)_block(\d+)/(\w+)[/_](conv|norm|reduce|expand)', _regnet),
    Name(r'head/dense', r'classifier.1'),
  ),
  ResNet: (
    Name(r'stem_conv', r'resnet.embedder.embedder.convolution'),
    Name(r'stem_norm', r'resnet.embedder.embedder.normalization'),
    Name(r'stage(\d)_block(\d+)/(?:shortcut_)?(conv|norm)(\d)?', _resnet),
    Name(r'head/dense', r'classifier.1'),
  ),
}
