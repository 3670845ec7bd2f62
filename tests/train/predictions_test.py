"""What `predictions.csv` and figures say of one's own files."""

import csv

import numpy as np
import pytest
from PIL import Image

from convscan.data.errors import DataError
from convscan.train import figures
from convscan.train.errors import ConfigError
from convscan.train.evaluate import evaluate
from convscan.train.flags import find, load
from convscan.train.loop import train_and_evaluate

RNG = np.random.default_rng(0)


def _short(name, **data):
  config = load(find(name))
  config.data.update(data)
  config.update({'num_train_steps': 2, 'batch_size': 8})
  config.optimizer.warmup_steps = 0
  return config


def _rows(workdir):
  return [*csv.DictReader((workdir / 'predictions.csv').read_text().splitlines())]


def test_forecasts_are_in_the_units_of_the_file(tmp_path, monkeypatch):
  table = ['id,y,x']
  values = {'a': 1000 + 50 * RNG.normal(size=60), 'b': 0.1 * RNG.normal(size=60)}
  for step in range(60):
    for name, column in values.items():
      table.append(f'{name},{column[step]:.6f},{step % 7}')
  (tmp_path / 'x.csv').write_text('\n'.join(table))
  config = _short('series_csv', path=str(tmp_path / 'x.csv'), series='id',
                  columns=('y',), features=('x',), length=4, horizon=3)  # fmt: skip
  config.model.horizon = 3
  kept = []
  draw = figures.forecasts
  monkeypatch.setattr(
    figures, 'forecasts', lambda *args: kept.append(args) or draw(*args)
  )
  metrics = train_and_evaluate(config, str(tmp_path / 'run'))
  found = evaluate(str(tmp_path / 'run'))
  assert found['mae'] == pytest.approx(metrics['eval/mae'], rel=1e-4)

  rows = _rows(tmp_path / 'run')
  assert list(rows[0]) == ['example', 'step', 'name', 'target_y', 'predicted_y']
  errors = []
  for row in rows:
    line = int(row['name'].rpartition('x.csv, line ')[2])
    name, *_ = table[line - 1].split(',')
    value = values[name][(line - 2) // 2 + int(row['step'])]
    assert float(row['target_y']) == pytest.approx(value, rel=1e-4, abs=1e-4)
    scale = values[name][:48].std()  # of the training part
    errors.append(abs(float(row['predicted_y']) - float(row['target_y'])) / scale)
  # The metrics are of normalised numbers.
  assert np.mean(errors) == pytest.approx(metrics['eval/mae'], rel=1e-3)

  ((_, windows, predictions, _),) = kept
  drawn = predictions['targets'][..., 0].ravel()
  np.testing.assert_allclose(
    drawn[: len(rows)], [float(row['target_y']) for row in rows], rtol=1e-4, atol=1e-4
  )
  count = len(rows) // 3
  for window, i in zip(windows, figures.spread(count), strict=True):
    line = int(rows[3 * i]['name'].rpartition(' ')[2])
    name, step = table[line - 1].split(',')[0], (line - 2) // 2
    np.testing.assert_allclose(
      window[:, 0], values[name][step - 4 : step], rtol=1e-4, atol=1e-4
    )


def test_horizons_that_differ_are_both_named(tmp_path):
  (tmp_path / 'x.csv').write_text('\n'.join(['x', *map(str, range(90))]))
  config = _short('series_csv', path=str(tmp_path / 'x.csv'), length=4, horizon=3)
  config.model.horizon = 5
  message = (
    r'gives \(5, 1\) an example; expected \(3, 1\), .*; config\.model\.horizon is 5 '
    r'and config\.data\.horizon is 3$'
  )
  with pytest.raises(ConfigError, match=message):
    train_and_evaluate(config, str(tmp_path / 'run'))


@pytest.fixture
def photographs(tmp_path, monkeypatch):
  for name, level in (('dark', 0), ('light', 200)):
    (tmp_path / 'photographs' / name).mkdir(parents=True)
    for i in range(9):
      pixels = RNG.integers(level, level + 50, (16, 16, 3), np.uint8)
      Image.fromarray(pixels).save(tmp_path / 'photographs' / name / f'{i}.png')
  monkeypatch.chdir(tmp_path)
  config = _short('image_folder', path='photographs', size=16)
  config.model = {'name': 'lenet5_modern'}
  train_and_evaluate(config, 'run')
  return config


def test_images_are_named_by_their_files(photographs, tmp_path):
  evaluate('run')
  rows = _rows(tmp_path / 'run')
  assert list(rows[0])[:3] == ['example', 'name', 'target']
  assert len({row['name'] for row in rows}) == len(rows) > 1
  for row in rows:
    assert (tmp_path / 'photographs' / row['name']).is_file()
    assert row['name'].split('/')[0] == row['target']


def test_a_relative_path_is_explained_in_another_folder(
  photographs, tmp_path, monkeypatch
):
  (tmp_path / 'other').mkdir()
  monkeypatch.chdir(tmp_path / 'other')
  message = (
    r"^photographs: there is no such folder\. config\.data\.path is 'photographs', "
    rf'and the run was started in {tmp_path}: give this command there$'
  )
  with pytest.raises(DataError, match=message):
    evaluate('../run')
  (tmp_path / 'photographs').rename(tmp_path / 'elsewhere')
  with pytest.raises(DataError, match=r'^photographs: there is no such folder$'):
    evaluate('../run')
  # The run itself goes on where its data are, from any folder.
  (tmp_path / 'elsewhere').rename(tmp_path / 'other/photographs')
  photographs.num_train_steps = 2
  train_and_evaluate(photographs, '../run')
