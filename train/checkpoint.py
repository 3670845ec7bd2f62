"""Checkpoints of a run: the newest good one, and those to come.

checkpoints/20/state/               every leaf of the state, by its path
checkpoints/20/progress/metadata    JSON: the run's progress, and the checksums
checkpoints/20.bad/                 a step that was not good, set aside
"""

import contextlib
import dataclasses
import logging
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import orbax.checkpoint as ocp

from .checksum import checksums, named, paths
from .errors import CheckpointError, Damaged, in_few_words
from .metrics import logger
from .saved import PROGRESS, STATE, note, read_step
from .state import TrainState
from .together import as_process_0, together

_FOLDER = 'checkpoints'


class Checkpoints:
  """Saves the state of a run beside its training.

  Args:
    workdir: the run's folder.
    keep: how many of the newest checkpoints stay.

  Raises:
    CheckpointError: from any method: a checkpoint can't be written.
  """

  def __init__(self, workdir: str, keep: int) -> None:
    self._folder = os.path.join(os.path.abspath(workdir), _FOLDER)
    self._saving: int | None = None  # the step being written
    _quieten_orbax()
    with self._blame():
      self._manager = ocp.CheckpointManager(
        self._folder,
        options=ocp.CheckpointManagerOptions(
          max_to_keep=keep,
          cleanup_tmp_directories=True,  # what a killed save left
        ),
        item_names=(STATE, PROGRESS),
      )

  def save(self, step: int, state: TrainState, progress: dict[str, Any]) -> None:
    """Starts saving; training goes on while the files are written.

    That a write failed is known, and raised, when it ends: by the next `save` or by
    `close`.

    Args:
      step: the step; it is not saved yet.
      state: what is saved, and its checksums with it.
      progress: what else the run needs to go on, as JSON can hold it.
    """
    with self._blame():
      self._manager.wait_until_finished()
    items = {
      STATE: ocp.args.StandardSave(named(state)),
      PROGRESS: ocp.args.JsonSave(note(progress, checksums(state))),
    }
    self._saving = step
    with self._blame():
      self._manager.save(step, args=ocp.args.Composite(**items), force=True)

  def close(self) -> None:
    """Waits until what is being saved is on disk."""
    with self._blame():
      self._manager.wait_until_finished()
      self._manager.close()

  @contextlib.contextmanager
  def _blame(self) -> Iterator[None]:
    try:
      yield
    except Exception as e:
      failed = f'step {self._saving}' if self._saving is not None else 'anything'
      before = ''
      with contextlib.suppress(OSError):
        steps = [str(s) for s in _steps(self._folder) if s != self._saving]
        listed = ', '.join(steps) or 'none'
        before = f'. Saved before, and as they were: steps {listed}'
      raise CheckpointError(
        f'can not save {failed} in {self._folder!r}: {in_few_words(e)}{before}'
      ) from e


def latest_step(workdir: str) -> int | None:
  """Returns the newest step saved in a run's folder, good or not, or None."""
  return max(_steps(os.path.join(workdir, _FOLDER)), default=None)


def restore_newest(
  workdir: str, like: TrainState
) -> tuple[int, TrainState, dict[str, Any]] | None:
  """Returns the newest good checkpoint of a run, and sets aside what is newer.

  A checkpoint is good if it can be read and has the checksums that it was saved with.
  Newer ones that are not are renamed, `20` to `20.bad`, so that these steps are saved
  again; each is logged. One that could not be read for another reason, such as
  permissions, is neither passed over nor renamed. All processes call it and get the
  same step.

  Args:
    workdir: the run's folder.
    like: a state of the shapes, dtypes and shardings wanted; those that it was saved
      with, by any number of devices and processes, need not be the same.

  Returns:
    The step, the state and the `progress` given to `save`; None if nothing is saved.

  Raises:
    CheckpointError: there are checkpoints, but none is good, or one could not be read.
      They stay as they are.
  """
  folder = os.path.join(os.path.abspath(workdir), _FOLDER)

  def choose(saved: dict[str, int]) -> TrainState:
    if others := sorted(saved.keys() - set(paths(like))):
      raise Damaged(f'{others[0]} is saved, and is not part of this run')
    return like

  found = _newest_good(folder, choose)
  if found is None:
    return None
  step, state, progress, bad = found
  for newer, reason in bad.items():
    aside = os.path.join(folder, f'{newer}.bad')
    with together():
      if jax.process_index() == 0:
        aside = _free_name(aside)
        _rename(os.path.join(folder, str(newer)), aside)
    logger().info(
      'checkpoint %d is bad (%s); set aside as %s, resuming from step %d',
      newer, reason, aside, step,
    )  # fmt: skip
  return step, state, progress


