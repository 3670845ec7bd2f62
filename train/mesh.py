"""The devices of a run: one mesh, and where batches and state lie on it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from .errors import ConfigError

AXES = ('data', 'fsdp')


def make_mesh(
  data: int, fsdp: int = 1, devices: Sequence[jax.Device] | None = None
) -> jax.sharding.Mesh:
  """Returns a mesh of `data` times `fsdp` devices, axes `'data'` and `'fsdp'`.

  Batches are split over all devices. State is split over `fsdp` alone, and whole along
  `data`; see `state_sharding`.

  Args:
    data: the size of the axis, or -1 for all devices that are left.
    fsdp: the size of the axis.
    devices: those that may be used, or None for all that JAX has.

  Raises:
    ConfigError: there are not that many devices, or several processes of which one
      would have none in the mesh.

  >>> dict(make_mesh(1).shape)
  {'data': 1, 'fsdp': 1}
  """
  devices = jax.devices() if devices is None else devices
  count = len(devices)
  if not 1 <= fsdp <= count:
    raise ConfigError(
      f'config.mesh.fsdp: {fsdp}; expected 1 to {count}, the number of devices'
    )
  if data == -1:
    if count % fsdp:
      raise ConfigError(
        f'config.mesh.fsdp: {fsdp}; expected a divisor of {count}, the number of '
        'devices, where config.mesh.data is -1'
      )
    data = count // fsdp
  if not 1 <= data * fsdp <= count:
    raise ConfigError(
      f'config.mesh.data: {data}; expected 1 to {count // fsdp}, the number of devices '
      f'over config.mesh.fsdp {fsdp}, or -1 for all of them'
    )
  if jax.process_count() > 1 and data * fsdp != count:
    raise ConfigError(
      f'config.mesh: {data} x {fsdp} devices; expected all {count} of the '
      f'{jax.process_count()} processes'
    )
  try:
    return jax.make_mesh(
      (data, fsdp),
      AXES,
      axis_types=(AxisType.Auto,) * 2,
      devices=devices[: data * fsdp],
    )
  except NotImplementedError as e:
    raise ConfigError(
      f'config.mesh.fsdp: {fsdp}; expected a product of whole sides of the slice, such '
      'as 4 or 16 of 4x4'
    ) from e


def check_batch_size(batch_size: int, parts: int, mesh: jax.sharding.Mesh) -> None:
  """Refuses a global batch that the mesh can't split evenly, in so many parts."""
  if parts < 1:
    raise ConfigError(f'config.accumulate_steps: {parts}; expected 1 or more')
  if batch_size < 1 or batch_size % (mesh.size * parts):
    of_parts = f' times {parts}, config.accumulate_steps' if parts > 1 else ''
    raise ConfigError(
      f'config.batch_size: {batch_size}; expected a positive multiple of {mesh.size}, '
      f'the number of devices that share each batch{of_parts}'
    )


def replicated(
  mesh: jax.sharding.Mesh | jax.sharding.AbstractMesh,
) -> NamedSharding:
  """Returns the sharding of what every device holds whole."""
  return NamedSharding(mesh, P())


def batch_sharded(mesh: jax.sharding.Mesh) -> NamedSharding:
  """Returns the sharding of what is split along its first axis, over all devices."""
  return NamedSharding(mesh, P(AXES))


def state_sharding(
  tree: Any, mesh: jax.sharding.Mesh | jax.sharding.AbstractMesh, min_size: int
) -> Any:
  """Returns the shardings of a tree of arrays, by their sizes alone.

  An array of `min_size` elements or more is split over `'fsdp'`, along the largest of
  its axes that can be; what is smaller, or has no such axis, every device holds whole.
  So parameters, their optimizer state and their averages are split alike, as in ZeRO's
  third stage (Rajbhandari et al. 2020, https://arxiv.org/abs/1910.02054).

  Args:
    tree: arrays, or their shapes and dtypes.
    mesh: the mesh, abstract or of devices.
    min_size: the number of elements from which an array is split.

  >>> mesh = jax.sharding.AbstractMesh((4, 2), AXES)
  >>> tree = {'kernel': np.ones((3, 3, 8, 64)), 'bias': np.ones(64)}
  >>> {k: tuple(s.spec) for k, s in state_sharding(tree, mesh, 4096).items()}
  {'bias': (), 'kernel': (None, None, None, 'fsdp')}
  """
  parts = mesh.shape['fsdp']

  def sharding(x: Any) -> NamedSharding:
    axes = [axis for axis, n in enumerate(x.shape) if n % parts == 0]
    if parts == 1 or x.size < min_size or not axes:
      return replicated(mesh)
    largest = max(axes, key=lambda axis: x.shape[axis])
    return NamedSharding(mesh, P(*[None] * largest, 'fsdp'))

  return jax.tree.map(sharding, tree)


def constrain(shardings: Any) -> Callable[[Mapping[str, Any]], Any]:
  """Returns a function that has the entries of a mapping lie so, inside of `jit`.

  Args:
    shardings: one for all, or a mapping of at least the same keys.
  """

  def place(tree: Mapping[str, Any]) -> Any:
    one = isinstance(shardings, NamedSharding)
    places = shardings if one else {name: shardings[name] for name in tree}
    return jax.lax.with_sharding_constraint(tree, places)

  return place


def put_batch(
  batch: Mapping[str, np.ndarray], mesh: jax.sharding.Mesh
) -> dict[str, jax.Array]:
  """Makes global arrays, split along their first axis, of this process's rows."""
  return {
    name: jax.make_array_from_process_local_data(batch_sharded(mesh), rows)
    for name, rows in batch.items()
  }
