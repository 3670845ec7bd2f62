"""Pure functions over channels-last arrays."""

from .conv import conv
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
  'global_avg_pool',
  'max_pool',
  'pad',
]
