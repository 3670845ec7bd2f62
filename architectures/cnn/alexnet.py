"""AlexNet: Krizhevsky 2014, https://arxiv.org/abs/1404.5997.

This is the network of one tower, as everyone has had it since, and not that of two of
Krizhevsky et al. 2012; without their local response normalisation.
"""

from collections.abc import Iterator
from functools import partial

import flax.linen as nn
from jax import Array

from ..layers import ConvNormAct
from ..ops import max_pool
from .network import DenseHead, Layer, Network

_CONVS = ((64, 11, 4), (192, 5, 1), (384, 3, 1), (256, 3, 1), (256, 3, 1))


class AlexNet(Network):
  """Five convolutions and two hidden dense layers.

  Attributes:
    dropout_rate: of the dropout before each hidden dense layer.

  >>> from convscan.architectures import build
  >>> build('alexnet', num_classes=10).feature_info
  {'stage1': (8, 64), 'stage2': (16, 192), 'stage3': (32, 256)}
  """

  dropout_rate: float = 0.5

  min_size = 63

  @nn.nowrap
  def stages(
    self, x: Array, conv: Layer, norm: Layer, train: bool
  ) -> Iterator[tuple[str, Array]]:
    """See `Network`."""
    convs = iter(_CONVS)
    for stage, size in (('stage1', 1), ('stage2', 1), ('stage3', 3)):
      block = self.rematerialised(ConvNormAct, stage)
      for j in range(size):
        features, window, strides = next(convs)
        x = block(
          features,
          (window, window),
          strides=strides,
          padding=2 if window > 3 else 1,
          conv=conv,
          name=f'{stage}_block{j}',
        )(x)
      x = max_pool(x, (3, 3), strides=2)
      yield stage, x

  @property
  def feature_info(self) -> dict[str, tuple[int, int]]:
    """See `Network`."""
    return {'stage1': (8, 64), 'stage2': (16, 192), 'stage3': (32, 256)}

  @nn.nowrap
  def make_head(self) -> nn.Module:
    """See `Network`."""
    return DenseHead(
      self.num_classes,
      hidden=(4096, 4096),
      pool_size=6,
      dropout_rate=self.dropout_rate,
      dropout_before=(0, 1),
      dtype=self.dtype,
      param_dtype=self.param_dtype,
    )


MODELS = {'alexnet': partial(AlexNet)}
