"""Runs as real processes: how the tests of this folder start, watch and end them."""

import json
import os
import socket
import subprocess
import sys
import time


def free_port():
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    return s.getsockname()[1]


def lines(workdir):
  """Returns what a run wrote of what it computed: all but its speed and memory."""
  return [
    {k: v for k, v in json.loads(line).items() if not k.startswith('perf/')}
    for line in (workdir / 'metrics.jsonl').read_text().splitlines()
  ]


def saved(workdir):
  """Returns the steps in a run's folder, the oldest first."""
  return sorted(int(path.name) for path in (workdir / 'checkpoints').iterdir())


def checksums(workdir, step):
  """Returns those of a saved step; checksum_test compares them with a plain loop."""
  path = workdir / 'checkpoints' / str(step) / 'progress/metadata'
  sums = json.loads(path.read_text())['checksums']
  assert len(sums) > 20
  return sums


class Run:
  """The processes of one run, started by the command, and killed when the block ends.

  Args:
    folder: a folder; the run's is `run` in it.
    arguments: of the command, but for `--workdir`.
    count: how many processes there are.
    devices: how many virtual devices each has.
  """

  def __init__(self, folder, *arguments, count=1, devices=1):
    self.workdir = folder / 'run'
    self._errors = [folder / f'stderr{i}' for i in range(count)]
    flags = f'--xla_force_host_platform_device_count={devices}'
    environment = os.environ | {'XLA_FLAGS': flags}
    # jax, as this process imported it, has set how much C++ says.
    environment.pop('TF_CPP_MIN_LOG_LEVEL', None)
    command = [sys.executable, '-m', 'convscan.train.main', *arguments]
    command += [f'--workdir={self.workdir}']
    if count > 1:
      address = f'127.0.0.1:{free_port()}'
      command += [f'--coordinator_address={address}', f'--num_processes={count}']
    self.processes = []
    for i, path in enumerate(self._errors):
      member = [f'--process_id={i}'] if count > 1 else []
      with path.open('w') as stderr:
        self.processes.append(
          subprocess.Popen([*command, *member], env=environment, stderr=stderr)
        )

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    for process in self.processes:
      process.kill()
      process.wait()

  def said(self, index=0):
    """Returns what a process wrote to standard error so far."""
    return self._errors[index].read_text()

  def wait_until(self, happened):
    """Waits, while all processes run."""
    deadline = time.monotonic() + 120
    while not happened():
      assert time.monotonic() < deadline, self.said()
      assert all(process.poll() is None for process in self.processes), self.said()
      time.sleep(0.01)

  def wait_for_step(self, step):
    """Waits until a step is shown."""
    self.wait_until(lambda: f'step {step}/' in self.said())

  def statuses(self, timeout=240):
    """Returns with which each process ended; none with a trace of where it was."""
    statuses = [process.wait(timeout) for process in self.processes]
    for index in range(len(statuses)):
      assert 'Traceback' not in self.said(index)
      assert '***' not in self.said(index)
    return statuses


def finish(folder, *arguments, count=1, devices=1):
  """Returns the folder of a run that ended well, and what its first process said."""
  with Run(folder, *arguments, count=count, devices=devices) as run:
    assert run.statuses() == [0] * count, run.said()
    return run.workdir, run.said()
