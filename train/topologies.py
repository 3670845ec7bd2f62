"""Devices that need not be there: slices of TPUs by name, and those of this machine."""

import contextlib
import dataclasses
import importlib.util
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from .errors import ConfigError, did_you_mean
from .machines import TPUS, chips


@dataclasses.dataclass(frozen=True)
class Topology:
  """What to compile for.

  Attributes:
    family: 'cpu', 'gpu', or a key of `machines.TPUS`.
    shape: of the slice, such as '4x4'; of this machine's devices how many, and '' for
      all GPUs.
  """

  family: str
  shape: str

  def __str__(self) -> str:
    return f'{self.family}:{self.shape}' if self.shape else self.family


def parse(text: str, *, families: bool = False) -> Topology:
  """Reads the name of a topology. JAX is not asked.

  Args:
    text: 'v5e:4x4', 'cpu', 'cpu:8', 'gpu' or 'gpu:1'.
    families: whether the name of a generation alone, such as 'v5e', is one.

  Raises:
    ConfigError: there is no such thing.

  >>> str(parse('v5e:4x4')), str(parse('cpu'))
  ('v5e:4x4', 'cpu:1')
  >>> parse('v5e:3x5')
  Traceback (most recent call last):
  convscan.train.errors.ConfigError: --topology: 'v5e:3x5'; expected v5e:1x1, v5e:2x2, \
v5e:2x4, v5e:4x4, v5e:4x8, v5e:8x8, v5e:8x16 or v5e:16x16
  """
  family, _, shape = text.partition(':')
  if family in ('cpu', 'gpu'):
    if not re.fullmatch(r'([1-9]\d*)?', shape):
      raise ConfigError(
        f'--topology: {text!r}; expected {family}, or {family}:8 for 8 devices'
      )
    return Topology(family, shape or ('1' if family == 'cpu' else ''))
  if family not in TPUS:
    known = [*TPUS, 'cpu', 'gpu']
    raise ConfigError(
      f'--topology: {text!r};{did_you_mean(family, known)} Expected a slice of '
      f'{", ".join(TPUS)}, such as v5e:4x4, or cpu, or gpu'
    )
  tpu = TPUS[family]
  if not (tpu.has(shape) or (families and not shape)):
    *most, last = [f'{family}:{s}' for s in tpu.slices]
    cubes = len(tpu.slices[0].split('x')) == 3
    raise ConfigError(
      f'--topology: {text!r}; expected {", ".join(most)} or {last}'
      + (f', or sides that are multiples of 4, to {tpu.most:,} chips' if cubes else '')
    )
  return Topology(family, shape)


def by_size(given: Sequence[Topology]) -> list[Topology]:
  """Returns slices of one family, the smallest first: of one alone, all its family.

  >>> [str(t) for t in by_size([parse('v5e:4x4'), parse('v5e:2x2')])]
  ['v5e:2x2', 'v5e:4x4']
  >>> len(by_size([parse('v5e:4x4')]))
  8
  """
  family = given[0].family
  if family not in TPUS:
    raise ConfigError(
      f'--find=slice: {family!r} has no slices; expected {", ".join(TPUS)}'
    )
  shapes = [t.shape for t in given] if len(given) > 1 else TPUS[family].slices
  return [Topology(family, shape) for shape in sorted(shapes, key=chips)]


def prepare(topologies: Sequence[Topology]) -> None:
  """Sets what JAX has to find in the environment, before it is imported.

  Raises:
    ConfigError: TPUs are asked for, and there is no compiler for them.
  """
  families = {t.family for t in topologies}
  tpus = bool(families & set(TPUS))
  if tpus and importlib.util.find_spec('libtpu') is None:
    raise ConfigError(
      "--topology: TPUs need their compiler: pip install 'convscan[tpu]'"
    )
  # What is compiled for devices that are not there can be kept but not read again.
  os.environ['JAX_ENABLE_COMPILATION_CACHE'] = 'false'
  os.environ['JAX_PLATFORMS'] = 'cuda,cpu' if 'gpu' in families else 'cpu'
  count = max([int(t.shape) for t in topologies if t.family == 'cpu'], default=1)
  if count > 1:
    os.environ['XLA_FLAGS'] = (
      os.environ.get('XLA_FLAGS', '')
      + f' --xla_force_host_platform_device_count={count}'
    )
  if tpus:
    # Nothing here is to be asked about a TPU, nor taken for this process alone.
    os.environ['TPU_SKIP_MDS_QUERY'] = '1'
    os.environ['TPU_WORKER_HOSTNAMES'] = 'localhost'
    os.environ['ALLOW_MULTIPLE_LIBTPU_LOAD'] = '1'


def devices(topology: Topology) -> list[Any]:
  """Returns the devices, as `make_mesh` takes them.

  Raises:
    ConfigError: this machine does not have so many, or none.
  """
  import jax
  from jax.experimental import topologies

  if topology.family in TPUS:
    shape = topology.shape
    options: dict[str, Any] = {'chip_config_name': TPUS[topology.family].chip_config}
    if chips(shape) == 1:  # by default 4 share a host
      options['chips_per_host_bounds'] = (1, 1, 1)
    with _silent():
      return topologies.get_topology_desc(str(topology), 'tpu', **options).devices
  count = int(topology.shape or 0)
  try:
    found = jax.devices({'gpu': 'cuda'}.get(topology.family, topology.family))
  except RuntimeError as e:
    raise ConfigError(
      f'--topology: {str(topology)!r}; this machine has none that JAX can use'
    ) from e
  if count > len(found):
    raise ConfigError(
      f'--topology: {str(topology)!r}; this machine has {len(found)} of them'
    )
  return found[:count] if count else found


def memory(topology: Topology, devices: Sequence[Any]) -> int:
  """Returns the bytes of memory that programs may use, of each device."""
  if topology.family in TPUS:
    return TPUS[topology.family].memory
  if topology.family == 'gpu':
    return int(devices[0].memory_stats()['bytes_limit'])
  return os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') // len(devices)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
  """Keeps what libraries in C++ write to standard error off it."""
  kept = os.dup(2)
  with tempfile.TemporaryFile() as sink:
    os.dup2(sink.fileno(), 2)
    try:
      yield
    finally:
      os.dup2(kept, 2)
      os.close(kept)
