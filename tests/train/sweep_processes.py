"""Sweeps as real processes, and all that descends from them, by /proc."""

import contextlib
import csv
import os
import pathlib
import signal
import subprocess
import sys
import time
import uuid

from convscan.train import history
from convscan.train.sweeping import records

STEPS = 20
OVERRIDES = [
  f'--config.num_train_steps={STEPS}',
  '--config.eval_every_steps=20',
  '--config.checkpoint_every_steps=10',
  '--config.log_every_steps=20',
  '--config.optimizer.warmup_steps=0',
]


class Sweep:
  """The driver of a sweep of 8, and all that descends from it; killed at the end."""

  def __init__(self, root, *arguments, environment=None):
    self.root, self.mark = root, f'CONVSCAN_TEST={uuid.uuid4()}'
    self._known = set()
    name, _, value = self.mark.partition('=')
    self._log = root.with_name(f'driver-{time.monotonic_ns()}')
    # A shell's background job has SIGINT ignored, and so would all that it starts.
    command = ['env', '--default-signal=INT', sys.executable]
    command += ['-m', 'convscan.train.sweep', '--config=digits_lenet']
    # Two trials at once, however many cores there are.
    command += [f'--workdir={root}', *OVERRIDES, '--parallel=2', *arguments]
    marked = {name: value, 'RAY_OVERRIDE_RESOURCES': '{"CPU": 2}'}
    with self._log.open('w') as log:
      self.process = subprocess.Popen(
        command,
        env=os.environ | marked | (environment or {}),
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
      )

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    for pid in self.alive() | {self.process.pid}:
      with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    self.process.wait()

  def said(self):
    return self._log.read_text()

  def alive(self):
    """Returns the processes that descend from the driver, whoever has adopted them."""
    self._known |= tree(self.process.pid)
    old = {pid for pid, began in self._known if starttime(pid) == began}
    return old | processes(self.mark)

  def wait_until(self, happened, seconds=200):
    deadline = time.monotonic() + seconds
    while not happened():
      assert time.monotonic() < deadline, self.said()
      assert self.process.poll() is None, self.said()
      time.sleep(0.05)


def tree(root):
  """Returns the descendants of a process that it has now, with when each began.

  Ray's agents write over their environments.
  """
  children = {}
  for path in pathlib.Path('/proc').glob('[0-9]*'):
    with contextlib.suppress(OSError):
      children.setdefault(parent(path.name), []).append(int(path.name))
  found, front = set(), [root]
  while front:
    front = [child for pid in front for child in children.get(pid, [])]
    found |= {(pid, starttime(pid)) for pid in front}
  return found


def _stat(pid):
  _, _, words = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')
  return words.split()


def parent(pid):
  return int(_stat(pid)[1])


def starttime(pid):
  """Returns when a process began; None where it is no more, or only waited for."""
  try:
    state, *words = _stat(pid)
  except OSError:
    return None
  return None if state == 'Z' else words[18]


def processes(mark):
  """Returns the processes that have a variable in their environment."""
  found = set()
  for path in pathlib.Path('/proc').glob('[0-9]*/environ'):
    try:
      if mark.encode() in path.read_bytes().split(b'\0'):
        found.add(int(path.parent.name))
    except OSError:  # it has ended
      continue
  return found


def command_of(pid):
  try:
    return pathlib.Path(f'/proc/{pid}/cmdline').read_bytes().decode().split('\0')
  except OSError:
    return []


def attempts(root):
  """Returns how often each trial was started, by its log."""
  return {
    path.stem: path.read_text().count('--- attempt ')
    for path in (root / 'trials').glob('*.log')
  }


def summary(root):
  with (root / 'summary.csv').open() as f:
    return list(csv.DictReader(f))


def left(sweep, seconds, but=()):
  """Waits for the end of a driver's processes, and returns those that do not end."""
  deadline = time.monotonic() + seconds
  while True:
    commands = [command_of(pid) for pid in sweep.alive()]
    names = [words[0] for words in commands if words and words[0] not in but]
    if not names or time.monotonic() > deadline:
      return names
    time.sleep(0.1)


# Two idle ones of Ray's, which try to tell of the driver's death for a minute.
SLOW = ('ray::DashboardAgent', 'ray::RuntimeEnvAgent')


def trained(root):
  """Returns the newest step of each trial that has logged one."""
  histories = [history.read(str(path.parent)) for path in root.glob('*/metrics.jsonl')]
  return [lines[-1]['step'] for lines in histories if lines]


def finished(root):
  return {
    path.stem
    for path in (root / 'trials').glob('*.json')
    if '"state": "finished"' in path.read_text()
  }


def listening(pids):
  """Returns the addresses on which processes listen, as /proc/net/tcp has them."""
  inodes = {}
  for table in ('tcp', 'tcp6'):
    for line in pathlib.Path(f'/proc/net/{table}').read_text().splitlines()[1:]:
      words = line.split()
      if words[3] == '0A':  # LISTEN
        inodes[words[9]] = words[1].partition(':')[0]
  found = set()
  for pid in pids:
    for link in pathlib.Path(f'/proc/{pid}/fd').glob('*'):
      try:
        target = os.readlink(link)
      except OSError:
        continue
      if target.startswith('socket:[') and target[8:-1] in inodes:
        found.add(inodes[target[8:-1]])
  return found


def complete(root):
  folders = (path for path in root.iterdir() if path.is_dir())
  return {path.name for path in folders if records.is_complete(str(path))}


def running(sweep):
  """Returns the processes that train, by the names of their trials."""
  return {
    os.path.basename(word.partition('=')[2]): pid
    for pid in sweep.alive()
    if 'convscan.train.main' in (command := command_of(pid))
    for word in command
    if word.startswith('--workdir=')
  }
