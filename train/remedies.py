"""What makes a config fit into memory, tried; and how little or how much fits."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import ml_collections

from . import topologies
from .errors import ConfigError
from .experiment import check
from .mesh import make_mesh
from .metrics import logger
from .rehearsal import BATCH, CARRY, TEMPORARIES, Rehearsal, rehearse
from .topologies import Topology
from .workdir import build_model


@dataclasses.dataclass(frozen=True)
class Trial:
  """A change of a config, compiled.

  Attributes:
    overrides: the values that are changed, by key, without `config.`.
    rehearsal: what it needs then.
  """

  overrides: dict[str, Any]
  rehearsal: Rehearsal


def changed(
  config: ml_collections.ConfigDict, overrides: dict[str, Any]
) -> ml_collections.ConfigDict:
  """Returns a config with other values, also of a model's fields that it does not name.

  >>> config = ml_collections.ConfigDict({'model': {'name': 'resnet50'}})
  >>> changed(config, {'model.dtype': 'bfloat16'}).model.dtype
  'bfloat16'
  """
  copy = config.copy_and_resolve_references().unlock()
  for key, value in overrides.items():
    *parts, last = key.split('.')
    place = copy
    for part in parts:
      place = place[part]
    with place.ignore_type():
      place[last] = value
  return copy.lock()


def try_remedies(
  config: ml_collections.ConfigDict, dataset: Any, base: Rehearsal
) -> Iterator[Trial]:
  """Compiles changes of a config that does not fit, a key at a time, the mildest first.

  Of each key the value that should be enough is tried and, where it is not, the
  strongest; a key of which none can be enough is not. If nothing helps alone, the
  strongest values of all keys but the batch's size are tried together.

  Args:
    config: a complete experiment.
    dataset: its dataset; see `rehearse`.
    base: what it needs.
  """
  together: dict[str, Any] = {}
  for ladder in remedies(config, dataset, base):
    enough = [overrides for overrides, at_least in ladder if at_least <= base.limit]
    if 'batch_size' not in ladder[-1][0]:
      together |= ladder[-1][0]
    for overrides in enough[:1] + enough[1:][-1:]:
      trial = _try(config, dataset, base.topology, overrides)
      if trial:
        yield trial
      if trial and trial.rehearsal.fits:
        together = {}
        break
    if not enough:
      logger().info('%s can not be enough', ', '.join(ladder[-1][0]))
  if len(together) > 1 and (trial := _try(config, dataset, base.topology, together)):
    yield trial


def remedies(
  config: ml_collections.ConfigDict, dataset: Any, base: Rehearsal
) -> Iterator[list[tuple[dict[str, Any], float]]]:
  """Yields for each key that could help its overrides, from weak to strong.

  Beside each stands the least memory that could be needed then, in bytes: as if all
  that the key can make smaller became so in proportion.
  """
  train, other = base.training.memory, base.evaluation.needs
  temporaries, parts = train[TEMPORARIES], config.accumulate_steps
  rest = base.training.needs - temporaries

  ladder: list[tuple[dict[str, Any], float]] = []
  factor = 2
  while base.batch_size % (base.size * parts * factor) == 0:
    needs = max(rest + temporaries / factor, other)
    ladder.append(({'accumulate_steps': parts * factor}, needs))
    factor *= 2
  if ladder:
    yield ladder

  state = sum(train.get(k, 0) for k in ('parameters', 'optimizer state', 'averages'))
  ladder, fsdp = [], base.mesh['fsdp']
  for split in range(2 * fsdp, base.size + 1):
    if base.size % split == 0 and split % fsdp == 0:
      overrides = {'mesh.fsdp': split}
      if config.mesh.data != -1:
        overrides['mesh.data'] = base.size // split
      ladder.append((overrides, base.needs - state * (1 - fsdp / split)))
  if ladder:
    yield ladder

  model = build_model(config, dataset.classes)
  stages = tuple(getattr(model, 'feature_info', ()))
  if hasattr(model, 'remat') and set(model.remat) != set(stages):
    yield [({'model.remat': stages}, max(rest, other))]
  if hasattr(model, 'dtype') and str(config.model.get('dtype')) in ('None', 'float32'):
    halves = (
      s.needs - s.memory[TEMPORARIES] / 2 for s in (base.training, base.evaluation)
    )
    yield [({'model.dtype': 'bfloat16'}, max(halves))]

  ladder, size = [], base.batch_size
  while size % (2 * base.size * parts) == 0:
    size //= 2
    needs = max(_needs(step, size / base.batch_size) for step in _steps(base))
    ladder.append(({'batch_size': size}, needs))
  if ladder:
    yield ladder


def find_batch(
  config: ml_collections.ConfigDict, dataset: Any, base: Rehearsal
) -> Trial | None:
  """Returns the largest batch that fits: a power of two times the devices, or None.

  Args:
    config: a complete experiment.
    dataset: its dataset; see `rehearse`.
    base: what it needs.
  """
  unit = base.size * config.accumulate_steps
  tried: dict[int, Trial | None] = {}

  def fits(power: int) -> bool:
    if power not in tried:
      overrides = {'batch_size': unit << power}
      tried[power] = _try(config, dataset, base.topology, overrides)
    trial = tried[power]
    return trial is not None and trial.rehearsal.fits

  # Where a line through what is known so far says.
  power = 0
  while power < 40 and all(
    _needs(step, (unit << power + 1) / base.batch_size) <= base.limit
    for step in _steps(base)
  ):
    power += 1
  while power and not fits(power):
    power -= 1
  while fits(power + 1):
    power += 1
  return tried[power] if fits(power) else None


def find_slice(
  config: ml_collections.ConfigDict, dataset: Any, slices: Sequence[Topology]
) -> Rehearsal | None:
  """Returns what a config needs on the smallest slice that it fits on, or None.

  Args:
    config: a complete experiment, of the same batch on all of them.
    dataset: its dataset; see `rehearse`.
    slices: the slices, the smallest first. Those over which the config can't be split
      are left out.
  """
  possible = [t for t in slices if _can_split(config, t)]
  best, low, high = None, 0, len(possible)
  while low < high:
    middle = (low + high) // 2
    rehearsal = rehearse(config, dataset, possible[middle])
    if rehearsal.fits:
      best, high = rehearsal, middle
    else:
      low = middle + 1
  return best


def _can_split(config: ml_collections.ConfigDict, topology: Topology) -> bool:
  devices = topologies.devices(topology)
  try:
    check(config, make_mesh(config.mesh.data, config.mesh.fsdp, devices))
  except ConfigError:
    return False
  return True


def _try(
  config: ml_collections.ConfigDict,
  dataset: Any,
  topology: Topology,
  overrides: dict[str, Any],
) -> Trial | None:
  """Returns what a changed config needs; None if it can't be trained."""
  said = ', '.join(f'config.{k}={v}' for k, v in overrides.items())
  logger().info('trying %s', said)
  try:
    return Trial(overrides, rehearse(changed(config, overrides), dataset, topology))
  except ConfigError as error:
    logger().info('  %s', error)
    return None


def _steps(base: Rehearsal) -> list[dict[str, int]]:
  return [base.training.memory, base.evaluation.memory]


def _needs(memory: dict[str, int], times: float) -> float:
  """Returns what a step needs for a batch so many times as large, if in proportion."""
  grows = (TEMPORARIES, BATCH, CARRY)
  return sum(size * (times if k in grows else 1) for k, size in memory.items())
