"""Pure functions over channels-last arrays."""

from .conv import conv
from .pool import avg_pool, global_avg_pool, max_pool

__all__ = ['avg_pool', 'conv', 'global_avg_pool', 'max_pool']
