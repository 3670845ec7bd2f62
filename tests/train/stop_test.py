"""Runs that are told to stop, and runs that lose a process, as real processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

RUN = [
  '--config=digits_lenet',
  '--config.model.dropout_rate=0.5',
  '--config.num_train_steps=400',
  '--config.checkpoint_every_steps=400',
  '--config.eval_every_steps=400',
  '--config.log_every_steps=10',
  '--config.optimizer.warmup_steps=5',
]


def _start(workdir, *arguments, devices=1):
  flags = f'--xla_force_host_platform_device_count={devices}'
  return subprocess.Popen(
    [sys.executable, '-m', 'convscan.train.main', *RUN, f'--workdir={workdir}',
     *arguments],
    # jax, as this process imported it, has set how much C++ says.
    env=os.environ | {'XLA_FLAGS': flags, 'TF_CPP_MIN_LOG_LEVEL': '3'},
    stderr=subprocess.PIPE, text=True,
  )  # fmt: skip


def _pair(workdir, *arguments):
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    address = f'127.0.0.1:{s.getsockname()[1]}'
  shared = f'--coordinator_address={address}', '--num_processes=2', *arguments
  return [_start(workdir, *shared, f'--process_id={i}', devices=4) for i in range(2)]


def _wait_for_steps(workdir, process):
  """Waits until a run is under way: it has logged a step."""
  deadline = time.monotonic() + 120
  path = workdir / 'metrics.jsonl'
  while not (path.exists() and path.read_text()):
    assert process.poll() is None, process.stderr.read()
    assert time.monotonic() < deadline
    time.sleep(0.01)


def _end(*processes, timeout=60):
  """Returns what each said, and ends what is left."""
  try:
    return [process.communicate(timeout=timeout)[1] for process in processes]
  finally:
    for process in processes:
      process.kill()


def _lines(workdir):
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  return [
    {k: v for k, v in json.loads(line).items() if not k.startswith('perf/')}
    for line in lines
  ]


def _sums(workdir, step):
  """The checksums of a saved step."""
  path = workdir / 'checkpoints' / str(step) / 'progress' / 'metadata'
  return json.loads(path.read_text())['checksums']


def _saved(workdir):
  return sorted(int(path.name) for path in (workdir / 'checkpoints').iterdir())


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('run') / 'undisturbed'
  process = _start(workdir)
  (said,) = _end(process, timeout=240)
  assert process.returncode == 0, said
  return workdir


@pytest.mark.parametrize(
  ('number', 'status', 'flags'),
  [
    (signal.SIGTERM, 0, []),
    (signal.SIGINT, 130, []),
    pytest.param(signal.SIGTERM, 0, ['--nodistributed'], marks=pytest.mark.long),
    pytest.param(signal.SIGINT, 130, ['--nodistributed'], marks=pytest.mark.long),
  ],
)
def test_a_run_told_to_stop_saves_and_ends_with_the_same_bits(
  undisturbed, tmp_path, number, status, flags
):
  process = _start(tmp_path / 'run', *flags)
  _wait_for_steps(tmp_path / 'run', process)
  began = time.monotonic()
  process.send_signal(number)
  (said,) = _end(process)
  assert process.returncode == status, said
  assert time.monotonic() - began < 20  # a preempted TPU has 30 s
  (step,) = _saved(tmp_path / 'run')
  assert 10 <= step < 400
  assert f'stopped: step {step} of 400 is saved' in said
  assert 'Traceback' not in said

  process = _start(tmp_path / 'run', *flags)
  (said,) = _end(process, timeout=240)
  assert process.returncode == 0, said
  assert f'resuming from step {step}' in said
  expected = _sums(undisturbed, 400)
  assert len(expected) > 20
  assert _sums(tmp_path / 'run', 400) == expected
  assert _lines(tmp_path / 'run') == _lines(undisturbed)


def test_a_second_ctrl_c_ends_a_run_at_once(tmp_path):
  process = _start(tmp_path / 'run')
  _wait_for_steps(tmp_path / 'run', process)
  for _ in range(2):
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
  (said,) = _end(process)
  assert process.returncode == 130, said
  assert 'stopped' not in said
  assert 'Traceback' not in said


def test_a_signal_to_one_process_stops_both_at_one_step(tmp_path):
  first, second = _pair(tmp_path / 'run')
  _wait_for_steps(tmp_path / 'run', first)
  second.send_signal(signal.SIGTERM)
  said, _ = _end(first, second)
  assert (first.returncode, second.returncode) == (0, 0), said
  (step,) = _saved(tmp_path / 'run')
  assert f'stopped: step {step} of 400 is saved' in said


@pytest.mark.parametrize('dead', [1, pytest.param(0, marks=pytest.mark.long)])
def test_a_dead_process_ends_the_other_within_the_heartbeat(tmp_path, dead):
  pair = _pair(tmp_path / 'run', '--heartbeat_seconds=5')
  _wait_for_steps(tmp_path / 'run', pair[0])
  pair[dead].kill()
  began = time.monotonic()
  said = _end(*pair)[1 - dead]
  assert time.monotonic() - began < 15
  assert pair[1 - dead].returncode == 1
  assert 'another process of this run has ended' in said.splitlines()[-1]
  for noise in ('Traceback', '***', 'Current thread', 'coordination_service'):
    assert noise not in said


@pytest.mark.parametrize(
  ('flags', 'words'),
  [
    (['--num_processes=2'], '--coordinator_address, --num_processes and'),
    (['--heartbeat_seconds=0'], '--heartbeat_seconds: 0; expected 1 or more'),
    (
      ['--coordinator_address=localhost:1', '--num_processes=2', '--process_id=2'],
      '--process_id: 2; expected 0 to 1',
    ),
  ],
)
def test_processes_that_do_not_fit(tmp_path, flags, words):
  process = _start(tmp_path / 'run', *flags)
  (said,) = _end(process)
  assert process.returncode == 2
  assert words in said
  assert len(said.strip().splitlines()) == 1
