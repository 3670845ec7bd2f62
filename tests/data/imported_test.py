"""A dataset of one's own, in a module of one's own, outside of the package."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from absl import flags

import convscan
from convscan import data
from convscan.data import commands

MODULE = """
import numpy as np
from convscan import data

class Songs:
  def __init__(self, first, count, ragged=-1):
    self.first, self.count, self.ragged = first, count, ragged

  def __len__(self):
    return self.count

  def __getitem__(self, index):
    steps = 20 + (index == self.ragged)
    wave = np.sin(np.arange(steps) * (0.1 + index % 2) + self.first + index)
    return {
      'inputs': wave[:, None].astype(np.float32),
      'targets': np.array(index % 2, np.int32),
      'weights': np.array(1, np.float32),
    }

def load(*, count=100, ragged=-1):
  splits = {'train': Songs(0, count, ragged), 'test': Songs(count, 30)}
  return data.Dataset('birds', 'classification', ('low', 'high'), splits)

def takes_any(*, count=100, **options):
  print(count, options)
  return load(count=count)

def needs(path):
  raise AssertionError

def keeps(*, data_dir=None):
  print('data_dir', data_dir)
  return load()

def wrong():
  return 3

def alone():
  return data.Dataset('birds', 'classification', ('low',), {'train': Songs(0, 9)})

number = 3
"""
CONFIG = """
from ml_collections import ConfigDict
from convscan.configs import base

def get_config():
  config = base.get_config()
  config.task = 'classification'
  config.model = ConfigDict({'name': 'gru_classifier', 'hidden_features': 4})
  config.data = ConfigDict(
    {'name': 'birds.songs:load', 'data_dir': '', 'count': 40, 'ragged': -1}
  )
  config.batch_size = 8
  config.num_train_steps = 4
  config.log_every_steps = 1
  return config
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
  folder = tmp_path / 'mine'
  (folder / 'birds').mkdir(parents=True)
  (folder / 'birds/__init__.py').write_text('')
  (folder / 'birds/songs.py').write_text(MODULE)
  (folder / 'birds/broken.py').write_text('import nothing_like_this\n')
  (folder / 'birds/slip.py').write_text('def load(:\n')
  (folder / 'birds/late.py').write_text('\n\n1 / 0\n')
  (folder / 'song.py').write_text(CONFIG)
  monkeypatch.syspath_prepend(folder)
  yield folder
  for name in [name for name in sys.modules if name.partition('.')[0] == 'birds']:
    del sys.modules[name]


def run(folder, command, *arguments):
  """Runs a command in a folder, where only the package itself is found elsewhere."""
  package = os.path.dirname(os.path.dirname(os.path.abspath(convscan.__file__)))
  done = subprocess.run(
    [sys.executable, '-m', f'convscan.{command}', *arguments],
    cwd=folder,
    env=os.environ | {'XLA_FLAGS': '', 'PYTHONPATH': package},
    capture_output=True,
    text=True,
  )
  assert 'Traceback' not in done.stderr, done.stderr
  return done


