"""A sweep on disk: how each trial stands, and what is asked of those that run.

A trial is a run in `ROOT/NAME`. Beside it, `ROOT/trials/NAME.json` has its state,
`NAME.log` what its processes wrote, `NAME.stop` why it is to stop, and `NAME.lock` is
locked as long as one of its processes lives, whichever machine that is on.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from typing import Any

from .. import history
from ..files import write

_POLL_SECONDS = 0.2


def path(root: str, name: str, suffix: str) -> str:
  """Returns the path of what is kept of a trial beside its run's folder."""
  return os.path.join(root, 'trials', f'{name}.{suffix}')


def read(root: str, name: str) -> dict[str, Any]:
  """Returns what is noted of a trial: its state and attempts."""
  try:
    with open(path(root, name, 'json')) as f:
      return json.load(f)
  except FileNotFoundError:
    return {'state': 'waiting', 'reason': '', 'attempts': []}


def ended(root: str, name: str, attempt: dict[str, Any]) -> float:
  """Returns when an attempt ended.

  Of one whose worker was lost, the log says when it wrote last.
  """
  if attempt['ended'] is not None:
    return attempt['ended']
  try:
    return os.path.getmtime(path(root, name, 'log'))
  except FileNotFoundError:
    return attempt['started']


def request_stop(root: str, name: str, why: str) -> None:
  """Has a trial end, now and for good; whoever runs it sees that."""
  write(path(root, name, 'stop'), json.dumps({'reason': why}) + '\n')


def is_to_stop(root: str, name: str) -> bool:
  """Returns whether a trial is to end for good."""
  return os.path.exists(path(root, name, 'stop'))


def pause(root: str) -> None:
  """Has all trials of a sweep save and end, for now."""
  write(_pause(root), '')


def unpause(root: str) -> None:
  """Has trials run again that are started from here on."""
  with contextlib.suppress(FileNotFoundError):
    os.remove(_pause(root))


def is_paused(root: str) -> bool:
  """Returns whether trials are to save and end, for now."""
  return os.path.exists(_pause(root))


def _pause(root: str) -> str:
  return os.path.join(root, 'trials', 'pause')


def note(root: str, name: str, noted: dict[str, Any]) -> None:
  """Notes what `read` returns."""
  write(path(root, name, 'json'), json.dumps(noted, indent=2) + '\n')


def note_failure(root: str, name: str, why: str) -> None:
  """Notes that a trial failed whose worker was lost, and can not say so."""
  noted = read(root, name)
  if noted['state'] not in ('finished', 'stopped'):
    note(root, name, noted | {'state': 'failed', 'reason': why})


def state(root: str, name: str) -> str:
  """Returns how a trial is, from disk alone.

  'finished', 'stopped' (early), 'failed', 'running', 'interrupted' or 'waiting'. A run
  that was started by other means, or whose worker could note nothing more, has finished
  when it has saved and evaluated its last step.
  """
  noted = read(root, name)['state']
  if noted in ('finished', 'stopped'):
    return noted
  workdir = os.path.join(root, name)
  if os.path.exists(path(root, name, 'lock')) and is_locked(path(root, name, 'lock')):
    return 'running'
  if is_complete(workdir):
    return 'finished'
  if noted == 'failed':
    return 'failed'
  if is_to_stop(root, name):
    return 'stopped'
  return (
    'interrupted' if os.path.exists(os.path.join(workdir, 'config.json')) else noted
  )


def reason(root: str, name: str, state: str) -> str:
  """Returns why a trial failed or was stopped, or ''."""
  if state == 'stopped':
    with open(path(root, name, 'stop')) as f:
      return json.load(f)['reason']
  return read(root, name)['reason'] if state == 'failed' else ''


def num_steps(workdir: str) -> int | None:
  """Returns the last step of a run, or None before it has begun."""
  return config_value(workdir, 'num_train_steps')


def config_value(workdir: str, key: str) -> Any:
  """Returns a value of a run's config, by a key such as 'optimizer.name'.

  None before the run has begun, or where its config has no such key; lists are tuples.
  """
  try:
    with open(os.path.join(workdir, 'config.json')) as f:
      value = json.load(f)
  except FileNotFoundError:
    return None
  for part in key.split('.'):
    value = value.get(part) if isinstance(value, dict) else None
  return tuple(value) if isinstance(value, list) else value


def is_complete(workdir: str) -> bool:
  """Returns whether a run has evaluated and saved its last step."""
  last = num_steps(workdir)
  return (
    last is not None
    and os.path.isdir(os.path.join(workdir, 'checkpoints', str(last)))
    and any(
      m['step'] == last and any(k.startswith('eval/') for k in m)
      for m in history.read(workdir)
    )
  )


@contextlib.contextmanager
def hold(lock: str) -> Iterator[int]:
  """Holds a lock, which is free when all processes that inherited it have ended."""
  with open(lock, 'w') as file:
    while True:
      try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        break
      except BlockingIOError:
        time.sleep(_POLL_SECONDS)
    yield file.fileno()


def is_locked(lock: str) -> bool:
  """Returns whether some process holds a lock."""
  with open(lock) as file:
    try:
      fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
      return True
  return False
