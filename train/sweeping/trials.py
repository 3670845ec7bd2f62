"""One trial: the ordinary command in a process of its own."""

import contextlib
import dataclasses
import datetime
import hashlib
import math
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from .. import history
from ..flags import find
from . import records
from .plan import Trial, arguments

# After a SIGTERM a run ends with its step or evaluation, and saves.
_GRACE_SECONDS = 120
_POLL_SECONDS = 0.2
_ATTEMPT = '--- attempt '
# Our own last line, or that of a traceback.
_ERROR = re.compile(r'convscan: |[\w.]*(Error|Exception)\b')
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
  with records.hold(records.path(root, name, 'lock')) as held:
    noted = records.read(root, name)
    if noted['state'] in ('finished', 'stopped'):
      return noted['state']
    noted |= {'overrides': job.trial.overrides, 'reason': ''}
    for left in reversed(range(job.retries + 1)):
      if digest(job.config) != job.digest:
        noted |= {'state': 'failed', 'reason': f'{job.config} has changed meanwhile'}
      elif records.is_to_stop(root, name):
        noted |= {'state': 'stopped'}
      elif records.is_paused(root):
        noted |= {'state': 'interrupted' if noted['attempts'] else 'waiting'}
      else:
        _attempt(job, noted, held)
        _judge(job, noted, left)
      records.note(root, name, noted)
      if noted['state'] != 'running':
        break
  return noted['state']


def _judge(job: Job, noted: dict[str, Any], left: int) -> None:
  """Sets the state after an attempt."""
  root, name = job.root, job.trial.name
  status, workdir = noted['attempts'][-1]['status'], os.path.join(root, name)
  if status == 0 and records.is_complete(workdir):
    noted |= {'state': 'finished', 'reason': ''}
  elif records.is_to_stop(root, name):
    noted |= {'state': 'stopped', 'reason': ''}
  elif records.is_paused(root):
    noted |= {'state': 'interrupted', 'reason': ''}
  else:
    if status == 0:
      last = max((m['step'] for m in history.read(workdir)), default=0)
      noted['reason'] = f'it ended before its last step, after step {last} or later'
    elif status < 0:
      noted['reason'] = f'it was killed by {signal.Signals(-status).name}'
    else:
      said = _last_word(records.path(root, name, 'log'))
      noted['reason'] = f'exit status {status}{said}'
    noted['state'] = 'running' if left and status != 2 else 'failed'


def _last_word(file: str) -> str:
  """Returns what the last attempt said was wrong, after a colon, or ''."""
  with open(file, errors='replace') as f:
    said = [line for line in f.read().splitlines() if line.strip()]
  begun = max(i for i, line in enumerate(said) if line.startswith(_ATTEMPT))
  errors = [line for line in said[begun + 1 :] if _ERROR.match(line)]
  if not errors:
    return ''
  sentence, _, _ = errors[-1].removeprefix('convscan: ').partition('. ')
  return f': {sentence[:150]}'


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
    earlier['ended'] = records.ended(root, name, earlier)
  noted['state'] = 'running'
  noted['attempts'].append(attempt)
  records.note(root, name, noted)
  with open(records.path(root, name, 'log'), 'a') as log:
    now = datetime.datetime.now().isoformat(' ', 'seconds')
    count = len(noted['attempts'])
    print(f'{_ATTEMPT}{count}, {now}, on {attempt["host"]}', file=log, flush=True)
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
      attempt['status'] = _wait(
        process, lambda: records.is_to_stop(root, name) or records.is_paused(root)
      )
    except BaseException:  # our own end is asked for
      _end(process)
      raise
    finally:
      attempt['ended'] = time.time()
      records.note(root, name, noted)


def _wait(process: subprocess.Popen[bytes], is_to_end: Callable[[], bool]) -> int:
  while True:
    with contextlib.suppress(subprocess.TimeoutExpired):
      return process.wait(_POLL_SECONDS)
    if is_to_end():
      return _end(process)


def _end(process: subprocess.Popen[bytes]) -> int:
  process.terminate()
  try:
    return process.wait(_GRACE_SECONDS)
  except subprocess.TimeoutExpired:
    process.kill()
    return process.wait()
