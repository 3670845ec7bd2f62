"""Sweeps on Ray whose driver, worker or machine is killed."""

import contextlib
import csv
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import uuid

import pytest

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


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_a_killed_driver_goes_on_and_repeats_nothing(tmp_path):
  root = tmp_path / 'sweep'
  with Sweep(root) as killed:
    killed.wait_until(lambda: len(finished(root)) >= 2 and len(running(killed)) == 2)
    # 127.0.0.1, as it is and in IPv6.
    assert listening(killed.alive()) == {'0100007F', '0000000000000000FFFF00000100007F'}
    assert (root / 'ray_token').stat().st_mode & 0o777 == 0o600
    killed.process.kill()
    killed.process.wait()
    assert left(killed, 20, but=SLOW) == []
    # A run may be complete on disk whose end nobody lived to note.
    before, started = complete(root), attempts(root)
    assert finished(root) <= before
    assert 2 <= len(before) < 8
    with Sweep(root) as sweep:
      sweep.wait_until(lambda: len(running(sweep)) == 2)
      hit, trained = min(running(sweep).items())
      os.kill(parent(trained), signal.SIGKILL)  # the worker; the trial dies with it
      sweep.wait_until(lambda: command_of(trained) in ([], ['']), seconds=5)
      lost = hit not in complete(root)
      assert sweep.process.wait(300) == 0, sweep.said()
      assert left(sweep, 20) == []
    assert left(killed, 0, but=SLOW) == []
  rows = summary(root)
  assert [row['state'] for row in rows] == ['finished'] * 8
  assert {row['step'] for row in rows} == {str(STEPS)}
  after = attempts(root)
  assert set(after) == {row['trial'] for row in rows}
  for name, count in after.items():
    # None again that had finished, each other once more, and that one twice.
    again = (name not in before) + (name == hit and lost)
    assert count == started.get(name, 0) + again, name
  for picture in ('parallel_coordinates.png', 'metric_by_parameter.png'):
    assert (root / picture).stat().st_size > 10_000


@pytest.mark.long
@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_ctrl_c_saves_tells_how_trials_stand_and_leaves_nothing(tmp_path):
  root = tmp_path / 'sweep'
  steps = '--config.num_train_steps=100000'
  with Sweep(root, steps) as sweep:
    sweep.wait_until(lambda: len(logged := trained(root)) == 2 and min(logged) >= 20)
    os.killpg(sweep.process.pid, signal.SIGINT)  # as a terminal does
    assert sweep.process.wait(120) == 130, sweep.said()
    assert left(sweep, 20) == []
    said = sweep.said()
  assert 'Traceback' not in said
  assert 'stopping: trials that run save first; the same command goes on' in said
  states = sorted(row['state'] for row in summary(root))
  assert states == ['interrupted'] * 2 + ['waiting'] * 6
  for path in root.glob('*/checkpoints'):
    assert max(int(step.name) for step in path.iterdir()) >= 20


# Ray is told that they are there; that is all it knows of them here.
@pytest.mark.long
@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
@pytest.mark.parametrize(
  ('have', 'share', 'name', 'seen'),
  [
    ('"GPU": 2', '--gpus_per_trial=1', 'CUDA_VISIBLE_DEVICES', ['0', '1']),
    ('"GPU": 1', '--gpus_per_trial=0.5', 'CUDA_VISIBLE_DEVICES', ['0', '0']),
    ('"TPU": 4', '--tpus_per_trial=1', 'TPU_VISIBLE_CHIPS', ['0', '1']),
    ('"TPU": 4', '--tpus_per_trial=4', 'TPU_VISIBLE_CHIPS', ['0,1,2,3']),
  ],
)
def test_each_trial_sees_its_own_accelerators(have, share, name, seen, tmp_path):
  environment = {'RAY_OVERRIDE_RESOURCES': f'{{"CPU": 2, {have}}}'}
  with Sweep(tmp_path / 'sweep', share, environment=environment) as sweep:
    sweep.wait_until(lambda: len(running(sweep)) == len(seen))
    found = [
      variable.partition('=')[2]
      for pid in running(sweep).values()
      for variable in pathlib.Path(f'/proc/{pid}/environ').read_text().split('\0')
      if variable.startswith(f'{name}=')
    ]
  assert sorted(found) == seen


@pytest.mark.long
@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_a_killed_machine_s_trials_move_to_another(tmp_path):
  root, token = tmp_path / 'sweep', tmp_path / 'token'
  token.write_text('5f' * 32)
  shared = {
    'RAY_AUTH_MODE': 'token',
    'RAY_AUTH_TOKEN_PATH': str(token),
    'RAY_USAGE_STATS_ENABLED': '0',
  }
  ray = os.path.join(os.path.dirname(sys.executable), 'ray')
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    port = s.getsockname()[1]
  address = f'127.0.0.1:{port}'
  marks = [f'CONVSCAN_NODE={uuid.uuid4()}' for _ in range(2)]
  nodes = []
  try:
    roles = (
      ['--head', f'--port={port}', '--include-dashboard=false'],
      [f'--address={address}'],
    )
    for mark, role in zip(marks, roles, strict=True):
      name, _, value = mark.partition('=')
      command = [ray, 'start', *role, '--num-cpus=1', '--block']
      command += ['--min-worker-port=0', '--max-worker-port=0']  # any that are free
      command += ['--object-store-memory=100000000']
      with open(tmp_path / f'node{len(nodes)}', 'w') as log:
        nodes.append(
          subprocess.Popen(
            command,
            env=os.environ | shared | {name: value},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
          )
        )
      _wait_for(lambda log=log: 'runtime started' in pathlib.Path(log.name).read_text())
    with Sweep(root, environment=shared | {'RAY_ADDRESS': address}) as sweep:
      # Trials descend from the machines here, not from the driver.
      sweep.wait_until(lambda: finished(root) and _trains_on(marks[1]))
      before, started = finished(root), attempts(root)
      hit = _trains_on(marks[1])
      for pid in processes(marks[1]):
        with contextlib.suppress(ProcessLookupError):
          os.kill(pid, signal.SIGKILL)
      assert sweep.process.wait(600) == 0, sweep.said()
    rows, after = summary(root), attempts(root)
    assert [row['state'] for row in rows] == ['finished'] * 8
    for name, count in after.items():
      if name in before:
        assert count == started[name]
      elif name == hit:
        assert count > started[name]
  finally:
    ends = set().union(*map(processes, marks))
    for node in nodes:
      ends |= {pid for pid, _ in tree(node.pid)}
    for pid in ends:
      with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    for node in nodes:
      node.wait()


def _trains_on(mark):
  for pid in processes(mark):
    for word in command_of(pid):
      if word.startswith('--workdir='):
        return os.path.basename(word.partition('=')[2])
  return None


def _wait_for(happened, seconds=90):
  deadline = time.monotonic() + seconds
  while not happened():
    assert time.monotonic() < deadline
    time.sleep(0.1)
