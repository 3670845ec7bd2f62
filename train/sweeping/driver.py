"""Has the trials of a sweep run, and watches them."""

import contextlib
import dataclasses
import fcntl
import os
from collections.abc import Callable, Iterator
from typing import Protocol

from ..errors import ConfigError
from . import records, trials
from .plan import Trial
from .screen import Screen
from .stopping import Stopper
from .table import Metric, Row, failures, read_row, unknown_metric, write_csv

_POLL_SECONDS = 1.0


class Source(Protocol):
  """Where trials come from."""

  def ask(self) -> Trial | None:
    """Returns the next trial, or None after the last."""

  def tell(self, row: Row) -> None:
    """Takes what became of a trial."""

  def known(self) -> list[Trial]:
    """Returns the trials that are known so far."""


class Launcher(Protocol):
  """What runs trials."""

  def slots(self) -> int:
    """Returns how many run at once."""

  def start(self, job: trials.Job) -> None:
    """Has a trial run as soon as there is room."""

  def wait(self, seconds: float) -> dict[str, str]:
    """Returns those that ended, by name, with what was lost, if anything was."""


class Listed:
  """The trials of a `sweep()`, in its order."""

  def __init__(self, listed: list[Trial]) -> None:
    self._listed, self._next = listed, iter(listed)

  def ask(self) -> Trial | None:
    """Returns the next of them."""
    return next(self._next, None)

  def tell(self, row: Row) -> None:
    """Does nothing: what runs next does not depend on it."""

  def known(self) -> list[Trial]:
    """Returns all of them."""
    return self._listed


class Driver:
  """Asks for trials, has those run that have not ended yet, and watches them.

  It knows nothing that is not on disk: killed, it is made again and goes on.

  Args:
    root: the sweep's folder.
    source: where trials come from.
    launcher: what runs them.
    job: makes of a trial what a worker needs to know.
    parallel: how many trials are handed to the launcher at once; None for as many as it
      has room for.
    metric: that trials are compared by.
    stopper: what ends trials early, or None.
    screen: where all this is shown.
  """

  def __init__(
    self,
    root: str,
    source: Source,
    launcher: Launcher,
    job: Callable[[Trial], trials.Job],
    parallel: float | None,
    metric: Metric,
    stopper: Stopper | None,
    screen: Screen,
  ) -> None:
    self._root, self._source, self._launcher, self._job = root, source, launcher, job
    self._parallel, self._metric, self._stopper = parallel, metric, stopper
    self._screen = screen
    self._running: dict[str, Trial] = {}
    self._rows: dict[str, Row] = {}

  def run(self) -> list[Row]:
    """Runs all trials to their ends, and returns how they stand.

    Raises:
      ConfigError: the first of them to run can't be run, or has been evaluated without
        the metric; no other is started then.
    """
    self._rows = {trial.name: self._queued(trial) for trial in self._source.known()}
    if self._stopper:
      self._stopper.pass_over(self._curves())
    exhausted, passed = False, self._any_has_begun()
    metric_is_known = False
    while self._running or not exhausted:
      room = self._parallel or max(1, self._launcher.slots())
      # One alone until its config has been found good, so that a mistake that all
      # trials share is told once.
      while not exhausted and len(self._running) < (room if passed else 1):
        if not (trial := self._source.ask()):
          exhausted = True
        elif trial.name not in self._running:
          self._begin(trial)
      ended = self._launcher.wait(_POLL_SECONDS)
      self._look(ended)
      if not metric_is_known:
        metric_is_known = any(row.curve for row in self._rows.values())
        if said := unknown_metric(self._root, self._rows.values(), self._metric):
          raise ConfigError(said)
      if not passed:
        passed = self._any_has_begun()
        self._check_first(ended)
    return list(self._rows.values())

  def _queued(self, trial: Trial) -> Row:
    """Reads how a trial stands; one that failed waits to be tried again."""
    row = read_row(self._root, trial, self._metric)
    failed = row.state == 'failed'
    return dataclasses.replace(row, state='waiting', reason='') if failed else row

  def _begin(self, trial: Trial) -> None:
    row = self._rows[trial.name] = self._queued(trial)
    if row.state in ('finished', 'stopped'):
      self._source.tell(row)
    else:
      self._running[trial.name] = trial
      self._launcher.start(self._job(trial))

  def _curves(self) -> dict[str, list[tuple[int, float]]]:
    score = self._metric.score
    return {
      name: [(step, score(value)) for step, value in row.curve]
      for name, row in self._rows.items()
    }

  def _any_has_begun(self) -> bool:
    return any(row.num_steps is not None for row in self._rows.values())

  def _check_first(self, ended: dict[str, str]) -> None:
    for name in ended:
      attempts = records.read(self._root, name)['attempts']
      if attempts and attempts[-1]['status'] == 2:
        said = failures(self._root, [self._rows[name]], lines=3)
        raise ConfigError(f'the first trial can not be run, so no other is: {said}')

  def _look(self, ended: dict[str, str]) -> None:
    """Reads how those stand that run or have ended, and stops those that lose."""
    for name, lost in ended.items():
      if lost:
        records.note_failure(self._root, name, lost)
    for name, trial in self._running.items():
      # What waits has nothing new to read, and may have failed before.
      if name in ended or records.read(self._root, name)['state'] == 'running':
        self._rows[name] = read_row(self._root, trial, self._metric)
    for name in ended:
      del self._running[name]
      self._source.tell(self._rows[name])
    if self._stopper:
      curves = self._curves()
      running = [n for n in self._running if self._rows[n].state == 'running']
      finished = [n for n, row in self._rows.items() if row.state == 'finished']
      for name, why in self._stopper.losers(curves, running, finished).items():
        records.request_stop(self._root, name, why)
    rows = list(self._rows.values())
    if ended:
      write_csv(self._root, rows, self._metric)
    self._screen.show(rows)


@contextlib.contextmanager
def alone(root: str) -> Iterator[None]:
  """Keeps other drivers from a sweep.

  Raises:
    ConfigError: one is there.
  """
  folder = os.path.join(root, 'trials')
  os.makedirs(folder, exist_ok=True)
  with open(os.path.join(folder, 'driver.lock'), 'w') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise ConfigError(f'--workdir: another sweep is running in {root!r}') from None
    yield
