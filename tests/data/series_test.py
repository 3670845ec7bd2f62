"""Electricity and climate from small files of their formats."""

import gzip
import zipfile

import numpy as np
import pytest
from declaring import check_declared
from serving import file_of, serve

from convscan import data
from convscan.data import DataError
from convscan.data.builders import electricity, jena_climate

RNG = np.random.default_rng(0)
LOAD = RNG.integers(0, 9000, (9000, 3))  # more than two records
JENA = (
  '"Date Time","p (mbar)","T (degC)","wv (m/s)"\n'
  + ''.join(
    f'01.01.2009 {i:02}:10:00,{996.52 - i},{-8.02 + i * i % 7},{i % 3}.5\n'
    for i in range(60)
  )
).replace(',1.5', ',-9999.00')


def text_of(load):
  return '\n'.join(','.join(map(str, row)) for row in load) + '\n'


@pytest.fixture
def opened(tmp_path, monkeypatch):
  folder = tmp_path / 'served'
  folder.mkdir()

  def open_set(module, content, truncate=0, **options):
    (file,) = module.FILES
    path = folder / file.name
    if path.suffix == '.gz':
      path.write_bytes(gzip.compress(content))
    else:
      with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(path.stem, content)
    if truncate:
      path.write_bytes(path.read_bytes()[:-truncate])
    with serve(folder) as url:
      monkeypatch.setattr(module, 'FILES', (file_of(path, url),))
      name = module.__name__.rsplit('.', 1)[-1]
      return data.build(name, data_dir=tmp_path / 'sets', **options)

  return open_set


