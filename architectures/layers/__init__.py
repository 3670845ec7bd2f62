"""Linen modules over the ops: they own the parameters and choose the dtype."""

from .alpha_dropout import AlphaDropout
from .batch_norm import BatchNorm
from .conv import Conv
from .conv_norm_act import ConvNormAct
from .conv_transpose import ConvTranspose
from .drop_block import DropBlock
from .dropout import Dropout
from .fractional_max_pool import FractionalMaxPool
from .gem import GeM
from .norms import GroupNorm, InstanceNorm, LayerNorm
from .response_norm import GlobalResponseNorm
from .separable_conv import SeparableConv
from .squeeze_excite import SqueezeExcite
from .stochastic_depth import StochasticDepth
from .stochastic_pool import StochasticPool
from .weight_norm_conv import WeightNormConv

__all__ = [
  'AlphaDropout',
  'BatchNorm',
  'Conv',
  'ConvNormAct',
  'ConvTranspose',
  'DropBlock',
  'Dropout',
  'FractionalMaxPool',
  'GeM',
  'GlobalResponseNorm',
  'GroupNorm',
  'InstanceNorm',
  'LayerNorm',
  'SeparableConv',
  'SqueezeExcite',
  'StochasticDepth',
  'StochasticPool',
  'WeightNormConv',
]
