"""Sweeps: how a config file says which trials there are.

A trial is a dict of overrides, `{'optimizer.learning_rate': 3e-3, 'seed': 1}`, of keys
as they follow `--config.` on the command line. `sweep()` of a config file generates
them:

    from convscan.configs import sweeps

    def sweep():
      yield from sweeps.product(
        {'optimizer.learning_rate': (1e-3, 3e-3)}, {'seed': range(4)}
      )

`space()` of a config file names ranges instead, for `sweeps.draw` or for
`python -m convscan.train.sweep --sampler=...`:

    def space():
      return {'optimizer.learning_rate': sweeps.log_uniform(1e-4, 1e-2)}

Nothing else is imported here.
"""

import dataclasses
import itertools
import math
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Overrides = dict[str, Any]
# Values by key, of which each key alone makes trials; or trials.
Part = Mapping[str, Iterable[Any]] | Iterable[Mapping[str, Any]]


def product(*parts: Part) -> Iterator[Overrides]:
  """Generates every combination; the last part varies fastest.

  Args:
    *parts: values by key, `{'seed': range(2), 'batch_size': (32, 64)}`, each key of
      which is a part of its own; or trials, such as another helper's.

  Raises:
    ValueError: a key is in two parts, or has no value.

  >>> list(product({'seed': (0, 1)}, {'ema_decay': (0.0, 0.9)}))[1:3]
  [{'seed': 0, 'ema_decay': 0.9}, {'seed': 1, 'ema_decay': 0.0}]
  """
  factors = [factor for part in parts for factor in _factors(part)]
  for trials in itertools.product(*factors):
    yield _merge(trials)


def zipped(values: Mapping[str, Iterable[Any]]) -> Iterator[Overrides]:
  """Generates the first value of every key, then the second of every key, and so on.

  Raises:
    ValueError: the keys have not as many values each.

  >>> list(zipped({'batch_size': (32, 64), 'optimizer.learning_rate': (0.1, 0.2)}))
  ... # doctest: +NORMALIZE_WHITESPACE
  [{'batch_size': 32, 'optimizer.learning_rate': 0.1},
   {'batch_size': 64, 'optimizer.learning_rate': 0.2}]
  """
  columns = {key: _values(key, column) for key, column in values.items()}
  if len({len(column) for column in columns.values()}) > 1:
    lengths = ', '.join(f'{len(column)} of {key!r}' for key, column in columns.items())
    raise ValueError(f'zipped: {lengths}; expected as many values of each key')
  for row in zip(*columns.values(), strict=True):
    yield dict(zip(columns, row, strict=True))


def chain(*sweeps: Iterable[Mapping[str, Any]]) -> Iterator[Overrides]:
  """Generates the trials of one sweep after those of another.

  >>> list(chain(product({'seed': (0, 1)}), [{'batch_size': 32}]))
  [{'seed': 0}, {'seed': 1}, {'batch_size': 32}]
  """
  for trials in sweeps:
    yield from map(dict, trials)


@dataclasses.dataclass(frozen=True)
class Uniform:
  """Numbers from `low` to `high`, or their logarithms, of equal chance."""

  low: float
  high: float
  log: bool = False

  def __post_init__(self) -> None:
    name = 'log_uniform' if self.log else 'uniform'
    if not (math.isfinite(self.low) and self.low < self.high < math.inf):
      raise ValueError(f'{name}({self.low}, {self.high}): expected low < high, finite')
    if self.log and self.low <= 0:
      raise ValueError(f'{name}({self.low}, {self.high}): expected low > 0')

  def sample(self, rng: random.Random) -> float:
    """Returns one, of 6 digits: it stands in a command and in a folder's name."""
    if self.log:
      drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
    else:
      drawn = rng.uniform(self.low, self.high)
    return float(min(max(float(f'{drawn:.6g}'), self.low), self.high))


@dataclasses.dataclass(frozen=True)
class Choice:
  """One of some values."""

  values: tuple[Any, ...]

  def __post_init__(self) -> None:
    if not self.values:
      raise ValueError('choice: no values')

  def sample(self, rng: random.Random) -> Any:
    """Returns one of them."""
    return rng.choice(self.values)


def uniform(low: float, high: float) -> Uniform:
  """Returns the range from `low` to `high`."""
  return Uniform(low, high)


def log_uniform(low: float, high: float) -> Uniform:
  """Returns the range from `low` to `high`, in which each factor has equal chance.

  >>> log_uniform(0, 1)
  Traceback (most recent call last):
  ValueError: log_uniform(0, 1): expected low > 0
  """
  return Uniform(low, high, log=True)


def choice(values: Iterable[Any]) -> Choice:
  """Returns the choice of one of the values."""
  return Choice(tuple(values))


Space = Mapping[str, Uniform | Choice]


def draw(num_trials: int, space: Space, seed: int = 0) -> Iterator[Overrides]:
  """Generates trials of chance; more of them begin with the same ones.

  Args:
    num_trials: how many.
    space: what each key is drawn from.
    seed: other seeds give other trials. A key's values depend on the seed and its name
      alone, not on the other keys.

  >>> space = {'optimizer.learning_rate': log_uniform(1e-4, 1e-2)}
  >>> list(draw(2, space, seed=1)) == list(draw(3, space, seed=1))[:2]
  True
  """
  streams = {key: random.Random(f'{seed} {key}') for key in space}
  for _ in range(num_trials):
    yield {key: space[key].sample(rng) for key, rng in streams.items()}


def _factors(part: Part) -> Iterator[list[Overrides]]:
  if isinstance(part, Mapping):
    for key, column in part.items():
      yield [{key: value} for value in _values(key, column)]
  else:
    yield [dict(trial) for trial in part]


def _values(key: str, column: Iterable[Any]) -> list[Any]:
  if isinstance(column, str) or not isinstance(column, Iterable):
    raise ValueError(f'{key!r}: {column!r}; expected several values, such as a tuple')
  if not (values := list(column)):
    raise ValueError(f'{key!r}: no values')
  return values


def _merge(trials: Iterable[Overrides]) -> Overrides:
  merged: Overrides = {}
  for trial in trials:
    if twice := merged.keys() & trial.keys():
      raise ValueError(f'{min(twice)!r} is swept twice')
    merged |= trial
  return merged
