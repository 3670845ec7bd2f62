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
    at_least: bytes of memory that it needs, as far as is known without compiling.
    rehearsal: what it needs then; None where it needs too much at least, and was not
      compiled.
  """

  overrides: dict[str, Any]
  at_least: float
  rehearsal: Rehearsal | None

  @property
  def fits(self) -> bool:
    """Whether it needs no more than there is."""
    return self.rehearsal is not None and self.rehearsal.fits


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

  Of each key the values that could be enough are compiled until one is, three of them
  at most and the strongest; a key of which none can be enough is not. If nothing helps
  alone, the
  strongest values of all keys but the batch's size are compiled together.

  Args:
    config: a complete experiment.
    dataset: its dataset; see `rehearse`.
    base: what it needs.
  """
  together: dict[str, Any] = {}
  any_fits = False
  for ladder in remedies(config, dataset, base):
    enough = [rung for rung in ladder if rung.at_least <= base.limit]
    if 'batch_size' not in ladder[-1].overrides:
      together |= ladder[-1].overrides
    for rung in enough[:3] + enough[3:][-1:]:
      trial = _try(config, dataset, base.topology, rung)
      if trial:
        yield trial
      if trial and trial.fits:
        any_fits = True
        break
    if not enough:
      yield ladder[-1]
  rung = Trial(together, 0, None)
  if not any_fits and len(together) > 1:
    trial = _try(config, dataset, base.topology, rung)
    if trial:
      yield trial


def remedies(
  config: ml_collections.ConfigDict, dataset: Any, base: Rehearsal
) -> Iterator[list[Trial]]:
  """Yields for each key that could help its values, from weak to strong.

  None is compiled. What each needs at least is as if all that the key can make smaller
  became so in proportion.
  """
  train, other = base.training.memory, base.evaluation.needs
  temporaries, parts = train[TEMPORARIES], config.accumulate_steps
  rest = base.training.needs - temporaries

  ladder: list[Trial] = []
  factor = 2
  while base.batch_size % (base.size * parts * factor) == 0:
    needs = max(rest + temporaries / factor, other)
    ladder.append(Trial({'accumulate_steps': parts * factor}, needs, None))
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
      needs = base.needs - state * (1 - fsdp / split)
      ladder.append(Trial(overrides, needs, None))
  if ladder:
    yield ladder

  model = build_model(config, dataset.classes)
  stages = tuple(getattr(model, 'feature_info', ()))
  if hasattr(model, 'remat') and set(model.remat) != set(stages):
    yield [Trial({'model.remat': stages}, max(rest, other), None)]
  if hasattr(model, 'dtype') and str(config.model.get('dtype')) in ('None', 'float32'):
    halves = (
      s.needs - s.memory[TEMPORARIES] / 2 for s in (base.training, base.evaluation)
    )
    yield [Trial({'model.dtype': 'bfloat16'}, max(halves), None)]

  ladder, size = [], base.batch_size
  while size % (2 * base.size * parts) == 0:
    size //= 2
    needs = max(_needs(step, size / base.batch_size) for step in _steps(base))
    ladder.append(Trial({'batch_size': size}, needs, None))
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
  known = Trial({'batch_size': base.batch_size}, base.needs, base)
  tried: dict[int, Trial | None] = {
    power: known
    for power in range(base.batch_size.bit_length())
    if unit << power == base.batch_size
  }

  def fits(power: int) -> bool:
    if power not in tried:
      rung = Trial({'batch_size': unit << power}, 0, None)
      tried[power] = _try(config, dataset, base.topology, rung)
    trial = tried[power]
    return trial is not None and trial.fits

  # Where a line through what is known so far says.
  power, examples = 0, len(dataset.splits['train'])
  while unit << power + 1 <= examples and all(
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
    _tell(rehearsal)
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
  config: ml_collections.ConfigDict, dataset: Any, topology: Topology, trial: Trial
) -> Trial | None:
  """Compiles a changed config; None if it can't be trained."""
  said = ', '.join(f'config.{k}={v}' for k, v in trial.overrides.items())
  logger().info('trying %s', said)
  try:
    rehearsal = rehearse(changed(config, trial.overrides), dataset, topology)
    _tell(rehearsal)
    return dataclasses.replace(trial, rehearsal=rehearsal)
  except ConfigError as error:
    logger().info('  %s', error)
    return None


def _tell(found: Rehearsal) -> None:
  needs, limit = found.needs / 2**30, found.limit / 2**30
  logger().info('  %s: %.2f of %.2f GiB', found.topology, needs, limit)


def _steps(base: Rehearsal) -> list[dict[str, int]]:
  return [base.training.memory, base.evaluation.memory]


def _needs(memory: dict[str, int], times: float) -> float:
  """Returns what a step needs for a batch so many times as large, if in proportion."""
  grows = (TEMPORARIES, BATCH, CARRY)
  return sum(size * (times if k in grows else 1) for k, size in memory.items())
