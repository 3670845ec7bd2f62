"""Eight virtual CPU devices, strict ranks, and one data folder for the whole run."""

import os
import tempfile
from collections.abc import Iterator
from typing import Any

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
import pytest

jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
jax.config.update('jax_persistent_cache_min_entry_size_bytes', 0)


@pytest.fixture(scope='module')
def tpu() -> Iterator[Any]:
  """The sharding that puts everything on one chip of a slice that is not there."""
  from jax.experimental import topologies
  from jax.experimental.compilation_cache import compilation_cache

  with pytest.MonkeyPatch.context() as patch:
    # Nothing here answers questions about a TPU's host, and workers may come in pairs.
    patch.setenv('TPU_SKIP_MDS_QUERY', '1')
    patch.setenv('TPU_WORKER_HOSTNAMES', 'localhost')
    patch.setenv('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')
    topology = topologies.get_topology_desc(platform='tpu', topology_name='v5e:2x2')
    # An executable for a TPU can be written to the cache, but not read without one.
    jax.config.update('jax_enable_compilation_cache', False)
    compilation_cache.reset_cache()
    yield jax.sharding.SingleDeviceSharding(topology.devices[0])
    jax.config.update('jax_enable_compilation_cache', True)
    compilation_cache.reset_cache()
