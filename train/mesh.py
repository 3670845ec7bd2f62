"""The devices of a run: one mesh, and where batches and state lie on it."""

from collections.abc import Mapping

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from .errors import ConfigError


def make_mesh(data: int) -> jax.sharding.Mesh:
  """Returns a mesh of `data` devices along the axis `'data'`; -1 takes them all.

  Raises:
    ConfigError: there are not that many devices.

  >>> make_mesh(1).shape['data']
  1
  """
  count = jax.device_count()
  if data != -1 and not 1 <= data <= count:
    raise ConfigError(
      f'config.mesh.data: {data}; expected 1 to {count}, the number of devices, '
      'or -1 for all of them'
    )
  devices = jax.devices()[: count if data == -1 else data]
  return jax.make_mesh(
    (len(devices),), ('data',), axis_types=(AxisType.Auto,), devices=devices
  )


def check_batch_size(batch_size: int, mesh: jax.sharding.Mesh) -> None:
  """Refuses a global batch that the mesh can't split evenly."""
  if batch_size < 1 or batch_size % mesh.size:
    raise ConfigError(
      f'config.batch_size: {batch_size}; expected a positive multiple of {mesh.size}, '
      'the number of devices that share each batch'
    )


def replicated(mesh: jax.sharding.Mesh) -> NamedSharding:
  """Returns the sharding of what every device holds whole."""
  return NamedSharding(mesh, P())


def batch_sharded(mesh: jax.sharding.Mesh) -> NamedSharding:
  """Returns the sharding of what is split along its first axis."""
  return NamedSharding(mesh, P('data'))


def put_batch(
  batch: Mapping[str, np.ndarray], mesh: jax.sharding.Mesh
) -> dict[str, jax.Array]:
  """Makes global arrays, split along their first axis, of this process's rows."""
  return {
    name: jax.make_array_from_process_local_data(batch_sharded(mesh), rows)
    for name, rows in batch.items()
  }
