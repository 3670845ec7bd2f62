"""launch/queued_resource.sh, against a gcloud that queues, preempts and fails."""

import os
import pathlib
import signal
import subprocess
import time

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / 'launch/queued_resource.sh'
RUN = 'python -m convscan.train.main --config=digits_lenet --workdir=/mnt/runs/a'

# A TPU exists between `create` and `delete`; FAKE/states holds what `describe` says
# next, and FAKE/statuses how the next runs of the command end.
_FAKE = """#!/bin/bash
cd "$FAKE" || exit
echo "$*" >>log
next() { head -n 1 "$1"; sed -i 1d "$1"; }
case "$*" in
  *' create '*) touch exists ;;
  *' delete '*) rm exists || exit; exit "$(cat undeletable 2>/dev/null || echo 0)" ;;
  *' describe '*)
    [[ -f exists ]] || exit 1
    state=$(next states)
    [[ $state != deleted ]] || rm exists
    [[ $state != deleted && $state != offline ]] || exit 1
    echo "${state:-ACTIVE}" ;;
  *'--command=export'*)
    status=$(next statuses)
    [[ $status != wait ]] || { touch running; exec /bin/sleep 60; }
    exit "${status:-0}" ;;
esac
"""


@pytest.fixture
def cloud(tmp_path):
  """Starts the script, with the states and statuses that follow."""
  programs = tmp_path / 'bin'
  programs.mkdir()
  for name, text in (('gcloud', _FAKE), ('sleep', '#!/bin/sh\n')):
    (programs / name).write_text(text)
    (programs / name).chmod(0o755)
  (tmp_path / 'log').touch()

  def start(*options, states=(), statuses=(), command=f'{RUN} --stopped_status=75'):
    (tmp_path / 'states').write_text(''.join(f'{s}\n' for s in states))
    (tmp_path / 'statuses').write_text(''.join(f'{s}\n' for s in statuses))
    path = f'{programs}:{os.environ["PATH"]}'
    return subprocess.Popen(
      # A shell's background job has SIGINT ignored, and so would all that it starts.
      ['env', '--default-signal=INT', SCRIPT,
       '--store=gs://b', '--zone=z', *options, 'name', '--', *command.split()],
      env=os.environ | {'PATH': path, 'FAKE': str(tmp_path)},
      stderr=subprocess.PIPE,
      text=True,
      start_new_session=True,
    )  # fmt: skip

  return start


def _did(tmp_path):
  """Returns what was asked of gcloud, but for the states."""
  words = {
    ' create ': 'create', ' delete ': 'delete', ' scp ': 'copy',
    '=bash setup.sh': 'prepare', '=export': 'run', '=pkill -INT': 'interrupt',
  }  # fmt: skip
  log = (tmp_path / 'log').read_text()
  return [
    word for line in log.splitlines() for sign, word in words.items() if sign in line
  ]


ONCE = ['copy', 'prepare', 'run']


@pytest.mark.parametrize(
  ('states', 'statuses', 'status', 'did'),
  [
    ([], [], 0, ['create', *ONCE, 'delete']),
    (['PROVISIONING'], [], 0, ['create', *ONCE, 'delete']),
    # Preempted, in the queue or running; or the connection broke.
    (['SUSPENDED'], [], 0, ['create', 'delete', 'create', *ONCE, 'delete']),
    ([], [75, 255], 0, ['create', *ONCE, 'delete'] * 3),
    (['ACTIVE', 'SUSPENDING'], [1], 0, ['create', *ONCE, 'delete'] * 2),
    # The command's own failure, and a Ctrl-C on a host.
    ([], [2], 2, ['create', *ONCE, 'delete']),
    (['ACTIVE', 'SUSPENDING'], [130], 130, ['create', *ONCE, 'delete']),
    (['FAILED'], [], 1, ['create', 'delete']),
  ],
)
def test_a_slice_is_queued_for_until_the_command_is_done_and_deleted(
  cloud, tmp_path, states, statuses, status, did
):
  process = cloud(states=states, statuses=statuses)
  _, said = process.communicate(timeout=60)
  assert process.returncode == status, said
  assert _did(tmp_path) == did
  assert not (tmp_path / 'exists').exists()


def test_a_slice_that_was_deleted_elsewhere_is_not_waited_for(cloud, tmp_path):
  process = cloud(states=['PROVISIONING', 'deleted'])
  _, said = process.communicate(timeout=60)
  assert process.returncode == 1
  assert 'name could not be described 20 times in a row: it was deleted else' in said
  assert said.count('name is unknown') == 20
  assert _did(tmp_path) == ['create', 'delete']


def test_a_network_that_comes_back_is_waited_for(cloud, tmp_path):
  process = cloud(states=[*['offline'] * 19, 'PROVISIONING', *['offline'] * 19])
  _, said = process.communicate(timeout=60)
  assert process.returncode == 0, said
  assert _did(tmp_path) == ['create', *ONCE, 'delete']


def test_a_slice_that_is_there_is_taken_and_one_kept_is_named(cloud, tmp_path):
  (tmp_path / 'exists').touch()
  process = cloud('--keep', command='ray start')
  _, said = process.communicate(timeout=60)
  assert process.returncode == 0
  assert _did(tmp_path) == ONCE
  assert 'name is left, and costs' in said


def test_a_slice_that_can_not_be_deleted_is_named(cloud, tmp_path):
  (tmp_path / 'undeletable').write_text('1')
  _, said = cloud().communicate(timeout=60)
  assert 'name COULD NOT BE DELETED, AND COSTS' in said


def test_ctrl_c_stops_the_command_and_deletes_the_slice(cloud, tmp_path):
  process = cloud(statuses=['wait'])
  deadline = time.monotonic() + 30
  while not (tmp_path / 'running').exists():
    assert time.monotonic() < deadline
    time.sleep(0.05)
  os.killpg(process.pid, signal.SIGINT)
  _, said = process.communicate(timeout=30)
  assert process.returncode == 130, said
  assert _did(tmp_path) == ['create', *ONCE, 'interrupt', 'delete']


def test_a_run_that_could_not_be_told_from_a_done_one_is_refused(cloud, tmp_path):
  process = cloud(command=RUN)
  _, said = process.communicate(timeout=60)
  assert process.returncode == 2
  assert 'expected --stopped_status=75' in said
  assert not _did(tmp_path)
