"""Sweeps on Ray whose driver, worker or machine ends before they do."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import uuid

import pytest
from sweep_processes import (
  SLOW,
  STEPS,
  Sweep,
  attempts,
  command_of,
  complete,
  finished,
  left,
  listening,
  parent,
  processes,
  running,
  summary,
  trained,
  tree,
)


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
      hit, pid = min(running(sweep).items())
      os.kill(parent(pid), signal.SIGKILL)  # the worker; the trial dies with it
      sweep.wait_until(lambda: command_of(pid) in ([], ['']), seconds=5)
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
  # None is saved before: what there is then was saved on the way out.
  longer = [
    f'--config.{k}=100000' for k in ('num_train_steps', 'checkpoint_every_steps')
  ]
  with Sweep(root, *longer) as sweep:
    sweep.wait_until(lambda: len(logged := trained(root)) == 2 and min(logged) >= 20)
    os.killpg(sweep.process.pid, signal.SIGINT)  # as a terminal does
    assert sweep.process.wait(120) == 130, sweep.said()
    assert left(sweep, 20) == []
    said = sweep.said()
  assert 'Traceback' not in said
  assert 'stopping: trials that run save first; the same command goes on' in said
  states = sorted(row['state'] for row in summary(root))
  assert states == ['interrupted'] * 2 + ['waiting'] * 6
  saved = {
    path.parent.parent.name: int(path.name) for path in root.glob('*/checkpoints/*')
  }
  assert len(saved) == 2
  assert min(saved.values()) >= 20


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
