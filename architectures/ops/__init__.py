"""Pure functions over channels-last arrays."""

from .batch_norm import batch_norm, batch_statistics
from .blur_pool import blur_pool
from .conv import conv
from .conv_transpose import conv_transpose
from .fractional_max_pool import fractional_max_pool
from .global_pool import gem_pool, global_max_pool
from .local_response_norm import local_response_norm
from .lp_pool import lp_pool
from .max_pool import max_pool, max_pool_with_indices
from .max_unpool import max_unpool
from .pad import pad
from .pool import (
  adaptive_avg_pool,
  adaptive_max_pool,
  avg_pool,
  global_avg_pool,
)
from .space_to_depth import depth_to_space, space_to_depth
from .spatial_pyramid_pool import spatial_pyramid_pool
from .standardise import standardise_kernel
from .stochastic_pool import stochastic_pool

__all__ = [
  'adaptive_avg_pool',
  'adaptive_max_pool',
  'avg_pool',
  'batch_norm',
  'batch_statistics',
  'blur_pool',
  'conv',
  'conv_transpose',
  'depth_to_space',
  'fractional_max_pool',
  'gem_pool',
  'global_avg_pool',
  'global_max_pool',
  'local_response_norm',
  'lp_pool',
  'max_pool',
  'max_pool_with_indices',
  'max_unpool',
  'pad',
  'space_to_depth',
  'spatial_pyramid_pool',
  'standardise_kernel',
  'stochastic_pool',
]
