"""Two processes train and evaluate as one does. How they end: `stop_test.py`."""

import contextlib
import signal
import subprocess
import sys
import time

import pytest
from commands import Run, checksums, finish, lines, saved

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


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
  """A run of one process, left alone."""
  return finish(tmp_path_factory.mktemp('alone'), *SMALL, devices=8)[0]


@pytest.fixture(scope='module')
def stopped_pair(tmp_path_factory):
  """A run of two processes, of which one got a SIGTERM; it was started again."""
  folder = tmp_path_factory.mktemp('pair')
  with Run(folder, *SMALL, count=2, devices=4) as run:
    run.wait_for_step(5)
    run.processes[1].send_signal(signal.SIGTERM)
    assert run.statuses() == [0, 0]
    (step,) = saved(run.workdir)
    assert f'stopped: step {step} of 60 is saved' in run.said()
    assert 0 < step < 60
  return finish(folder, *SMALL, count=2, devices=4)[0]


def test_two_processes_train_as_one_does(stopped_pair, alone):
  pairs, ones = lines(stopped_pair), lines(alone)
  assert [line['step'] for line in pairs] == [line['step'] for line in ones]
  for pair, one in zip(pairs, ones, strict=True):
    assert pair.keys() == one.keys()
    for name in pair:
      # The processes' sums have another order; a loss feels that least.
      tolerance = 1e-3 if name.endswith('loss') else 0.01
      assert pair[name] == pytest.approx(one[name], rel=tolerance), (name, pair, one)


def test_two_processes_evaluate_exactly(stopped_pair):
  shown = lines(stopped_pair)[-1]
  for name, value in evaluate(str(stopped_pair)).items():
    assert shown[f'eval/{name}'] == pytest.approx(value, rel=1e-5)


@pytest.mark.long
@pytest.mark.filterwarnings('ignore:Sharding info not provided')
def test_two_processes_stopped_go_on_to_the_same_bits(stopped_pair, tmp_path):
  other, _ = finish(tmp_path, *SMALL, count=2, devices=4)
  assert checksums(stopped_pair, 60) == checksums(other, 60)
  assert lines(stopped_pair) == lines(other)


@pytest.mark.long
def test_ctrl_c_in_two_processes_at_two_moments_saves_one_step(tmp_path):
  longer = '--config.num_train_steps=400'
  with Run(tmp_path, *SMALL, longer, count=2, devices=4) as run:
    run.wait_for_step(5)
    run.processes[1].send_signal(signal.SIGINT)
    time.sleep(0.2)
    run.processes[0].send_signal(signal.SIGINT)
    assert run.statuses() == [130, 130]
    assert len(saved(run.workdir)) == 1


@pytest.mark.parametrize('arguments', [[], ['--nodistributed']])
def test_ctrl_c_before_the_first_step_ends_it_at_once(arguments, tmp_path):
  with Run(tmp_path, *SMALL, *arguments) as run:
    run.wait_until((run.workdir / 'config.json').exists)
    run.processes[0].send_signal(signal.SIGINT)
    assert run.statuses() == [130]
    assert 'first step' not in run.said()
    assert 'stopping' not in run.said()


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
