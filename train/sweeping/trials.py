"""One trial: the ordinary command in a process of its own, and its state on disk.

A trial is a run in `ROOT/NAME`. Beside it, `ROOT/trials/NAME.json` has its state,
`NAME.log` what its processes wrote, `NAME.stop` why it is to stop, and `NAME.lock` is
locked as long as one of its processes lives, whichever machine that is on.
"""

import contextlib
import dataclasses
import datetime
import fcntl
import hashlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from ..files import write
from ..flags import find
from ..history import read
from .plan import Trial, arguments

# After a SIGTERM a run ends with its step or evaluation, and saves.
_GRACE_SECONDS = 120
_POLL_SECONDS = 0.2
# Run by Python before the trial: what it says holds for the program it becomes. The
# kernel kills that with our worker, so none trains on when Ray starts it elsewhere.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
if os.getppid() == int(sys.argv[1]):
  os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclasses.dataclass(frozen=True)
class Job:
  """All that a worker needs to know to run a trial.

  Attributes:
    root: the sweep's folder.
    trial: which of its trials.
    config: the config file's path, or a shipped one's bare name.
    digest: of that file; see `digest`.
    common: overrides that all trials have.
    cwd: the folder that relative paths start from.
    retries: how often a trial that fails is started again.
    environment: more variables of the trial's.
  """

  root: str
  trial: Trial
  config: str
  digest: str
  common: dict[str, Any]
  cwd: str
  retries: int
  environment: dict[str, str]

  @property
  def arguments(self) -> list[str]:
    """What Python is called with."""
    overrides = self.common | self.trial.overrides
    workdir = os.path.join(self.root, self.trial.name)
    # One process: in a pod or a Slurm job it would else look for peers.
    return [*arguments(self.config, workdir, overrides), '--distributed=false']


def digest(config: str) -> str:
  """Returns a checksum of a config file, given as a path or a bare name."""
  with open(find(config), 'rb') as f:
    return hashlib.sha256(f.read()).hexdigest()


def path(root: str, name: str, suffix: str) -> str:
  """Returns the path of what is kept of a trial beside its run's folder."""
  return os.path.join(root, 'trials', f'{name}.{suffix}')


def record(root: str, name: str) -> dict[str, Any]:
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


def pause(root: str) -> None:
  """Has all trials of a sweep save and end, for now."""
  write(_paused(root), '')


def unpause(root: str) -> None:
  """Has trials run again that are started from here on."""
  with contextlib.suppress(FileNotFoundError):
    os.remove(_paused(root))


def _paused(root: str) -> str:
  return os.path.join(root, 'trials', 'pause')


def note_failure(job: 'Job', why: str) -> None:
  """Notes that a trial failed whose worker was lost, and can not say so."""
  noted = record(job.root, job.trial.name)
  if noted['state'] not in ('finished', 'stopped'):
    _note(job, noted | {'state': 'failed', 'reason': why})


def state(root: str, name: str) -> str:
  """Returns how a trial is, from disk alone.

  'finished', 'stopped' (early), 'failed', 'running', 'interrupted' or 'waiting'. A run
  that was started by other means, or whose worker could note nothing more, has finished
  when it has saved and evaluated its last step.
  """
  noted = record(root, name)['state']
  if noted in ('finished', 'stopped'):
    return noted
  workdir = os.path.join(root, name)
  if os.path.exists(path(root, name, 'lock')) and _is_locked(path(root, name, 'lock')):
    return 'running'
  if is_complete(workdir):
    return 'finished'
  if noted == 'failed':
    return 'failed'
  if os.path.exists(path(root, name, 'stop')):
    return 'stopped'
  return (
    'interrupted' if os.path.exists(os.path.join(workdir, 'config.json')) else noted
  )


def reason(root: str, name: str, state: str) -> str:
  """Returns why a trial failed or was stopped, or ''."""
  if state == 'stopped':
    with open(path(root, name, 'stop')) as f:
      return json.load(f)['reason']
  return record(root, name)['reason'] if state == 'failed' else ''


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
      m['step'] == last and any(k.startswith('eval/') for k in m) for m in read(workdir)
    )
  )


def environment(cpus: float, gpus: float, tpus: float) -> dict[str, str]:
  """Returns the variables that keep a trial to its share of a machine.

  Without them each trial's XLA starts a thread for every core, and takes three quarters
  of a GPU's memory, or a GPU that it was not given.
  """
  count = str(max(1, math.ceil(cpus)))
  variables = {'NPROC': count, 'OMP_NUM_THREADS': count}
  if not gpus and not tpus and 'JAX_PLATFORMS' not in os.environ:
    variables['JAX_PLATFORMS'] = 'cpu'
  if 0 < gpus < 1:
    variables['XLA_PYTHON_CLIENT_MEM_FRACTION'] = f'{0.9 * gpus:.3f}'
  return variables