def check_windows(dataset, values, parts, length, horizon, targets):
  """Compares every window with the part of the values that it should be."""
  for split, (begin, end) in parts.items():
    source = dataset.splits[split]
    ends = [t for t in range(begin, end - horizon + 1) if t >= length]
    assert len(source) == len(ends)
    for i in (0, 1, len(source) // 2, len(source) - 1):
      t = ends[i]
      example = source[i]
      np.testing.assert_allclose(
        example['inputs'], values[t - length : t], rtol=1e-4, atol=1e-4
      )
      np.testing.assert_allclose(
        example['targets'], values[t : t + horizon, :targets], rtol=1e-4, atol=1e-4
      )
      assert example['weights'].tolist() == [1] * horizon
      assert example['inputs'].dtype == example['targets'].dtype == np.float32
    some = np.array([len(source) - 1, 0])
    batch = source.get_batch(some)
    for key in example:
      np.testing.assert_array_equal(batch[key], [source[i][key] for i in some])
      assert batch[key].dtype == example[key].dtype
    with pytest.raises(IndexError):
      source[len(source)]


def test_electricity(opened, monkeypatch):
  dataset = opened(electricity, text_of(LOAD).encode(), length=10, horizon=4)
  monkeypatch.setattr(electricity.Electricity, 'COLUMNS', dataset.classes)
  check_declared(dataset, length=10, horizon=4)
  assert dataset.classes == ('client0', 'client1', 'client2')
  train = LOAD[:5400]
  scaled = (LOAD - np.mean(train, axis=0)) / np.std(train, axis=0)
  parts = {'train': (0, 5400), 'validation': (5400, 7200), 'test': (7200, 9000)}
  check_windows(dataset, scaled, parts, 10, 4, 3)


@pytest.mark.parametrize(
  ('module', 'content', 'options', 'parts'),
  [
    # What LSTNet's int(0.6 * n) and int((0.6 + 0.2) * n) cut of 104 hours.
    (electricity, text_of(LOAD[:104]), {}, (62, 83, 104)),
    # What int(n * 0.7) and int(n * 0.9) of TensorFlow's tutorial cut of 17 steps.
    (jena_climate, '\n'.join(JENA.splitlines()[:18]), {'every': 1}, (11, 15, 17)),
  ],
)
def test_the_parts_end_where_the_papers_do(opened, module, content, options, parts):
  dataset = opened(module, content.encode(), length=2, horizon=1, **options)
  train, validation, end = parts
  assert {split: len(source) for split, source in dataset.splits.items()} == {
    'train': train - 2,
    'validation': validation - train,
    'test': end - validation,
  }


def test_a_client_that_uses_nothing_in_training(opened):
  load = np.array(LOAD[:50])
  load[:30, 1] = 7
  dataset = opened(electricity, text_of(load).encode(), length=2, horizon=1)
  assert dataset.splits['train'][0]['inputs'][:, 1].tolist() == [0, 0]
  last = dataset.splits['test'][-1]['targets']
  np.testing.assert_allclose(last[0, 1], load[-1, 1] - 7)


def test_climate_by_the_hour(opened, monkeypatch):
  dataset = opened(jena_climate, JENA.encode(), every=2, length=3, horizon=2)
  columns = JENA.splitlines()[0].replace('"', '').split(',')[1:]
  assert {*columns} <= {*jena_climate.JenaClimate.COLUMNS}
  monkeypatch.setattr(jena_climate.JenaClimate, 'COLUMNS', columns)
  check_declared(dataset, every=2, length=3, horizon=2)
  assert dataset.classes == ('T (degC)',)
  assert dataset.license == 'None is named'
  rows = [line.split(',')[1:] for line in JENA.splitlines()[1:]]
  p, t, wind = np.array(rows, np.float32)[1::2].T
  assert (wind == -9999).sum() > 5
  values = np.stack([t, p, np.where(wind < 0, 0, wind)], axis=1)
  train = values[:21]
  scaled = (values - train.mean(axis=0)) / train.std(axis=0)
  parts = {'train': (0, 21), 'validation': (21, 27), 'test': (27, 30)}
  check_windows(dataset, scaled, parts, 3, 2, 1)
  last = dataset.splits['test'][0]['targets'][None]
  restored = dataset.units['test'].restore(last, np.array([0]))
  np.testing.assert_allclose(restored, values[None, 27:29, :1], rtol=1e-5)


def test_what_follows_the_training_part_changes_nothing_in_it(opened, tmp_path):
  first = opened(electricity, text_of(LOAD[:100]).encode(), length=5, horizon=2)
  for path in (tmp_path / 'sets').iterdir():
    path.rename(tmp_path / f'other_{path.name}')
  later = np.concatenate([LOAD[:60], LOAD[:40] * 100])
  second = opened(electricity, text_of(later).encode(), length=5, horizon=2)
  for i in range(len(first.splits['train'])):
    a, b = first.splits['train'][i], second.splits['train'][i]
    np.testing.assert_array_equal(a['inputs'], b['inputs'])
    np.testing.assert_array_equal(a['targets'], b['targets'])
  assert second.splits['test'][-1]['targets'].max() > 50


@pytest.mark.parametrize(
  ('module', 'content', 'message'),
  [
    (
      electricity,
      '1,2\n3,\n',
      r'electricity\.txt\.gz, row 2: could not convert .* \'\'',
    ),
    (electricity, '1,2\n3\n', r'row 2: 1 numbers, but expected 2'),
    (electricity, '1,nan\n', r'row 1: .* has one that is not finite'),
    (electricity, '', r'electricity\.txt\.gz: has no rows of numbers'),
    (electricity, '1,2\né,3\n', r'row 2: could not convert'),
    (
      jena_climate,
      JENA + '01.01.2009 60:10:00,1,,2\n',
      r'2016\.csv, row 62: could not',
    ),
    (
      jena_climate,
      JENA + '01.01.2009 60:10:00,1,2\n',
      r'row 62: 2 numbers, but expected',
    ),
    (jena_climate, 'time,a\n1,2\n', r"row 1: begins with 'time', but the first column"),
    (jena_climate, '', r"row 1: begins with ''"),
    (
      jena_climate,
      '"Date Time","é"\n'.encode('latin-1') + b'1,\xe9\n',
      r'row 2: could',
    ),
  ],
)
def test_what_is_no_such_file(opened, module, content, message):
  content = content if isinstance(content, bytes) else content.encode()
  with pytest.raises(DataError, match=message) as caught:
    opened(module, content)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('module', [electricity, jena_climate])
def test_a_truncated_archive(opened, module):
  with pytest.raises(DataError, match=r'is damaged'):
    opened(module, JENA.encode(), truncate=20)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'every': 0}, r'every is 0, length 120 and horizon 12, but must be 1, 2 and 1 or'),
    ({'length': 1}, r'length 1 and'),
    ({'horizon': 0}, r'horizon 0, but'),
    (
      {'target': 'T'},
      r"target is 'T', but must be one of \('p \(mbar\)', 'T \(degC\)'",
    ),
    (
      {'length': 9},
      r'length is 9 and horizon 12, but the steps from \d+ to \d+ have no',
    ),
  ],
)
def test_options_that_can_not_be(opened, options, message):
  with pytest.raises(ValueError, match=message):
    opened(jena_climate, JENA.encode(), **options)
