"""Inception v3: Szegedy et al. 2015, https://arxiv.org/abs/1512.00567.

The blocks are those of the authors' code, whose order and widths the paper leaves open.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Dtype
from jax import Array

from ..layers import BatchNorm, ConvNormAct
from ..ops import avg_pool, max_pool
from .googlenet import sow_logits
from .network import Head, Layer, Network

# A convolution is its channels, height and width. A chain of them is a branch; two at
# a place in it stand side by side.
_POOL = 'branch_pool'


def _narrowed(pool: int) -> dict[str, Any]:
  return {
    'branch1x1': [(64, 1, 1)],
    'branch5x5': [(48, 1, 1), (64, 5, 5)],
    'branch3x3dbl': [(64, 1, 1), (96, 3, 3), (96, 3, 3)],
    _POOL: [(pool, 1, 1)],
  }


def _factorised(width: int) -> dict[str, Any]:
  row, column = (width, 1, 7), (width, 7, 1)
  return {
    'branch1x1': [(192, 1, 1)],
    'branch7x7': [(width, 1, 1), row, (192, 7, 1)],
    'branch7x7dbl': [(width, 1, 1), column, row, column, (192, 1, 7)],
    _POOL: [(192, 1, 1)],
  }


_EXPANDED = {
  'branch1x1': [(320, 1, 1)],
  'branch3x3': [(384, 1, 1), ((384, 1, 3), (384, 3, 1))],
  'branch3x3dbl': [(448, 1, 1), (384, 3, 3), ((384, 1, 3), (384, 3, 1))],
  _POOL: [(192, 1, 1)],
}
_REDUCED = {
  'branch3x3': [(384, 3, 3)],
  'branch3x3dbl': [(64, 1, 1), (96, 3, 3), (96, 3, 3)],
}
_REDUCED_AGAIN = {
  'branch3x3': [(192, 1, 1), (320, 3, 3)],
  'branch7x7x3': [(192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3)],
}
# The branches of each stage's blocks, and the strides of its first.
_BLOCKS: dict[str, tuple[int, Sequence[dict[str, Any]]]] = {
  'stage2': (1, [_narrowed(32), _narrowed(64), _narrowed(64)]),
  'stage3': (2, [_REDUCED, *(_factorised(width) for width in (128, 160, 160, 192))]),
  'stage4': (2, [_REDUCED_AGAIN, _EXPANDED, _EXPANDED]),
}
# The smallest image whose map in stage 3 the auxiliary head's windows fit.
_MIN_TRAIN_SIZE = 299


class InceptionBlock(nn.Module):
  """Branches of convolutions, and a pooling, side by side.

  Attributes:
    branches: the convolutions of each, by its name.
    strides: 2 to halve the map: by every branch's last convolution, which is not
      padded, and by a largest value of 3x3 after the branches.
    conv: makes a convolution.
    norm: makes a normalisation.
  """

  branches: Any
  strides: int
  conv: Layer
  norm: Layer

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[batch, height, width, channels]` to one of the branches' channels."""
    block = partial(ConvNormAct, conv=self.conv, norm=self.norm)
    outputs = []
    for branch, chain in self.branches.items():
      y = avg_pool(x, (3, 3), strides=1, padding=1) if branch == _POOL else x
      for i, convs in enumerate(chain, start=1):
        name = f'{branch}_{i}' if len(chain) > 1 else branch
        if self.strides > 1 and i == len(chain):
          features, *window = convs
          y = block(features, window, strides=self.strides, name=name)(y)
          continue
        single = isinstance(convs[0], int)
        named = (
          {name: convs} if single else {name + 'a': convs[0], name + 'b': convs[1]}
        )
        parts = [
          block(features, (height, width), padding=(height // 2, width // 2), name=n)(y)
          for n, (features, height, width) in named.items()
        ]
        y = jnp.concatenate(parts, axis=-1)
      outputs.append(y)
    if self.strides > 1:
      outputs.append(max_pool(x, (3, 3), strides=self.strides))
    return jnp.concatenate(outputs, axis=-1)


class AuxHead(nn.Module):
  """Average pooling by 3, a 1x1 and a 5x5 convolution, and a linear layer.

  Attributes:
    num_classes: the number of logits.
    conv: makes a convolution.
    norm: makes a normalisation.
    param_dtype: of the linear layer's parameters.
  """

  num_classes: int
  conv: Layer
  norm: Layer
  param_dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Returns logits `[batch, num_classes]` in float32; the map must be 17 x 17."""
    block = partial(ConvNormAct, conv=self.conv, norm=self.norm)
    x = avg_pool(x, (5, 5), strides=3)
    x = block(128, (1, 1), name='block0')(x)
    x = block(768, (5, 5), name='block1')(x)
    head = Head(self.num_classes, param_dtype=self.param_dtype, name='head')
    return head(x, train=train)


class InceptionV3(Network):
  """A stem of two stages, and three stages of Inception blocks.

  When it trains, the auxiliary head's logits go to the collection `aux_logits` where
  that is mutable, as `aux1` (see `GoogLeNet`); images must then be of 299 x 299 pixels
  or more. No map is padded in the stem, nor where a stage halves it, so that maps are
  up to 5 pixels smaller than their strides tell. torchvision's trained weights expect
  images between -1 and 1.

  Attributes:
    aux_logits: whether there is an auxiliary head, for training alone.
    dropout_rate: of the dropout before the last layer.

  >>> from convscan.architectures import build
  >>> build('inception_v3', num_classes=10).feature_info
  {'stage0': (2, 64), 'stage1': (4, 192), 'stage2': (8, 288),
   'stage3': (16, 768), 'stage4': (32, 2048)}
  """

  norm: Layer = partial(BatchNorm, momentum=0.9, epsilon=1e-3)
  aux_logits: bool = True
  dropout_rate: float = 0.5

  min_size = 75

  @nn.nowrap
  def stages(
    self, x: Array, conv: Layer, norm: Layer, train: bool
  ) -> Iterator[tuple[str, Array]]:
    """See `Network`."""
    layers = {'conv': conv, 'norm': norm}
    trains_aux = self.aux_logits and train and not self.is_initializing()
    if trains_aux and min(x.shape[1:3]) < _MIN_TRAIN_SIZE:
      raise ValueError(
        f'images: got {x.shape[1]} x {x.shape[2]} pixels, expected at least '
        f'{_MIN_TRAIN_SIZE} x {_MIN_TRAIN_SIZE} to train with aux_logits'
      )
    block = partial(self.rematerialised(ConvNormAct, 'stage0'), **layers)
    x = block(32, (3, 3), strides=2, name='stage0_block0')(x)
    x = block(32, (3, 3), name='stage0_block1')(x)
    x = block(64, (3, 3), padding=1, name='stage0_block2')(x)
    yield 'stage0', x
    x = max_pool(x, (3, 3), strides=2)
    block = partial(self.rematerialised(ConvNormAct, 'stage1'), **layers)
    x = block(80, (1, 1), name='stage1_block0')(x)
    x = block(192, (3, 3), name='stage1_block1')(x)
    yield 'stage1', x
    x = max_pool(x, (3, 3), strides=2)
    for stage, (strides, blocks) in _BLOCKS.items():
      mixed = partial(self.rematerialised(InceptionBlock, stage), **layers)
      for j, branches in enumerate(blocks):
        name = f'{stage}_block{j}'
        x = mixed(branches, strides=1 if j else strides, name=name)(x)
      if stage == 'stage3' and self.aux_logits and (train or self.is_initializing()):
        head = AuxHead(
          self.num_classes,
          conv=conv,
          norm=norm,
          param_dtype=self.param_dtype,
          name='aux1_head',
        )
        # Its parameters are the same for any size, and are made for any.
        y = x if trains_aux else jnp.zeros((1, 17, 17, x.shape[-1]), x.dtype)
        sow_logits(self, 'aux1', head(y, train=train))
      yield stage, x

  @property
  def feature_info(self) -> dict[str, tuple[int, int]]:
    """See `Network`."""
    return {
      'stage0': (2, 64),
      'stage1': (4, 192),
      'stage2': (8, 288),
      'stage3': (16, 768),
      'stage4': (32, 2048),
    }


MODELS = {'inception_v3': partial(InceptionV3)}
