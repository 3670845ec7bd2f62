"""The commands, as a person types them."""

import os
import socket
import subprocess
import sys

import pytest
from cifar_test import tar, texts
from idx_test import four, random
from PIL import Image
from serving import offered

from convscan import data
from convscan.data import commands, describe, prepare, prepared
from convscan.data.builders import cifar, idx


def run(module, monkeypatch, capsys, *arguments):
  """Runs a command in this process: returns its exit status and what it printed."""
  monkeypatch.setattr('sys.argv', [module.__name__, *map(str, arguments)])
  prepared.opened.clear()  # by the tests before
  define = getattr(module, '_define', lambda values: None)
  try:
    commands.run(module.main, module.__doc__, define)
    status = 0
  except SystemExit as e:
    status = e.code or 0
  return (status, *capsys.readouterr())


def start(*arguments, **kwargs):
  return subprocess.run(
    [sys.executable, '-W', 'error', '-m', *map(str, arguments)],
    capture_output=True,
    text=True,
    **kwargs,
  )


def test_describe_from_a_shell(tmp_path):
  done = start(
    'convscan.data.describe', 'digits', f'--data_dir={tmp_path}', cwd=tmp_path
  )
  assert (done.returncode, done.stderr) == (0, '')
  assert done.stdout == (
    'digits: classification\n'
    '10 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9\n'
    'train  1,438  examples\n'
    'test     359  examples\n'
    '\n'
    '256 training examples, augmented:\n'
    'array    dtype    shape      smallest    mean  largest\n'
    'inputs   float32  [8, 8, 1]         0  0.2845        1\n'
    'targets  int32    []                0   4.242        9\n'
    'weights  float32  []                1       1        1\n'
    '\n'
    f'examples drawn: {tmp_path}/digits.png\n'
  )
  with Image.open(tmp_path / 'digits.png') as image:
    assert image.size == (1200, 680)


@pytest.mark.parametrize('arguments', [['digits'], ['cifar100', '--help'], ['--help']])
@pytest.mark.parametrize('buffered', [True, False])
def test_a_closed_pipe_ends_it_silently(tmp_path, arguments, buffered):
  ours, theirs = os.pipe()
  os.close(ours)
  done = subprocess.run(
    [sys.executable, '-m', 'convscan.data.describe', *arguments],
    env=os.environ | {'PYTHONUNBUFFERED': '' if buffered else '1'},
    stdout=theirs,
    stderr=subprocess.PIPE,
    cwd=tmp_path,
  )
  os.close(theirs)
  assert (done.returncode, done.stderr) == (141, b'')


def test_prepare_from_a_shell_without_a_network(tmp_path):
  # A proxy that is not there leaves even a machine with a network without one.
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    proxy = f'http://127.0.0.1:{s.getsockname()[1]}'
  done = start(
    'convscan.data.prepare',
    'mnist',
    f'--data_dir={tmp_path}',
    env=os.environ | {'https_proxy': proxy},
  )
  assert (done.returncode, done.stdout) == (1, '')
  first, *rest = done.stderr.splitlines()
  assert first.startswith(
    'convscan: https://storage.googleapis.com/cvdf-datasets/mnist/'
  )
  assert first.endswith(' can not be downloaded: Connection refused')
  assert rest[-1] == f'  python -m convscan.data.prepare mnist --data_dir={tmp_path}'


def test_prepare_says_what_there_is_now(tmp_path, monkeypatch, capsys):
  contents = four(random(30, 10), random(12, 10, seed=1))
  with offered(tmp_path / 's', monkeypatch, idx.FILES, 'fashion_mnist', contents):
    status, out, err = run(
      prepare, monkeypatch, capsys, 'fashion_mnist', f'--data_dir={tmp_path}'
    )
  assert (status, err) == (0, '')
  assert out == (
    'fashion_mnist: classification\n'
    '10 classes: T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, '
    'Bag,\nAnkle boot\n'
    'license: MIT\n'
    'train  30  examples\n'
    'test   12  examples\n'
    f'ready, in {tmp_path}/fashion_mnist/1.0.0\n'
  )
  assert data.build('fashion_mnist', data_dir=tmp_path)  # the server is gone


def test_what_needs_no_preparation_says_so():
  done = start('convscan.data.prepare', 'parity')
  assert (done.returncode, done.stderr) == (0, '')
  assert done.stdout.endswith(
    '\nready: there is nothing to prepare, it is read or made when it is used\n'
  )


def test_preparing_logs_nothing_of_tfds(tmp_path):
  done = start('convscan.data.prepare', 'uea', '--problem=x', f'--data_dir={tmp_path}')
  assert done.returncode == 1
  assert done.stderr.startswith('convscan: https://timeseriesclassification.com/')


