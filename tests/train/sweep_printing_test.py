"""The commands that are printed, as what they are for reads them."""

import os
import re
import shlex
import subprocess
import sys

import pytest

from convscan.train.sweeping.driver import alone
from convscan.train.sweeping.plan import Trial
from convscan.train.sweeping.printing import commands

ROOT = '/data/my sweeps/$HOME'
TRIALS = [
  Trial('filters=8-16', {'model.filters': (8, 16)}),
  Trial('init_from=it_s-12', {'init_from': 'it\'s `a` "file"'}),
]


def _words(trial, last=()):
  overrides = {'batch_size': 32} | trial.overrides
  flags = [f'--config.{key}={value}' for key, value in overrides.items()]
  config, workdir = '--config=/a b/c.py', f'--workdir={ROOT}/{trial.name}'
  return ['python', '-m', 'convscan.train.main', config, workdir, *flags, *last]


def _commands(kind):
  return commands(kind, '/a b/c.py', ROOT, {'batch_size': 32}, TRIALS)


def _lines(text):
  return [line for line in text.splitlines() if not line.startswith('#')]


def test_shell_lines_are_the_trials(tmp_path):
  lines = _lines(_commands('shell'))
  alone = ['--distributed=false']
  assert [shlex.split(line) for line in lines] == [_words(t, alone) for t in TRIALS]


def _with_programs_that_say(folder, status):
  """Returns an environment whose `python` writes its arguments to a file, one a line.

  Likewise `scontrol`, which the Slurm script runs.
  """
  for name, code in (('python', status), ('scontrol', 0)):
    said = folder / f'{name}.said'
    (folder / name).write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{said}\nexit {code}\n')
    (folder / name).chmod(0o755)
  return os.environ | {'PATH': f'{folder}:{os.environ["PATH"]}'}


@pytest.mark.parametrize(('index', 'status'), [(0, 3), (1, 3), (1, 75)])
def test_the_slurm_array_runs_a_trial_each(index, status, tmp_path):
  text = _commands('slurm')
  assert text.startswith('#!/bin/bash\n#SBATCH ')
  assert '#SBATCH --array=0-1\n' in text
  script = tmp_path / 'array.sh'
  script.write_text(text)
  environment = _with_programs_that_say(tmp_path, status)
  environment |= {'SLURM_ARRAY_TASK_ID': str(index), 'SLURM_JOB_ID': '1234'}
  done = subprocess.run(['bash', script], env=environment)
  assert done.returncode == status  # the trial's own
  last = ['--distributed=false', '--stopped_status=75']
  expected = _words(TRIALS[index], last)[1:]
  assert (tmp_path / 'python.said').read_text().splitlines() == expected
  # What SIGTERM stopped is not done, and is queued again.
  queued = tmp_path / 'scontrol.said'
  assert queued.exists() == (status == 75)
  assert status != 75 or queued.read_text().splitlines() == ['requeue', '1234']


def test_skypilot_jobs_and_xpk_workloads_are_given_the_trials():
  for kind, flag in (('skypilot', '--env'), ('xpk', '--command')):
    names = set()
    for line, trial in zip(_lines(_commands(kind)), TRIALS, strict=True):
      words = shlex.split(line)
      if kind == 'skypilot':
        assert words[:3] == ['sky', 'jobs', 'launch']
        name = words[words.index('--name') + 1]
        value = words[words.index('--env') + 1].removeprefix('CONVSCAN_COMMAND=')
        assert words[-1] == '${TASK:?}'
      else:
        assert words[:3] == ['xpk', 'workload', 'create']
        options = dict(word.split('=', 1) for word in words[3:])
        name, value = options['--workload'], options[flag]
        assert options['--cluster'] == '${CLUSTER:?}'
      # The task file of launch/ adds it to what SkyPilot runs.
      last = ['--stopped_status=75'] if kind == 'xpk' else []
      assert shlex.split(value) == _words(trial, last)
      assert re.fullmatch('[a-z][a-z0-9-]{0,39}', name)
      names.add(name)
    assert len(names) == len(TRIALS)


