"""Runs over images of which some turn out to be damaged when they are read."""

import csv
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from convscan import data
from convscan.data.errors import DataError
from convscan.train.errors import ConfigError, Stopped
from convscan.train.evaluate import evaluate
from convscan.train.flags import find, load
from convscan.train.loop import build_dataset, train_and_evaluate
from convscan.train.metrics import read

RNG = np.random.default_rng(0)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """Returns a folder of images, and the same with damage that headers do not tell."""
  whole = tmp_path_factory.mktemp('whole')
  for split, count in (('train', 12), ('test', 9)):
    for name in ('cats', 'dogs'):
      (whole / split / name).mkdir(parents=True)
      for i in range(count):
        pixels = RNG.integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(whole / split / name / f'{i}.png')
  damaged = tmp_path_factory.mktemp('damaged') / 'images'
  shutil.copytree(whole, damaged)
  for file in ('train/cats/3.png', 'train/dogs/0.png', 'test/dogs/8.png'):
    content = bytearray((damaged / file).read_bytes())
    content[2000:2010] = bytes(10)
    (damaged / file).write_bytes(content)
  return whole, damaged


def _config(folder, **values):
  config = load(find('image_folder'))
  config.model = {'name': 'lenet5_modern'}
  config.data.update({'path': str(folder), 'size': 16})
  config.optimizer.warmup_steps = 0
  config.update({'batch_size': 8, 'num_train_steps': 7, 'log_every_steps': 2,
                 'eval_every_steps': 7, 'checkpoint_every_steps': 3,
                 'on_bad_example': 'skip'} | values)  # fmt: skip
  return config


def _lines(workdir):
  lines = read(str(workdir))
  return [{k: v for k, v in m.items() if 'perf/' not in k} for m in lines]


def test_damaged_examples_are_counted_and_count_for_nothing(folders, tmp_path, capsys):
  whole, damaged = folders
  config = _config(damaged)
  metrics = train_and_evaluate(config, str(tmp_path / 'run'))
  assert metrics['eval/skipped_examples'] == 1
  said = capsys.readouterr().err
  assert re.search(r'step 7/7 .* eval/skipped_examples 1\n', said.replace('  ', ' '))
  for file in ('train/cats/3', 'train/dogs/0', 'test/dogs/8'):
    assert len(re.findall(rf'left out example \d+: {damaged}/{file}\.png: ', said)) == 1

  # Counted by reading the folder as it was, and each position alone.
  options = {k: v for k, v in config.data.items() if k != 'name'}
  source = data.build('image_folder', **options).splits['train']
  bad = [i for i in range(len(source)) if not _readable(source, i)]
  assert len(bad) == 2
  batches = data.train_batches(
    data.build('image_folder', **(options | {'path': str(whole)})), 8, config.seed
  )
  drawn = [np.isin(next(batches)['index'], bad).sum() for _ in range(7)]
  assert sum(drawn) > 2
  shown = [m['train/skipped_examples'] for m in _lines(tmp_path / 'run')[:-1]]
  assert shown == [sum(drawn[i : i + 2]) for i in (0, 2, 4, 6)]

  again = evaluate(str(tmp_path / 'run'))
  assert again['skipped_examples'] == 1
  assert again['loss'] == pytest.approx(metrics['eval/loss'], rel=1e-4)
  rows = [*csv.DictReader((tmp_path / 'run/predictions.csv').read_text().splitlines())]
  assert len(rows) == 17
  mean = np.mean([-np.log(float(row['target_probability'])) for row in rows])
  assert mean == pytest.approx(metrics['eval/loss'], rel=1e-4)


def _readable(source, index):
  try:
    source[index]
  except DataError:
    return False
  return True


def test_a_run_that_stopped_goes_on_with_the_same_examples(folders, tmp_path):
  config = _config(folders[1])
  train_and_evaluate(config, str(tmp_path / 'one'))
  with pytest.raises(Stopped):
    train_and_evaluate(config, str(tmp_path / 'two'), lambda step: step == 3)
  config.num_reader_workers = 2
  train_and_evaluate(config, str(tmp_path / 'two'))
  assert _lines(tmp_path / 'one') == _lines(tmp_path / 'two')


def test_a_run_that_ended_at_a_damaged_example_may_leave_it_out(folders, tmp_path):
  config = _config(folders[1], on_bad_example='stop', checkpoint_every_steps=1)
  with pytest.raises(DataError, match=r'images/train/.*/\d\.png: '):
    train_and_evaluate(config, str(tmp_path / 'run'))
  config.on_bad_example = 'skip'
  train_and_evaluate(config, str(tmp_path / 'run'))
  assert sum(m.get('train/skipped_examples', 0) for m in _lines(tmp_path / 'run')) > 2


def test_an_unknown_choice_is_refused(folders, tmp_path):
  config = _config(folders[1], on_bad_example='error')
  message = r"^config\.on_bad_example: unknown 'error'; Known: skip, stop$"
  with pytest.raises(ConfigError, match=message):
    train_and_evaluate(config, str(tmp_path / 'run'))


def test_a_set_that_is_read_whole_says_that_nothing_of_it_is_left_out(tmp_path):
  data.build('digits', data_dir=tmp_path)
  (file,) = tmp_path.glob('digits/*/*train*')
  content = bytearray(file.read_bytes())
  content[len(content) // 2] ^= 1
  file.write_bytes(content)
  config = load(find('digits_lenet'))
  config.data.data_dir = str(tmp_path)
  damage = rf"^{tmp_path}/digits/.*: record \d+ of 'train' is damaged .* prepared anew"
  with pytest.raises(DataError, match=f'{damage}$'):
    build_dataset(config)
  config.on_bad_example = 'skip'
  message = rf"{damage}\. 'digits' is read whole when it is opened, so that config\.on_"
  with pytest.raises(DataError, match=message):
    build_dataset(config)
