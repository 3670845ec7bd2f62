"""Two processes train and evaluate as one does. How they end: `stop_test.py`."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from convscan.train.distributed import processes
from convscan.train.errors import ConfigError
from convscan.train.evaluate import evaluate

SMALL = [
  '--config=digits_lenet',
  '--config.model.dropout_rate=0.5',
  '--config.batch_size=512',  # steps slow enough for a signal to come in between
  '--config.num_train_steps=60',
  '--config.log_every_steps=5',
  '--config.eval_every_steps=30',
  '--config.checkpoint_every_steps=60',
  '--config.optimizer.warmup_steps=5',
]


def _free_port():
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    return s.getsockname()[1]


class Group:
  """Processes that share eight virtual devices, started by the command."""

  def __init__(self, folder, count, *arguments):
    self.workdir = folder / 'run'
    self._errors = [folder / f'stderr{i}' for i in range(count)]
    port = _free_port()
    group = [f'--coordinator_address=127.0.0.1:{port}', f'--num_processes={count}']
    devices = f'--xla_force_host_platform_device_count={8 // count}'
    self.processes = []
    for i, path in enumerate(self._errors):
      member = [*group, f'--process_id={i}'] if count > 1 else []
      with path.open('w') as stderr:
        self.processes.append(
          subprocess.Popen(
            [
              sys.executable,
              '-m',
              'convscan.train.main',
              *SMALL,
              f'--workdir={self.workdir}',
              *member,
              *arguments,
            ],
            env=os.environ | {'XLA_FLAGS': devices, 'TF_CPP_MIN_LOG_LEVEL': '3'},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
          )
        )

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    for process in self.processes:
      process.kill()
      process.wait()

  def said(self, index=0):
    return self._errors[index].read_text()

  def wait_until(self, happened):
    deadline = time.monotonic() + 120
    while not happened():
      assert time.monotonic() < deadline, self.said()
      assert all(process.poll() is None for process in self.processes), self.said()
      time.sleep(0.01)

  def statuses(self):
    statuses = [process.wait(120) for process in self.processes]
    for index in range(len(statuses)):
      assert 'Traceback' not in self.said(index)
      assert '***' not in self.said(index)
    return statuses


def _finish(folder, count, *arguments):
  with Group(folder, count, *arguments) as group:
    assert group.statuses() == [0] * count, group.said()
    return group.workdir


def _stop(folder, count, number, index, *arguments):
  """Sends a signal once step 5 is shown; returns the statuses and the step saved."""
  with Group(folder, count, *arguments) as group:
    group.wait_until(lambda: 'step 5/60' in group.said())
    group.processes[index].send_signal(number)
    statuses = group.statuses()
    (step,) = [int(path.name) for path in (group.workdir / 'checkpoints').iterdir()]
    assert f'stopped: step {step} of 60 is saved' in group.said()
    assert 0 < step < 60
    return statuses


def _lines(workdir):
  """What a run computed, without how fast."""
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  return [
    {k: v for k, v in json.loads(line).items() if not k.startswith('perf/')}
    for line in lines
  ]


def _assert_same_bits(workdir, other):
  # Of every leaf, which checksum_test compares with a plain loop over its bytes.
  sums, others = (
    json.loads((folder / 'checkpoints/60/progress/metadata').read_text())['checksums']
    for folder in (workdir, other)
  )
  assert len(sums) > 20
  assert sums == others
  assert _lines(workdir) == _lines(other)


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
  """A run of one process, left alone."""
  return _finish(tmp_path_factory.mktemp('alone'), 1)


@pytest.fixture(scope='module')
def stopped_pair(tmp_path_factory):
  """A run of two processes, of which one got a SIGTERM; it was started again."""
  folder = tmp_path_factory.mktemp('pair')
  assert _stop(folder, 2, signal.SIGTERM, 1) == [0, 0]
  return _finish(folder, 2)


def test_two_processes_train_as_one_does(stopped_pair, alone):
  pairs, ones = _lines(stopped_pair), _lines(alone)
  assert [line['step'] for line in pairs] == [line['step'] for line in ones]
  for pair, one in zip(pairs, ones, strict=True):
    assert pair.keys() == one.keys()
    for name in pair:
      # The processes' sums have another order; a loss feels that least.
      tolerance = 1e-3 if name.endswith('loss') else 0.01
      assert pair[name] == pytest.approx(one[name], rel=tolerance), (name, pair, one)


def test_two_processes_evaluate_exactly(stopped_pair):
  shown = _lines(stopped_pair)[-1]
  for name, value in evaluate(str(stopped_pair)).items():
    assert shown[f'eval/{name}'] == pytest.approx(value, rel=1e-5)


@pytest.mark.long
@pytest.mark.filterwarnings('ignore:Sharding info not provided')
def test_two_processes_stopped_go_on_to_the_same_bits(stopped_pair, tmp_path):
  _assert_same_bits(stopped_pair, _finish(tmp_path, 2))


@pytest.mark.long
def test_ctrl_c_in_two_processes_at_two_moments_saves_one_step(tmp_path):
  with Group(tmp_path, 2, '--config.num_train_steps=400') as group:
    group.wait_until(lambda: 'step 5/400' in group.said())
    group.processes[1].send_signal(signal.SIGINT)
    time.sleep(0.2)
    group.processes[0].send_signal(signal.SIGINT)
    assert group.statuses() == [130, 130]
    assert len(list((group.workdir / 'checkpoints').iterdir())) == 1


@pytest.mark.parametrize('arguments', [[], ['--nodistributed']])
def test_ctrl_c_before_the_first_step_ends_it_at_once(arguments, tmp_path):
  with Group(tmp_path, 1, *arguments) as group:
    group.wait_until((group.workdir / 'config.json').exists)
    group.processes[0].send_signal(signal.SIGINT)
    assert group.statuses() == [130]
    assert 'first step' not in group.said()
    assert 'stopping' not in group.said()


def test_no_other_program_can_take_the_port_of_one_alone():
  program = """
import socket
import jax
from convscan.train.distributed import processes

start = jax.distributed.initialize

def after_another_program(address=None, *args, **kwargs):
  if address:
    host, port = address.split(':')
    with socket.socket() as other:
      try:
        other.bind((host, int(port)))
      except OSError as e:
        print(e.strerror)
  start(address, *args, **kwargs)

jax.distributed.initialize = after_another_program
with processes(True, None, None, None, 30):
  print(jax.distributed.is_initialized())
"""
  done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
  assert done.stdout.splitlines() == ['Address already in use', 'True'], done.stderr


@pytest.mark.parametrize(
  ('arguments', 'words'),
  [
    ((True, None, None, None, 0), '--heartbeat_seconds: 0; expected 1 or more'),
    ((False, None, 2, None, 30), '--num_processes and --distributed=false'),
    ((True, 'host', 2, 0, 30), "--coordinator_address: 'host'; expected HOST:PORT"),
    ((True, 'host:1', 0, 0, 30), '--num_processes: 0; expected 1 or more'),
    ((True, 'host:1', 2, 2, 30), '--process_id: 2; expected 0 to 1'),
    ((True, None, None, -1, 30), '--process_id: -1; expected 0 or more'),
  ],
)
def test_what_is_no_process_of_a_group(arguments, words):
  with pytest.raises(ConfigError) as e, contextlib.ExitStack() as stack:
    stack.enter_context(processes(*arguments))
  assert words in str(e.value)
