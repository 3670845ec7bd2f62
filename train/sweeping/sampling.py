"""Trials that Optuna's samplers draw, from what came of those before."""

import importlib.util
import os
import random
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from ...configs.sweeps import Choice, Uniform
from ..errors import ConfigError
from .plan import Trial
from .table import Metric, Row

# The sampler, and what it needs besides Optuna.
_SAMPLERS = {
  'random': ('RandomSampler', ''),
  'tpe': ('TPESampler', ''),
  'qmc': ('QMCSampler', ''),
  'gp': ('GPSampler', 'torch'),
  'cmaes': ('CmaEsSampler', 'cmaes'),
}


class Sampled:
  """A source of trials, with its study in `ROOT/optuna.log`.

  The study is only what samplers look at. A trial that failed, or was running when the
  driver was killed, is running in it still, and is among the first that are asked for
  at the next start: how it stands is on disk, as for any trial.

  Args:
    root: the sweep's folder. Nobody else draws from its study meanwhile.
    space: what each key is drawn from.
    sampler: a key of `_SAMPLERS`.
    num_trials: how many in all, those of earlier starts included.
    seed: of the sampler.
    metric: what is to be best.
    make: makes a trial of overrides.

  Raises:
    ConfigError: Optuna or what the sampler needs is not installed, or the space holds
      something else than ranges and choices.
  """

  def __init__(
    self,
    root: str,
    space: Any,
    sampler: str,
    num_trials: int,
    seed: int,
    metric: Metric,
    make: Callable[[dict[str, Any]], Trial],
  ) -> None:
    try:
      import optuna
      from optuna.storages.journal import JournalFileBackend
    except ImportError as e:
      raise ConfigError("--sampler needs Optuna: pip install 'convscan[sweep]'") from e
    self._optuna, self._space, self._make = optuna, space, make
    self._num_trials = num_trials
    self._distributions = _distributions(space, optuna.distributions)
    make({key: one.sample(random.Random(0)) for key, one in space.items()})  # checks it
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    log = os.path.join(root, 'optuna.log')
    self._study = optuna.create_study(
      study_name='sweep',
      storage=optuna.storages.JournalStorage(JournalFileBackend(log)),
      direction='maximize' if metric.mode == 'max' else 'minimize',
      load_if_exists=True,
    )
    before = self._study.get_trials(deepcopy=False)
    # Other trials than those that the same seed has drawn at earlier starts.
    self._study.sampler = _sampler(optuna.samplers, sampler, seed + len(before))
    running = optuna.trial.TrialState.RUNNING
    self._open = [t.number for t in before if t.state == running]
    self._numbers: dict[str, list[int]] = {}  # of the trials that are to be told of

  def ask(self) -> Trial | None:
    """Returns one that is not known to have ended, or draws one."""
    if self._open:
      number = self._open.pop(0)
    elif len(self._study.get_trials(deepcopy=False)) < self._num_trials:
      number = self._study.ask(self._distributions).number
    else:
      return None
    trial = self._trial(number)
    self._numbers.setdefault(trial.name, []).append(number)
    return trial

  def tell(self, row: Row) -> None:
    """Notes in the study what became of a trial, or of several of the same overrides.

    One that was stopped counts with the best that it had come to. One that has not
    ended for good stays open, for the next start.
    """
    failed = self._optuna.trial.TrialState.FAIL
    numbers = self._numbers.pop(row.trial.name, [])
    if row.state not in ('finished', 'stopped'):
      return
    for number in numbers:
      if row.best:
        self._study.tell(number, row.best[1])
      else:
        self._study.tell(number, state=failed)

  def known(self) -> list[Trial]:
    """Returns those that were drawn, each once."""
    drawn = [self._trial(t.number) for t in self._study.get_trials(deepcopy=False)]
    return list({trial.name: trial for trial in drawn}.values())

  def _trial(self, number: int) -> Trial:
    params = self._study.get_trials(deepcopy=False)[number].params
    return self._make({key: self._value(key, value) for key, value in params.items()})

  def _value(self, key: str, drawn: Any) -> Any:
    one = self._space[key]
    if isinstance(one, Choice):
      return _by_name(one)[drawn]
    # 6 digits: it stands in a command and in a folder's name.
    return min(max(float(f'{drawn:.6g}'), one.low), one.high)


def _distributions(space: Any, optuna: Any) -> dict[str, Any]:
  if not isinstance(space, Mapping) or not space:
    raise ConfigError(f'space() returned {space!r}; expected a dict of ranges by key')
  distributions = {}
  for key, one in space.items():
    if isinstance(one, Uniform):
      distributions[key] = optuna.FloatDistribution(one.low, one.high, log=one.log)
    elif isinstance(one, Choice):
      if len(_by_name(one)) < len(one.values):
        raise ConfigError(
          f'space(): {key!r}: {one.values}; expected values that differ in writing'
        )
      distributions[key] = optuna.CategoricalDistribution(list(_by_name(one)))
    else:
      raise ConfigError(
        f'space(): {key!r}: {one!r}; expected sweeps.uniform, log_uniform or choice'
      )
  return distributions


def _by_name(one: Choice) -> dict[str, Any]:
  """Returns the values by what they are called in the study, where tuples can't be."""
  return {str(value): value for value in one.values}


def _sampler(samplers: Any, name: str, seed: int) -> Any:
  kind, needs = _SAMPLERS[name]
  options: dict[str, Any] = {'seed': seed}
  if name == 'tpe':
    options['constant_liar'] = True  # several trials run at once
  if needs and not importlib.util.find_spec(needs):
    raise ConfigError(f'--sampler={name} needs {needs}: pip install {needs}')
  with warnings.catch_warnings(action='ignore'):  # some are called experimental
    return getattr(samplers, kind)(**options)