def test_what_has_no_end_says_so(tmp_path, monkeypatch, capsys):
  png = f'--png={tmp_path}/p.png'
  status, out, err = run(describe, monkeypatch, capsys, 'parity', png)
  assert (status, err) == (0, '')
  assert '\ntrain  endless  examples\ntest     1,000  examples\n' in out
  assert out.endswith(f'examples drawn: {tmp_path}/p.png\n')


def test_options_arrive_with_their_types(tmp_path, monkeypatch, capsys):
  files = dict.fromkeys(('train.bin', 'test.bin'), bytes(3074))
  names = texts('coarse_label_names.txt')
  contents = {'cifar-100-binary.tar.gz': tar(files | names)}
  folder = f'--data_dir={tmp_path}'
  with offered(tmp_path / 's', monkeypatch, cifar.FILES, 'cifar100', contents):
    status, out, err = run(
      prepare, monkeypatch, capsys, 'cifar100', '--labels', 'coarse', '--noflip', folder
    )
  assert (status, err) == (0, '')
  assert '20 classes: coarse_0, ' in out
  for labels in ('3,5', '(3, 5)', '[3,5]'):
    options = (f'--labels={labels}', '--train_per_label=4')
    status, out, err = run(prepare, monkeypatch, capsys, 'digits', *options, folder)
    assert (status, err) == (0, '')
    assert '\n2 classes: 3, 5\n' in out
    assert '\ntrain   8  examples\n' in out
  options = ("--image_options={'labels': (3, 5)}",)
  status, out, err = run(prepare, monkeypatch, capsys, 'pixels', *options, folder)
  assert (status, err) == (0, '')
  assert '\n2 classes: 3, 5\n' in out


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (
      ['digts'],
      "convscan: unknown dataset: 'digts'. Did you mean 'digits'? Known: ",
    ),
    (
      ['digits', '--max_shfit=2'],
      "convscan: unknown option of digits: 'max_shfit'. Did you mean 'max_shift'? Kno",
    ),
    (
      ['digits', '--max_shift=x'],
      "convscan: digits: max_shift is 'x', but must be a whole number\n",
    ),
    (
      ['arrays', '--test_fraction=: x'],
      "convscan: arrays: test_fraction is ': x', but must be a number\n",
    ),
    (['digits', '--labels=3,x'], "convscan: labels is '3,x', but must be such as 0,1"),
    (['digits', '--labels', '(3, x)'], "convscan: labels is '(3, x)', but must be"),
    (
      ['parity', '--lengths', '3'],
      "convscan: unknown option of parity: 'lengths'. Did you mean 'test_lengths'? K",
    ),
    (['digits', '--max_shift=9'], 'convscan: max_shift is 9, but must be 0 to 7\n'),
    (
      ['pixels', '--image_options=a'],
      "convscan: image_options is 'a', but must be a m",
    ),
    (['digits', 'again'], 'convscan: unexpected arguments: again\n'),
    (['emnist', '--split=x'], "convscan: split is 'x', but must be one of byclass, "),
  ],
)
def test_a_mistake_is_said_in_a_line(tmp_path, monkeypatch, capsys, arguments, message):
  arguments += [f'--data_dir={tmp_path}']
  for module in (prepare, describe):
    status, out, err = run(module, monkeypatch, capsys, *arguments)
    assert (status, out) == (2, '')
    assert err.startswith(message)
    assert len(err.splitlines()) == 1


def test_a_folder_that_can_not_be_written_is_named(tmp_path, monkeypatch, capsys):
  (tmp_path / 'file').write_text('')
  for name in ('digits', 'mnist'):
    folder = f'--data_dir={tmp_path}/file'
    status, out, err = run(prepare, monkeypatch, capsys, name, folder)
    assert (status, out) == (1, '')
    assert err.startswith(f'convscan: {tmp_path}/file')
    assert err.endswith('Not a directory\n') or err.endswith('File exists\n')


def test_help_shows_names_and_the_options_of_one(monkeypatch, capsys):
  status, out, _ = run(prepare, monkeypatch, capsys)
  assert status == 2
  assert 'prepare NAME [--data_dir=DIR]' in out
  assert f'NAME is one of {", ".join(data.names())}\n' in out
  assert run(describe, monkeypatch, capsys, '--help')[0] == 0
  status, out, _ = run(describe, monkeypatch, capsys, 'cifar100', '--help')
  assert status == 0
  assert "labels: 'fine', a hundred classes, or 'coarse'" in out
