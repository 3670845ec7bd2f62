"""Linen modules over the ops: they own the parameters and choose the dtype."""

from .conv import Conv
from .conv_norm_act import ConvNormAct
from .conv_transpose import ConvTranspose
from .dropout import Dropout
from .fractional_max_pool import FractionalMaxPool
from .gem import GeM
from .squeeze_excite import SqueezeExcite
from .stochastic_depth import StochasticDepth
from .stochastic_pool import StochasticPool

__all__ = [
  'Conv',
  'ConvNormAct',
  'ConvTranspose',
  'Dropout',
  'FractionalMaxPool',
  'GeM',
  'SqueezeExcite',
  'StochasticDepth',
  'StochasticPool',
]