def run(job: Job) -> str:
  """Runs a trial to its end, unless it has ended already, and returns its state.

  A process that fails is started again, `retries` times, but not after status 2: the
  config is wrong then.
  """
  root, name = job.root, job.trial.name
  os.makedirs(os.path.join(root, 'trials'), exist_ok=True)
  with _hold(path(root, name, 'lock')) as held:
    noted = record(root, name)
    if noted['state'] in ('finished', 'stopped'):
      return noted['state']
    noted |= {'overrides': job.trial.overrides, 'reason': ''}
    for left in reversed(range(job.retries + 1)):
      if digest(job.config) != job.digest:
        noted |= {'state': 'failed', 'reason': f'{job.config} has changed meanwhile'}
      elif os.path.exists(path(root, name, 'stop')):
        noted |= {'state': 'stopped'}
      elif os.path.exists(_paused(root)):
        noted |= {'state': 'interrupted' if noted['attempts'] else 'waiting'}
      else:
        _attempt(job, noted, held)
        _judge(job, noted, left)
      _note(job, noted)
      if noted['state'] != 'running':
        break
  return noted['state']


def _judge(job: Job, noted: dict[str, Any], left: int) -> None:
  """Sets the state after an attempt."""
  root, name = job.root, job.trial.name
  status, workdir = noted['attempts'][-1]['status'], os.path.join(root, name)
  if status == 0 and is_complete(workdir):
    noted |= {'state': 'finished', 'reason': ''}
  elif os.path.exists(path(root, name, 'stop')):
    noted |= {'state': 'stopped', 'reason': ''}
  elif os.path.exists(_paused(root)):
    noted |= {'state': 'interrupted', 'reason': ''}
  else:
    if status == 0:
      last = max((m['step'] for m in read(workdir)), default=0)
      noted['reason'] = f'it ended before its last step, after step {last} or later'
    elif status < 0:
      noted['reason'] = f'it was killed by {signal.Signals(-status).name}'
    else:
      noted['reason'] = f'exit status {status}: {_last_line(path(root, name, "log"))}'
    noted['state'] = 'running' if left and status != 2 else 'failed'


def _last_line(file: str) -> str:
  """Returns the last of a log, which says what went wrong, of a trial that failed."""
  with open(file, errors='replace') as f:
    return f.read().rstrip().splitlines()[-1].removeprefix('convscan: ')[:100]


def _attempt(job: Job, noted: dict[str, Any], held: int) -> None:
  """Starts the command and waits for its end, which it notes."""
  root, name = job.root, job.trial.name
  command = [sys.executable, *job.arguments]
  if sys.platform == 'linux':
    wrapper = [sys.executable, '-I', '-S', '-c', _DIE_WITH_PARENT, str(os.getpid())]
    command = wrapper + command
  attempt: dict[str, Any] = {
    'host': socket.gethostname(),
    'started': time.time(),
    'ended': None,
    'status': None,
  }
  for earlier in noted['attempts']:
    earlier['ended'] = ended(root, name, earlier)
  noted['state'] = 'running'
  noted['attempts'].append(attempt)
  _note(job, noted)
  with open(path(root, name, 'log'), 'a') as log:
    now = datetime.datetime.now().isoformat(' ', 'seconds')
    count = len(noted['attempts'])
    print(f'--- attempt {count}, {now}, on {attempt["host"]}', file=log, flush=True)
    process = subprocess.Popen(
      command,
      stdin=subprocess.DEVNULL,
      stdout=log,
      stderr=subprocess.STDOUT,
      cwd=job.cwd if os.path.isdir(job.cwd) else None,
      env=os.environ | job.environment,
      start_new_session=True,  # Ctrl-C is for the driver, which then ends us
      pass_fds=[held],  # so that the lock is held as long as the process lives
    )
    try:
      attempt['status'] = _wait(process, path(root, name, 'stop'), _paused(root))
    except BaseException:  # our own end is asked for
      _end(process)
      raise
    finally:
      attempt['ended'] = time.time()
      _note(job, noted)


def _wait(process: subprocess.Popen[bytes], *stops: str) -> int:
  while True:
    with contextlib.suppress(subprocess.TimeoutExpired):
      return process.wait(_POLL_SECONDS)
    if any(map(os.path.exists, stops)):
      return _end(process)


def _end(process: subprocess.Popen[bytes]) -> int:
  process.terminate()
  try:
    return process.wait(_GRACE_SECONDS)
  except subprocess.TimeoutExpired:
    process.kill()
    return process.wait()


def _note(job: Job, noted: dict[str, Any]) -> None:
  write(path(job.root, job.trial.name, 'json'), json.dumps(noted, indent=2) + '\n')


@contextlib.contextmanager
def _hold(lock: str) -> Iterator[int]:
  """Holds a lock, which is free when all processes that inherited it have ended."""
  with open(lock, 'w') as file:
    while True:
      try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        break
      except BlockingIOError:
        time.sleep(_POLL_SECONDS)
    yield file.fileno()


def _is_locked(lock: str) -> bool:
  with open(lock) as file:
    try:
      fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
      return True
  return False
