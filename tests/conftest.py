"""Eight virtual CPU devices, strict ranks, and one data folder for the whole run."""

import os
import tempfile

# Before jax is imported: tests of meshes and shardings need several devices.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ['XLA_FLAGS'] = (
  os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=8'
)
# Kept between runs: compilations, and datasets as they were prepared.
_CACHE = os.path.join(tempfile.gettempdir(), f'convscan-tests-{os.getuid()}')
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', os.path.join(_CACHE, 'xla'))
os.environ.setdefault('TFDS_DATA_DIR', os.path.join(_CACHE, 'tfds'))

import jax

jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
jax.config.update('jax_persistent_cache_min_entry_size_bytes', 0)