def restore_variables(workdir: str, like: Any) -> Any:
  """Returns the model's variables from the newest good checkpoint; changes no file.

  They are the moving averages where the run keeps these. The optimizer's state, which
  can be twice their size, is not read.

  Args:
    workdir: the run's folder.
    like: `{collection: ...}` of the shapes, dtypes and shardings wanted.

  Raises:
    CheckpointError: there are checkpoints, but none is good, or one could not be read.
    FileNotFoundError: there is none.
  """
  folder = os.path.join(os.path.abspath(workdir), _FOLDER)

  def choose(saved: dict[str, int]) -> Any:
    averaged = any(name.startswith('ema/') for name in saved)
    return {'ema': like} if averaged else like

  found = _newest_good(folder, choose)
  if found is None:
    raise FileNotFoundError(f'no checkpoint in {folder!r}')
  step, tree, _, bad = found
  for newer, reason in bad.items():
    logger().info(
      'checkpoint %d is bad (%s); reading step %d instead', newer, reason, step
    )
  return tree.get('ema', tree)


def _newest_good(
  folder: str, choose: Callable[[dict[str, int]], Any]
) -> tuple[int, Any, dict[str, Any], dict[int, str]] | None:
  """Returns the newest good step, its tree and progress, and why newer ones are bad."""
  bad: dict[int, str] = {}
  with _reading(folder), together():
    steps = _steps(folder)
  for step in as_process_0(steps):
    path = os.path.join(folder, str(step))
    try:
      with _reading(path):
        tree, progress = read_step(path, choose)
      return step, tree, progress, bad
    except Damaged as e:
      bad[step] = str(e)
  if not bad:
    return None
  reasons = '; '.join(f'{step}: {reason}' for step, reason in bad.items())
  raise CheckpointError(
    f'no checkpoint in {folder!r} is good; they stay as they are. {reasons}'
  )


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
  """Names what could not be read, though it may be good."""
  try:
    yield
  except Damaged:
    raise
  except CheckpointError as e:
    raise CheckpointError(
      f'can not read {path!r}: {e}. It may be good, and stays as it is'
    ) from e


def _steps(folder: str) -> list[int]:
  """Returns the steps in a folder, newest first."""
  try:
    with os.scandir(folder) as entries:
      steps = [int(e.name) for e in entries if e.name.isdecimal() and e.is_dir()]
  except (FileNotFoundError, NotADirectoryError):
    return []
  return sorted(steps, reverse=True)


def _rename(path: str, name: str) -> None:
  try:
    os.rename(path, name)
  except OSError as e:
    raise CheckpointError(f'can not set {path!r} aside: {e.strerror}') from e


def _free_name(path: str) -> str:
  name, n = path, 0
  while os.path.lexists(name):
    n += 1
    name = f'{path}.{n}'
  return name


def _quieten_orbax() -> None:
  """Keeps what orbax prints out of standard error.

  It logs what it then raises, and each signal to stop several times; and when one write
  fails, it asks for no other's result, which asyncio prints, and closes the event loop
  that the others report to, which print that each.
  """
  for name in ('absl', 'asyncio'):
    logging.getLogger(name).addFilter(_is_not_orbaxs)
  if not isinstance(sys.unraisablehook, _UnlessItsLoopIsClosed):
    sys.unraisablehook = _UnlessItsLoopIsClosed(sys.unraisablehook)


def _is_not_orbaxs(record: logging.LogRecord) -> bool:
  # What asyncio logs names the file of the coroutine.
  return 'orbax' not in (
    record.getMessage() if record.name == 'asyncio' else record.pathname
  )


@dataclasses.dataclass
class _UnlessItsLoopIsClosed:
  otherwise: Callable[[Any], Any]

  def __call__(self, unraisable: Any) -> None:
    if str(unraisable.exc_value) != 'Event loop is closed':
      self.otherwise(unraisable)
