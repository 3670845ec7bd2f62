"""VGG: Simonyan and Zisserman 2014, https://arxiv.org/abs/1409.1556.

The variants `_bn` normalise after every convolution (Ioffe and Szegedy 2015).
"""

from collections.abc import Iterator, Sequence
from functools import partial

import flax.linen as nn
from jax import Array

from ..layers import ConvNormAct
from ..ops import max_pool
from .network import DenseHead, Layer, Network


class VGG(Network):
  """Five stages of 3x3 convolutions, each then halved, and two hidden dense layers.

  Attributes:
    stage_sizes: the number of convolutions of each stage.
    use_norm: whether a normalisation follows each.
    dropout_rate: of the dropout after each hidden dense layer.

  >>> from convscan.architectures import build
  >>> build('vgg16', num_classes=10).feature_info
  {'stage1': (2, 64), 'stage2': (4, 128), 'stage3': (8, 256),
   'stage4': (16, 512), 'stage5': (32, 512)}
  """

  stage_sizes: Sequence[int] = (1, 1, 2, 2, 2)
  use_norm: bool = False
  dropout_rate: float = 0.5

  min_size = 32

  @nn.nowrap
  def stages(
    self, x: Array, conv: Layer, norm: Layer, train: bool
  ) -> Iterator[tuple[str, Array]]:
    """See `Network`."""
    for (stage, (_, channels)), size in zip(
      self.feature_info.items(), self.stage_sizes, strict=True
    ):
      block = self.rematerialised(ConvNormAct, stage)
      for j in range(size):
        x = block(
          channels,
          (3, 3),
          padding=1,
          use_bias=True,
          conv=conv,
          norm=norm if self.use_norm else None,
          name=f'{stage}_block{j}',
        )(x)
      x = max_pool(x, (2, 2))
      yield stage, x

  @property
  def feature_info(self) -> dict[str, tuple[int, int]]:
    """See `Network`."""
    sizes = range(len(self.stage_sizes))
    return {f'stage{i + 1}': (2 ** (i + 1), min(64 * 2**i, 512)) for i in sizes}

  @nn.nowrap
  def make_head(self) -> nn.Module:
    """See `Network`."""
    return DenseHead(
      self.num_classes,
      hidden=(4096, 4096),
      pool_size=7,
      dropout_before=(1, 2),
      dropout_rate=self.dropout_rate,
      dtype=self.dtype,
      param_dtype=self.param_dtype,
    )


_STAGE_SIZES = {
  'vgg11': (1, 1, 2, 2, 2),
  'vgg13': (2, 2, 2, 2, 2),
  'vgg16': (2, 2, 3, 3, 3),
  'vgg19': (2, 2, 4, 4, 4),
}
MODELS = {
  name + suffix: partial(VGG, stage_sizes=sizes, use_norm=bool(suffix))
  for name, sizes in _STAGE_SIZES.items()
  for suffix in ('', '_bn')
}