def test_it_trains_by_the_ordinary_commands(folder):
  losses = []
  for workers in (0, 2):
    workdir = f'run{workers}'
    done = run(
      folder, 'train.main', '--config=song.py', f'--workdir={workdir}',
      f'--config.num_reader_workers={workers}',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = (folder / workdir / 'metrics.jsonl').read_text().splitlines()
    losses.append(
      [m.get('train/loss', m.get('eval/loss')) for m in map(json.loads, lines)]
    )
  assert losses[0] == losses[1]
  assert len(losses[0]) == 5

  said = re.search(r'-m convscan\.train\.evaluate (.*)', done.stderr)
  assert said[1].split() == ['--workdir=run2', '--allow_code']
  done = run(folder, 'train.evaluate', '--workdir=run0', '--allow_code')
  printed = float(re.search(r'^loss +([\d.]+)$', done.stdout, re.MULTILINE)[1])
  assert printed == pytest.approx(losses[0][-1], rel=1e-4)
  assert len((folder / 'run0/predictions.csv').read_text().splitlines()) == 1 + 30

  done = run(folder, 'data.describe', 'birds.songs:load', '--count=70')
  assert done.stdout.startswith('birds: classification\n2 classes: low, high\n')
  assert 'train  70  examples' in done.stdout
  assert (folder / 'birds.png').exists()

  done = run(folder, 'train.data_speed', '--config=song.py', '--seconds=0.1')
  assert 'examples a second' in done.stdout, done.stderr


@pytest.mark.parametrize(
  'chosen',
  [
    {'name': 'os:system', 'command': 'touch ran'},
    {
      'name': 'pixels',
      'images': 'os:system',
      'image_options': {'command': 'touch ran'},
    },
  ],
)
def test_the_config_of_a_run_runs_no_code_unasked(folder, chosen):
  done = run(
    folder, 'train.main', '--config=digits_lenet', '--workdir=run',
    '--config.num_train_steps=1', '--config.optimizer.warmup_steps=0',
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  config = json.loads((folder / 'run/config.json').read_text())
  config['data'] = chosen | {'data_dir': ''}
  (folder / 'run/config.json').write_text(json.dumps(config))
  done = run(folder, 'train.evaluate', '--workdir=run')
  assert done.returncode == 2
  assert not (folder / 'ran').exists()
  assert done.stderr == (
    "convscan: config.data.name is 'os:system', which imports module 'os' and runs its "
    "function 'system'; --allow_code allows that, if you trust whose config it is\n"
  )
  done = run(folder, 'train.evaluate', '--workdir=run', '--allow_code')
  assert (folder / 'ran').exists()
  assert done.returncode == 2
  assert 'which returns a int' in done.stderr


def test_what_is_refused_is_not_even_imported(folder):
  with (
    data.refusing_functions('--here'),
    pytest.raises(ValueError, match=r"'birds\.songs:load'.*'load'; --here allows"),
  ):
    data.build('birds.songs:load')
  assert not any(name.startswith('birds') for name in sys.modules)
  assert data.build('birds.songs:load').name == 'birds'


@pytest.mark.parametrize(
  ('arguments', 'line'),
  [
    (
      ['--config.data.name=brids:load'],
      "config.data.name is 'brids:load', but there is no module 'brids' in this "
      'folder, in PYTHONPATH or among what is installed',
    ),
    (
      ['--config.data.name=birds.songs:laod'],
      "config.data.name is 'birds.songs:laod', but that module has no function 'laod'",
    ),
    (
      ['--config.data.ragged=17', '--config.num_reader_workers=2'],
      'example 17: inputs are [21, 1]; expected [20, 1], as in example ',
    ),
  ],
)
def test_what_is_wrong_is_said_in_a_line(folder, arguments, line):
  done = run(
    folder, 'train.main', '--config=song.py', '--workdir=run',
    '--config.num_train_steps=20', *arguments,
  )  # fmt: skip
  assert f'convscan: {line}' in done.stderr
  assert done.returncode == (1 if 'ragged' in arguments[0] else 2)


@pytest.mark.parametrize(
  ('name', 'options', 'message'),
  [
    ('birds.song:load', {}, r"but there is no module 'birds\.song' in this folder, in"),
    ('birds.songs:number', {}, r"that module has no function 'number'$"),
    (
      'birds.broken:load',
      {},
      r"^name is 'birds\.broken:load', but importing 'birds\.broken' raises "
      r"ModuleNotFoundError: No module named 'nothing_like_this'$",
    ),
    (
      'birds.slip:load',
      {},
      r"importing 'birds\.slip' raises SyntaxError: .*slip\.py, line 1",
    ),
    (
      'birds.late:load',
      {},
      r'raises ZeroDivisionError: division by zero \(.*birds/late\.py, line 3\)$',
    ),
    (
      'birds.songs:load',
      {'cuont': 3},
      r"unknown option of birds\.songs:load: 'cuont'\. Did you mean 'count'\? Known: "
      r'count, ragged$',
    ),
    ('birds.songs:needs', {}, r"can not be called: missing a required argument: 'path"),
    ('birds.songs:wrong', {}, r'which returns a int; expected a convscan\.data\.Datas'),
    (
      'birds.songs:alone',
      {},
      r"^dataset 'birds': splits are train; expected 'train' an",
    ),
  ],
)
def test_what_can_not_be_opened_is_named(folder, name, options, message):
  with pytest.raises(ValueError, match=message):
    data.build(name, **options)


def test_any_option_is_for_those_who_take_any(folder, capsys):
  data.build('birds.songs:takes_any', options=[1], colour='red', data_dir='/d')
  assert capsys.readouterr().out == "100 {'options': [1], 'colour': 'red'}\n"


def test_any_option_of_a_command_line(folder, monkeypatch, capsys):
  def define(values):
    flags.DEFINE_string('png', '', '', flag_values=values)

  def open_with(*arguments):
    return commands.open_from(['x', 'birds.songs:takes_any', *arguments], '', define)

  dataset, values = open_with('--count=70', '--colour=red', '--png=a', '--share=0.5')
  assert capsys.readouterr().out == "70 {'colour': 'red', 'share': 0.5}\n"
  assert len(dataset.splits['train']) == 70
  assert values.png == 'a'
  for wrong in (['again'], ['--colour', 'red']):
    with pytest.raises(ValueError, match=r'unexpected arg|unknown option .*colour'):
      open_with(*wrong)


def test_data_dir_is_for_those_who_take_it(folder, capsys):
  assert len(data.build('birds.songs:load', data_dir='/d').splits['train']) == 100
  data.build('birds.songs:keeps', data_dir='/d')
  assert capsys.readouterr().out == 'data_dir /d\n'


def test_the_example_in_the_documentation(tmp_path, monkeypatch):
  text = data.__doc__
  code = text[text.index('    import numpy') : text.index('\nis `data.build(')]
  lines = [line.removeprefix('    ') for line in code.splitlines()]
  (tmp_path / 'documented_birds.py').write_text('\n'.join(lines))
  monkeypatch.syspath_prepend(tmp_path)
  dataset = data.build('documented_birds:load', count=500)
  batch = next(data.train_batches(dataset, 8, 0))
  assert batch['inputs'].shape == (8, 100, 1)
  assert len(np.unique(batch['targets'])) == 2
