"""GoogLeNet: Szegedy et al. 2014, https://arxiv.org/abs/1409.4842.

As torchvision has it: a normalisation follows every convolution (Ioffe and Szegedy
2015) and not a local response normalisation a few; what the paper calls 5x5 are 3x3
convolutions; an auxiliary head pools to 4 x 4 whatever the size.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Dtype
from jax import Array

from ..layers import BatchNorm, ConvNormAct
from ..ops import adaptive_avg_pool, max_pool
from .network import DenseHead, Layer, Network

# Table 1 of the paper: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj.
_WIDTHS = {
  'stage2': ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
  'stage3': (
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
  ),
  'stage4': ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
}
# After which blocks the auxiliary heads are.
_AUX = {'stage3_block0': 'aux1', 'stage3_block3': 'aux2'}


class InceptionBlock(nn.Module):
  """Four branches side by side: 1x1, 3x3, 3x3 again, and a pooling.

  Attributes:
    widths: the channels of the 1x1 convolution; of the 1x1 before, and of, either 3x3;
      and of the 1x1 after the pooling.
    conv: makes a convolution.
    norm: makes a normalisation.
  """

  widths: Sequence[int]
  conv: Layer
  norm: Layer

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[batch, height, width, channels]` to as many of the branches' channels."""
    block = partial(ConvNormAct, conv=self.conv, norm=self.norm)
    one, reduce3, three, reduce5, five, projection = self.widths
    y1 = block(one, (1, 1), name='branch1')(x)
    y2 = block(reduce3, (1, 1), name='branch2_0')(x)
    y2 = block(three, (3, 3), padding=1, name='branch2_1')(y2)
    y3 = block(reduce5, (1, 1), name='branch3_0')(x)
    y3 = block(five, (3, 3), padding=1, name='branch3_1')(y3)
    y4 = max_pool(x, (3, 3), strides=1, padding=1)
    y4 = block(projection, (1, 1), name='branch4_1')(y4)
    return jnp.concatenate([y1, y2, y3, y4], axis=-1)


class AuxHead(nn.Module):
  """Average pooling to 4 x 4, a 1x1 convolution, and two dense layers.

  Attributes:
    num_classes: the number of logits.
    conv: makes a convolution.
    norm: makes a normalisation.
    dropout_rate: of the dropout before the logits.
    dtype: of the computation, but for that of the logits.
    param_dtype: of the parameters.
  """

  num_classes: int
  conv: Layer
  norm: Layer
  dropout_rate: float
  dtype: Dtype | None = None
  param_dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Returns logits `[batch, num_classes]` in float32."""
    x = adaptive_avg_pool(x, 4)
    x = ConvNormAct(128, (1, 1), conv=self.conv, norm=self.norm, name='block0')(x)
    head = DenseHead(
      self.num_classes,
      hidden=(1024,),
      pool_size=4,  # as it is
      dropout_before=(1,),
      dropout_rate=self.dropout_rate,
      dtype=self.dtype,
      param_dtype=self.param_dtype,
      name='head',
    )
    return head(x, train=train)


def sow_logits(model: nn.Module, name: str, logits: Array) -> None:
  """Keeps an auxiliary head's logits in the collection `aux_logits`, but not at init.

  Args:
    model: the network, bound.
    name: under which to keep them.
    logits: `[batch, num_classes]`, which replace those there.
  """
  if not model.is_initializing():
    model.sow(
      'aux_logits',
      name,
      logits,
      init_fn=lambda: None,
      reduce_fn=lambda _, new: new,
    )


class GoogLeNet(Network):
  """A stem, and three stages of Inception blocks.

  When it trains, the auxiliary heads' logits go to the collection `aux_logits` where
  that is mutable, as `aux1` and `aux2` in order; the paper adds 0.3 of their losses.
  torchvision's trained weights expect images between -1 and 1.

  Attributes:
    aux_logits: whether there are auxiliary heads, for training alone.
    dropout_rate: of the dropout before the last layer.
    aux_dropout_rate: of that of the auxiliary heads.

  >>> import jax
  >>> from convscan.architectures import build
  >>> model = build('googlenet', num_classes=10)
  >>> model.feature_info
  {'stage0': (2, 64), 'stage1': (4, 192), 'stage2': (8, 480),
   'stage3': (16, 832), 'stage4': (32, 1024)}

  >>> def train(key, images):
  ...   variables = model.init(key, images, train=False)
  ...   mutable, rngs = ['batch_stats', 'aux_logits'], {'dropout': key}
  ...   return model.apply(variables, images, train=True, mutable=mutable, rngs=rngs)
  >>> images = jnp.ones((2, 64, 64, 3))
  >>> logits, updates = jax.eval_shape(train, jax.random.key(0), images)
  >>> {name: x.shape for name, x in updates['aux_logits'].items()}
  {'aux1': (2, 10), 'aux2': (2, 10)}
  """

  norm: Layer = partial(BatchNorm, momentum=0.9, epsilon=1e-3)
  aux_logits: bool = True
  dropout_rate: float = 0.2
  aux_dropout_rate: float = 0.7

  min_size = 15

  @nn.nowrap
  def stages(
    self, x: Array, conv: Layer, norm: Layer, train: bool
  ) -> Iterator[tuple[str, Array]]:
    """See `Network`."""
    layers = {'conv': conv, 'norm': norm}
    block = partial(self.rematerialised(ConvNormAct, 'stage0'), **layers)
    x = block(64, (7, 7), strides=2, padding=3, name='stage0_block0')(x)
    yield 'stage0', x
    x = max_pool(x, (3, 3), strides=2, ceil_mode=True)
    block = partial(self.rematerialised(ConvNormAct, 'stage1'), **layers)
    x = block(64, (1, 1), name='stage1_block0')(x)
    x = block(192, (3, 3), padding=1, name='stage1_block1')(x)
    yield 'stage1', x
    for stage, blocks in _WIDTHS.items():
      window = 2 if stage == 'stage4' else 3
      x = max_pool(x, (window, window), strides=2, ceil_mode=True)
      mixed = partial(self.rematerialised(InceptionBlock, stage), **layers)
      for j, widths in enumerate(blocks):
        name = f'{stage}_block{j}'
        x = mixed(widths, name=name)(x)
        aux = _AUX.get(name)
        if aux and self.aux_logits and (train or self.is_initializing()):
          head = AuxHead(
            self.num_classes,
            conv=conv,
            norm=norm,
            dropout_rate=self.aux_dropout_rate,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=f'{aux}_head',
          )
          sow_logits(self, aux, head(x, train=train))
      yield stage, x

  @property
  def feature_info(self) -> dict[str, tuple[int, int]]:
    """See `Network`."""
    return {
      'stage0': (2, 64),
      'stage1': (4, 192),
      'stage2': (8, 480),
      'stage3': (16, 832),
      'stage4': (32, 1024),
    }


MODELS = {'googlenet': partial(GoogLeNet)}
