"""The commands as a person runs them: real processes, real mistakes."""

import fcntl
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios

import numpy as np
import pytest
from commands import lines

import convscan.train

SMALL = [
  '--config=digits_lenet',
  '--config.model.dropout_rate=0.5',
  '--config.num_train_steps=60',
  '--config.checkpoint_every_steps=10',
  '--config.eval_every_steps=20',
  '--config.log_every_steps=7',
  '--config.optimizer.warmup_steps=5',
]
# One device, as on a laptop; the suite's own eight are a matter of its process.
ENVIRONMENT = os.environ | {'XLA_FLAGS': ''}


def _command(*arguments, module='main', **kwargs):
  return subprocess.run(
    [sys.executable, '-m', f'convscan.train.{module}', *arguments],
    capture_output=True,
    text=True,
    env=ENVIRONMENT | kwargs.pop('env', {}),
    **kwargs,
  )


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('run') / 'finished'
  done = _command(*SMALL, f'--workdir={workdir}')
  assert done.returncode == 0, done.stderr
  return workdir, done


def test_a_run_shows_its_model_its_numbers_and_where_they_lie(finished):
  workdir, done = finished
  assert done.stdout == ''
  for shown in ('lenet5_modern', '60,766', 'step 60/60', 'eval/accuracy', str(workdir)):
    assert shown in done.stderr
  assert 'step/s' not in done.stderr  # a progress bar is for a terminal
  held = {path.name for path in workdir.iterdir()}
  figures = {'loss.png', 'accuracy.png', 'confusion.png', 'first_layer.png'}
  assert figures | {'config.json', 'metrics.jsonl', 'tensorboard'} <= held
  assert json.loads((workdir / 'config.json').read_text())['num_train_steps'] == 60
  assert [m['step'] for m in lines(workdir) if 'eval/loss' in m] == [20, 40, 60]


def test_a_finished_run_started_again_changes_nothing(finished):
  workdir, _ = finished
  before = (workdir / 'metrics.jsonl').read_text()
  done = _command(*SMALL, f'--workdir={workdir}')
  assert done.returncode == 0
  assert 'finished step 60 of 60' in done.stderr
  assert (workdir / 'metrics.jsonl').read_text() == before


def test_evaluate_needs_the_folder_alone(finished, tmp_path):
  workdir, _ = finished
  done = _command(f'--workdir={workdir}', module='evaluate', cwd=tmp_path)
  assert done.returncode == 0, done.stderr
  printed = dict(line.split() for line in done.stdout.splitlines()[:2])
  last = lines(workdir)[-1]
  assert float(printed['accuracy']) == pytest.approx(last['eval/accuracy'], abs=1e-6)
  rows = (workdir / 'predictions.csv').read_text().splitlines()
  assert rows[0] == 'example,target,predicted,target_probability'
  assert len(rows) == 1 + 359
  right = np.mean([r.split(',')[1] == r.split(',')[2] for r in rows[1:]])
  assert right == pytest.approx(last['eval/accuracy'])


def test_restore_gives_the_trained_model(finished):
  workdir, _ = finished
  model, variables = convscan.train.restore(str(workdir))
  import sklearn.datasets

  digits = sklearn.datasets.load_digits()
  images = digits.images[4::5, ..., None].astype(np.float32) / 16
  logits = model.apply(variables, images, train=False)
  accuracy = float((np.argmax(logits, -1) == digits.target[4::5]).mean())
  assert accuracy == pytest.approx(lines(workdir)[-1]['eval/accuracy'], abs=1e-6)
  assert accuracy > 0.2


def test_reader_processes_leave_no_memory_behind(tmp_path):
  few = ['--config.num_train_steps=3', '--config.num_reader_workers=2']
  done = _command(*SMALL, *few, '--config.optimizer.warmup_steps=0',
                  f'--workdir={tmp_path}/run')  # fmt: skip
  assert done.returncode == 0, done.stderr
  assert 'leaked' not in done.stderr


def test_lines_are_printed_above_a_progress_bar_on_a_terminal(tmp_path):
  main, secondary = pty.openpty()
  rows_and_columns = struct.pack('HHHH', 40, 120, 0, 0)
  fcntl.ioctl(secondary, termios.TIOCSWINSZ, rows_and_columns)
  process = subprocess.Popen(
    [sys.executable, '-m', 'convscan.train.main', *SMALL[:1],
     '--config.num_train_steps=3', '--config.optimizer.warmup_steps=0',
     f'--workdir={tmp_path}/run'],
    stderr=secondary, env=ENVIRONMENT,
  )  # fmt: skip
  os.close(secondary)
  shown = b''
  while True:
    try:
      piece = os.read(main, 65536)
    except OSError:  # the terminal's other end was closed
      break
    shown += piece
  assert process.wait() == 0
  assert b'3/3' in shown
  assert b'step/s' in shown or b's/step' in shown


