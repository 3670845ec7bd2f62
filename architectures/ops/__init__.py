"""Pure functions over channels-last arrays."""

from .conv import conv
from .conv_transpose import conv_transpose
from .pad import pad
from .pool import (
  adaptive_avg_pool,
  adaptive_max_pool,
  avg_pool,
  global_avg_pool,
  max_pool,
)

__all__ = [
  'adaptive_avg_pool',
  'adaptive_max_pool',
  'avg_pool',
  'conv',
  'conv_transpose',
  'global_avg_pool',
  'max_pool',
  'pad',
]
