"""Residual networks for images of 32x32 pixels, such as CIFAR's.

He et al. 2015, https://arxiv.org/abs/1512.03385, section 4.2: of 6n + 2 layers.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import flax.linen as nn
from jax import Array

from .network import Layer, Network
from .resnet import BasicBlock, padded_shortcut


class ResNetCIFAR(Network):
  """A 3x3 convolution and stages of residual blocks, without a pool before the head.

  Where a shortcut changes the shape it takes every second pixel and pads the channels
  with zeros, after the others: "option A", which has no parameters.

  Attributes:
    stage_sizes: the number of blocks of each stage.
    channels: of each stage; the first has those of the convolution before it.

  >>> from convscan.architectures import build
  >>> build('resnet20_cifar').feature_info
  {'stage0': (1, 16), 'stage1': (1, 16), 'stage2': (2, 32), 'stage3': (4, 64)}
  """

  num_classes: int = 10
  stage_sizes: Sequence[int] = (3, 3, 3)
  channels: Sequence[int] = (16, 32, 64)

  @nn.nowrap
  def stages(
    self, x: Array, conv: Layer, norm: Layer, train: bool
  ) -> Iterator[tuple[str, Array]]:
    """See `Network`."""
    del train
    stem = conv(self.channels[0], (3, 3), padding=1, use_bias=False, name='stem_conv')
    x = nn.relu(norm(name='stem_norm')(stem(x)))
    yield 'stage0', x
    for i, size in enumerate(self.stage_sizes):
      stage = f'stage{i + 1}'
      block = self.rematerialised(BasicBlock, stage)
      for j in range(size):
        x = block(
          self.channels[i],
          strides=2 if i > 0 and j == 0 else 1,
          conv=conv,
          norm=norm,
          shortcut=padded_shortcut,
          name=f'{stage}_block{j}',
        )(x)
      yield stage, x

  @property
  def feature_info(self) -> dict[str, tuple[int, int]]:
    """See `Network`."""
    maps = {f'stage{i + 1}': (2**i, c) for i, c in enumerate(self.channels)}
    return {'stage0': (1, self.channels[0]), **maps}


MODELS = {
  f'resnet{6 * n + 2}_cifar': partial(ResNetCIFAR, stage_sizes=(n, n, n))
  for n in (3, 5, 7, 9, 18)
}