BAD = {
  'unknown key': (['--config.nn=7'], ['config.nn', 'Keys there: ']),
  'near key': (['--config.batch_sise=8'], ["did you mean 'config.batch_size'?"]),
  'nested key': (
    ['--config.optimizer.learning_rat=1'],
    ["did you mean 'config.optimizer.learning_rate'?"],
  ),
  'model': (['--config.model.name=lenet'], ['config.model', "'lenet'", 'lenet5']),
  'dataset': (['--config.data.name=digit'], ['config.data', "'digit'", "'digits'"]),
  'batch': (['--config.batch_size=12'], ['config.batch_size: 12', 'multiple of 8']),
  'steps': (['--config.num_train_steps=0'], ['config.num_train_steps: 0', '1 or more']),
  'mesh': (['--config.mesh.data=99'], ['config.mesh.data: 99', '1 to 8']),
  'averages': (
    ['--config.average_from_step=5', '--config.ema_decay=0.9'],
    ['config.average_from_step: 5', 'expected 0 with config.ema_decay: 0.9'],
  ),
  'seed': (['--config.seed=-1'], ['config.seed: -1', '0 or more']),
  'dropout': (['--config.model.dropout_rate=2.0'], ['config.model', '2.0', '< 1']),
  'layers': (
    ['--config=pydoc_lstm', '--config.model.num_layers=0'],
    ['num_layers: got 0', '1 or more'],
  ),
  'sizes': (['--config.model.filters=(8, 0)'], ['config.model']),
  'shift': (['--config.data.max_shift=99'], ['max_shift', '99', '0 to 7']),
  'loss': (
    ['--config.loss.name=hubber'],
    ["config.loss.name: unknown 'hubber'; did", 'Known: absolute, huber, squared'],
  ),
  'integer': (
    ['--config.batch_size=many'],
    ["config.batch_size: 'many'; expected a whole number"],
  ),
  'tuple': (
    ['--config.model.filters=3'],
    ["config.model.filters: '3'; expected several values", '3, for one alone'],
  ),
  'no flag': (['--workdirs=x'], ["Unknown command line flag 'workdirs'"]),
  'rate': (['--config.optimizer.learning_rate=nan'], ['learning_rate: nan']),
  'sample': (['--config.sample.length=0'], ['config.sample', 'length 0']),
  'data_dir': (['--config.data.data_dir=/proc/x'], ['config.data', '/proc/x']),
  'too large': (
    ['--config.batch_size=4000'],
    ['convscan: config.batch_size is 4000, but the training split of digits has only'],
  ),
}


@pytest.mark.parametrize('name', sorted(BAD))
def test_a_mistake_ends_in_one_line_and_status_2(name, tmp_path):
  arguments, words = BAD[name]
  eight = {'XLA_FLAGS': '--xla_force_host_platform_device_count=8'}
  config = [] if arguments[0].startswith('--config=') else SMALL[:1]
  done = _command(*config, *arguments, f'--workdir={tmp_path}/run', env=eight)
  assert done.returncode == 2, done.stderr
  assert len(done.stderr.strip().splitlines()) == 1, done.stderr
  assert done.stderr.startswith('convscan: ')
  for word in words:
    assert word in done.stderr
  assert not (tmp_path / 'run').exists()


def test_data_that_can_not_be_had_ends_in_what_to_do_and_status_1(tmp_path):
  # Where there is a network, too: the folder has a file that is not right.
  folder = tmp_path / 'downloads' / 'mnist'
  folder.mkdir(parents=True)
  (folder / 'train-images-idx3-ubyte.gz').write_bytes(b'not right')
  data = ['--config.data.name=mnist', f'--config.data.data_dir={tmp_path}']
  done = _command(SMALL[0], *data, f'--workdir={tmp_path}/run')
  assert done.returncode == 1, done.stderr
  assert done.stderr == (
    f'convscan: {folder}/train-images-idx3-ubyte.gz has 9 bytes, but should have '
    '9912422: move it away, and the right one is fetched from https://storage.googleapis'
    '.com/cvdf-datasets/mnist/train-images-idx3-ubyte.gz\n'
  )
  assert not (tmp_path / 'run').exists()