@pytest.mark.parametrize('kind', ['shell', 'slurm', 'skypilot', 'xpk'])
def test_where_nothing_is_left_a_script_says_so_and_does_nothing(kind):
  text = commands(kind, '/a b/c.py', ROOT, {}, [])
  assert 'no trial is left' in text
  assert _lines(text) == []


def test_printed_commands_run_and_are_found_finished(tmp_path):
  config = tmp_path / 'two.py'
  config.write_text(
    'from convscan.configs import digits_lenet, sweeps\n'
    'get_config = digits_lenet.get_config\n'
    'def sweep():\n  return sweeps.product({"seed": (3, 4)})\n'
  )
  sweep = [sys.executable, '-m', 'convscan.train.sweep', f'--config={config}']
  sweep += [f'--workdir={tmp_path / "sweep"}', '--config.num_train_steps=2']
  sweep += ['--config.optimizer.warmup_steps=0']
  printed = subprocess.run(
    [*sweep, '--launcher=print'], capture_output=True, text=True, check=True
  ).stdout
  assert len(_lines(printed)) == 2
  none = subprocess.run([*sweep, '--launcher=none'], capture_output=True, text=True)
  assert (none.returncode, 'holds no trial' in none.stderr) == (2, True)
  assert not (tmp_path / 'sweep').exists()
  folder = os.path.dirname(sys.executable)
  environment = os.environ | {'PATH': f'{folder}:{os.environ["PATH"]}'}
  subprocess.run(
    ['sh', '-c', _lines(printed)[1]], env=environment, check=True, capture_output=True
  )
  (tmp_path / 'sweep' / 'trials').mkdir()
  (tmp_path / 'sweep' / 'trials' / 'pause').touch()
  with alone(str(tmp_path / 'sweep')):  # a driver that is there is not in the way
    table = subprocess.run(
      [*sweep, '--launcher=none'], capture_output=True, text=True, check=True
    ).stdout.splitlines()
  assert (tmp_path / 'sweep' / 'trials' / 'pause').exists()  # nor is it touched
  assert not (tmp_path / 'sweep' / 'sweep.json').exists()
  assert table[1].split()[:3] == ['4', 'finished', '2/2']
  assert table[2].split()[:2] == ['3', 'waiting']
  again = subprocess.run(
    [*sweep, '--launcher=print'], capture_output=True, text=True, check=True
  ).stdout
  assert _lines(again) == _lines(printed)[:1]


def test_a_shipped_config_is_named_as_on_any_machine(tmp_path):
  command = [sys.executable, '-m', 'convscan.train.sweep', '--config=digits_lenet']
  command += [f'--workdir={tmp_path}', '--launcher=print']
  printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
  for line in _lines(printed):
    assert shlex.split(line)[3] == '--config=digits_lenet'


def test_only_what_was_given_is_given_to_all_trials(tmp_path):
  """Not what follows from it by reference: a trial may set that, or its source."""
  config = tmp_path / 'mine.py'
  config.write_text(
    'from convscan.configs import digits_lenet, sweeps\n'
    'def get_config():\n'
    '  config = digits_lenet.get_config()\n'
    '  config.num_train_steps = config.get_ref("batch_size") * 10\n'
    '  return config\n'
    'def sweep():\n'
    '  return sweeps.product({"num_train_steps": (7, 8)})\n'
  )
  command = [sys.executable, '-m', 'convscan.train.sweep', f'--config={config}']
  command += [f'--workdir={tmp_path / "sweep"}', '--launcher=print']
  command += ['--config.batch_size=32']
  done = subprocess.run(command, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  given = [w for w in shlex.split(_lines(done.stdout)[0]) if w.startswith('--config.')]
  assert given == ['--config.batch_size=32', '--config.num_train_steps=7']
  done = subprocess.run(
    [*command, '--config.num_train_steps=5'], capture_output=True, text=True
  )
  assert 'config.num_train_steps is swept, so' in done.stderr
