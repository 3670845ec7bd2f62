"""Runs that are told to stop, and runs that lose a process, as real processes."""

import signal
import time

import pytest
from commands import Run, checksums, finish, lines, saved

RUN = [
  '--config=digits_lenet',
  '--config.model.dropout_rate=0.5',
  '--config.num_train_steps=400',
  '--config.checkpoint_every_steps=400',
  '--config.eval_every_steps=400',
  '--config.log_every_steps=10',
  '--config.optimizer.warmup_steps=5',
]


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
  return finish(tmp_path_factory.mktemp('undisturbed'), *RUN)[0]


@pytest.mark.parametrize(
  ('number', 'status', 'flags'),
  [
    (signal.SIGTERM, 0, []),
    (signal.SIGTERM, 75, ['--stopped_status=75']),
    (signal.SIGINT, 130, []),
    pytest.param(signal.SIGINT, 130, ['--stopped_status=75'], marks=pytest.mark.long),
    pytest.param(signal.SIGTERM, 0, ['--nodistributed'], marks=pytest.mark.long),
    pytest.param(signal.SIGINT, 130, ['--nodistributed'], marks=pytest.mark.long),
  ],
)
def test_a_run_told_to_stop_saves_and_ends_with_the_same_bits(
  undisturbed, tmp_path, number, status, flags
):
  with Run(tmp_path, *RUN, *flags) as run:
    run.wait_for_step(10)
    began = time.monotonic()
    run.processes[0].send_signal(number)
    assert run.statuses() == [status], run.said()
    assert time.monotonic() - began < 20  # a preempted TPU has 30 s
    (step,) = saved(run.workdir)
    assert 10 <= step < 400
    assert f'stopped: step {step} of 400 is saved' in run.said()

  workdir, said = finish(tmp_path, *RUN, *flags)
  assert f'resuming from step {step}' in said
  assert checksums(workdir, 400) == checksums(undisturbed, 400)
  assert lines(workdir) == lines(undisturbed)


def test_a_second_ctrl_c_ends_a_run_at_once(tmp_path):
  with Run(tmp_path, *RUN) as run:
    run.wait_for_step(10)
    for _ in range(2):
      run.processes[0].send_signal(signal.SIGINT)
      time.sleep(0.05)
    assert run.statuses() == [130], run.said()
    assert 'stopped' not in run.said()


@pytest.mark.parametrize('dead', [1, pytest.param(0, marks=pytest.mark.long)])
def test_a_dead_process_ends_the_other_within_the_heartbeat(tmp_path, dead):
  with Run(tmp_path, *RUN, '--heartbeat_seconds=5', count=2, devices=4) as run:
    run.wait_for_step(10)
    run.processes[dead].kill()
    began = time.monotonic()
    assert run.statuses()[1 - dead] == 1
    assert time.monotonic() - began < 15
    said = run.said(1 - dead)
    assert 'another process of this run has ended' in said.splitlines()[-1]
    for noise in ('Current thread', 'coordination_service'):
      assert noise not in said


@pytest.mark.parametrize(
  ('flags', 'words'),
  [
    (['--num_processes=2'], '--coordinator_address, --num_processes and'),
    (['--heartbeat_seconds=0'], '--heartbeat_seconds: 0; expected 1 or more'),
    (['--stopped_status=256'], '--stopped_status: 256; expected 0 to 125'),
    (
      ['--coordinator_address=localhost:1', '--num_processes=2', '--process_id=2'],
      '--process_id: 2; expected 0 to 1',
    ),
  ],
)
def test_processes_that_do_not_fit(tmp_path, flags, words):
  with Run(tmp_path, *RUN, *flags) as run:
    assert run.statuses() == [2]
    assert words in run.said()
    assert len(run.said().strip().splitlines()) == 1