def test_the_folder_of_another_config_is_left_alone(finished):
  workdir, _ = finished
  before = sorted((p, p.stat().st_mtime_ns) for p in workdir.rglob('*') if p.is_file())
  done = _command(*SMALL, f'--workdir={workdir}', '--config.seed=7')
  assert done.returncode == 2
  assert 'config.seed is 0 there and 7 here' in done.stderr
  assert len(done.stderr.strip().splitlines()) == 1
  after = sorted((p, p.stat().st_mtime_ns) for p in workdir.rglob('*') if p.is_file())
  assert before == after


def test_a_folder_that_cant_be_written(tmp_path):
  (tmp_path / 'file').write_text('mine')
  done = _command(*SMALL, f'--workdir={tmp_path}/file')
  assert done.returncode == 2
  assert 'is not a folder that can be written' in done.stderr
  assert len(done.stderr.strip().splitlines()) == 1
  assert (tmp_path / 'file').read_text() == 'mine'


def test_a_file_of_a_run_that_cant_be_written(finished, tmp_path):
  workdir = shutil.copytree(finished[0], tmp_path / 'copy')
  (workdir / 'predictions.csv').unlink(missing_ok=True)
  (workdir / 'predictions.csv').mkdir()
  done = _command(f'--workdir={workdir}', module='evaluate')
  assert done.returncode == 1
  path = workdir / 'predictions.csv'
  assert done.stderr == f"convscan: can not use '{path}': Is a directory\n"


def test_a_persons_own_files_are_left_alone(tmp_path):
  (tmp_path / 'metrics.jsonl').write_text('mine')
  done = _command(*SMALL, f'--workdir={tmp_path}')
  assert done.returncode == 2
  assert 'holds metrics.jsonl' in done.stderr
  assert [p.name for p in tmp_path.iterdir()] == ['metrics.jsonl']
  assert (tmp_path / 'metrics.jsonl').read_text() == 'mine'


def test_other_classes_than_the_runs_are_refused(finished, tmp_path):
  workdir = tmp_path / 'copy'
  shutil.copytree(finished[0], workdir)
  noted = json.loads((workdir / 'classes.json').read_text())
  noted['classes'][3] = 'drei'
  (workdir / 'classes.json').write_text(json.dumps(noted))
  done = _command(*SMALL, f'--workdir={workdir}')
  assert done.returncode == 2
  assert 'other classes' in done.stderr
  assert json.loads((workdir / 'classes.json').read_text()) == noted


def test_reading_a_run_changes_nothing_in_its_checkpoints(finished):
  workdir, _ = finished
  saving = workdir / 'checkpoints/999.orbax-checkpoint-tmp'
  saving.mkdir()  # what a run that trains just now is writing
  before = sorted(workdir.rglob('checkpoints/**/*'))
  convscan.train.restore(str(workdir))
  assert sorted(workdir.rglob('checkpoints/**/*')) == before
  saving.rmdir()


@pytest.mark.parametrize(
  ('text', 'words'),
  [
    ('def get_config(:\n', ['line 1', 'invalid syntax']),
    ('def get_config():\n  return 1 / 0\n', ['line 2', 'ZeroDivisionError']),
    (
      'from convscan.configs import base\n'
      'def get_config():\n  c = base.get_config()\n  c.num_trian_steps = 5\n',
      ['line 4', 'num_trian_steps', 'num_train_steps'],
    ),
    ('x = 1\n', ['defines no get_config()']),
    ('def get_config():\n  return {}\n', ['returned a dict', 'ConfigDict']),
  ],
)
def test_a_broken_config_file(text, words, tmp_path):
  path = tmp_path / 'mine.py'
  path.write_text(text)
  done = _command(f'--config={path}', f'--workdir={tmp_path}/run')
  assert done.returncode == 2, done.stderr
  assert len(done.stderr.strip().splitlines()) == 1, done.stderr
  for word in (str(path), *words):
    assert word in done.stderr


def test_a_config_that_is_not_there(tmp_path):
  done = _command('--config=digit_lenet', f'--workdir={tmp_path}/run')
  assert done.returncode == 2
  assert "did you mean 'digits_lenet'?" in done.stderr


def test_exporting_a_model_that_torch_lacks(finished, tmp_path):
  path = tmp_path / 'out.safetensors'
  done = _command(f'--workdir={finished[0]}', f'--path={path}', module='export')
  assert done.returncode == 2
  assert len(done.stderr.strip().splitlines()) == 1, done.stderr
  assert 'LeNet' in done.stderr
  assert not path.exists()


def test_evaluating_a_folder_without_a_run(tmp_path):
  done = _command(f'--workdir={tmp_path}', module='evaluate')
  assert done.returncode == 2
  assert 'holds no run' in done.stderr
