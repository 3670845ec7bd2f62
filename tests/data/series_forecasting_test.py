"""Windows of tables against plain loops, and nothing of the test part in training."""

import csv
import datetime
import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from convscan import data


def _table(rows=40, names=('a', 'b')):
  """Rows of two interleaved series with times out of order."""
  rng = np.random.default_rng(0)
  start = datetime.datetime(2020, 2, 27)
  table = [
    {
      'id': name,
      'when': (start + datetime.timedelta(hours=step)).isoformat(' '),
      'x': round(rng.normal(), 6),
      'y': round(rng.normal(5, 3), 6),
      'z': round(rng.normal(-2, 9), 6),
    }
    for step in range(rows)
    for name in names
  ]
  rng.shuffle(table)
  return table


def _write(path, table):
  with open(path, 'w', newline='') as f:
    writer = csv.DictWriter(f, table[0])
    writer.writeheader()
    writer.writerows(table)
  return str(path)


OPTIONS = {
  'series': 'id',
  'time': 'when',
  'columns': ('y', 'x'),
  'length': 4,
  'horizon': 2,
  'test_fraction': 0.3,
}


def _open(path, **options):
  return data.build('series_forecasting', path=str(path), **OPTIONS | options)


def _examples(source):
  return [source[i] for i in range(len(source))]


@pytest.mark.parametrize('normalise', [False, True])
def test_windows_are_those_of_a_plain_loop(normalise, tmp_path):
  table = _table()
  dataset = _open(
    _write(tmp_path / 'x.csv', table), features=('z',), normalise=normalise
  )
  assert (dataset.task, dataset.classes) == ('forecasting', ('y', 'x'))
  times = sorted({row['when'] for row in table})
  expected, as_they_were = {'train': [], 'test': []}, {'train': [], 'test': []}
  for name in ('a', 'b'):
    own = sorted((r for r in table if r['id'] == name), key=lambda r: r['when'])
    train = [[r['y'], r['x'], r['z']] for r in own if r['when'] < times[28]]
    test = [[r['y'], r['x'], r['z']] for r in own if r['when'] >= times[28]]
    assert (len(train), len(test)) == (28, 12)
    for split, rows in [('train', train), ('test', test)]:
      as_they_were[split] += [
        [row[:2] for row in rows[i + 4 : i + 6]] for i in range(len(rows) - 5)
      ]
    if normalise:
      for column in range(3):
        values = [row[column] for row in train]
        mean = sum(values) / 28
        deviation = (sum((v - mean) ** 2 for v in values) / 28) ** 0.5
        for row in train + test:
          row[column] = (row[column] - mean) / deviation
    for split, rows in [('train', train), ('test', test)]:
      for start in range(len(rows) - 5):
        window, future = rows[start : start + 4], rows[start + 4 : start + 6]
        expected[split].append((window, [row[:2] for row in future]))
  for split, windows in expected.items():
    found = _examples(dataset.splits[split])
    assert len(found) == len(windows)
    restored = dataset.units[split].restore(
      np.stack([example['targets'] for example in found]), np.arange(len(found))
    )
    np.testing.assert_allclose(restored, as_they_were[split], rtol=1e-5, atol=1e-5)
    for example, (window, future) in zip(found, windows, strict=True):
      np.testing.assert_allclose(example['inputs'], window, rtol=1e-5, atol=1e-6)
      np.testing.assert_allclose(example['targets'], future, rtol=1e-5, atol=1e-6)
      np.testing.assert_array_equal(example['weights'], np.ones(2, np.float32))
      assert all(array.dtype == np.float32 for array in example.values())


@pytest.mark.parametrize('time', ['when', ''])
def test_what_the_test_part_holds_changes_nothing_of_training(time, tmp_path):
  table = sorted(_table(), key=lambda row: row['when'])
  columns = {'columns': ('x', 'y'), 'features': ('z',)}
  options = {'time': time, **columns}
  if not time:
    for row in table:
      del row['when']
  before = _open(_write(tmp_path / 'x.csv', table), **options)
  for row in table[-24:]:  # the last 12 times of 2 series
    row.update(x=1e6, y=-1e6, z=1e6)
  after = _open(_write(tmp_path / 'x.csv', table), **options)
  trains = [_examples(dataset.splits['train']) for dataset in (before, after)]
  for one, other in zip(*trains, strict=True):
    for key in one:
      np.testing.assert_array_equal(one[key], other[key])
  assert all(np.abs(e['inputs']).min() > 1e4 for e in _examples(after.splits['test']))
  # One row earlier is training's.
  table[-25].update(x=1e6)
  changed = _open(_write(tmp_path / 'x.csv', table), **options)
  assert any(np.abs(e['targets']).max() > 4 for e in _examples(changed.splits['train']))


def test_a_moment_parts_all_series_alike(tmp_path):
  table = _table(40, ('a',)) + [
    r for r in _table(40, ('b',)) if r['when'] > '2020-02-27 20'
  ]
  dataset = _open(_write(tmp_path / 'x.csv', table), normalise=False)
  moment = sorted({row['when'] for row in table})[28]
  early = {row['x'] for row in table if row['when'] < moment}
  for split in ('train', 'test'):
    for example in _examples(dataset.splits[split]):
      for value in [*example['inputs'][:, 1], *example['targets'][:, 1]]:
        assert any(abs(value - x) < 1e-6 for x in early) == (split == 'train')


def test_parquet_gives_what_csv_gives(tmp_path):
  table = _table()
  text = _open(_write(tmp_path / 'x.csv', table), features=('z',))
  columns = pa.Table.from_pylist(table)
  when = [datetime.datetime.fromisoformat(row['when']) for row in table]
  for times in (
    pa.array(when),
    columns['when'],
    pa.array(when, pa.timestamp('ns', 'UTC')),
  ):
    ids = columns['id'].dictionary_encode()
    typed = columns.set_column(1, 'when', times).set_column(0, 'id', ids)
    pq.write_table(typed, tmp_path / 'x.parquet')
    binary = _open(tmp_path / 'x.parquet', features=('z',))
    for split in ('train', 'test'):
      pairs = zip(
        _examples(text.splits[split]), _examples(binary.splits[split]), strict=True
      )
      for one, other in pairs:
        for key in one:
          np.testing.assert_array_equal(one[key], other[key])


def test_a_category_that_is_missing_is_named(tmp_path):
  ids = pa.array([*'ab', ''] * 10).dictionary_encode()
  pq.write_table(pa.table({'id': ids, 'x': range(30)}), tmp_path / 'x.parquet')
  with pytest.raises(data.DataError, match=r"row 3: column 'id' is empty"):
    _plain(tmp_path / 'x.parquet', series='id')


def test_dates_of_parquet_are_sorted(tmp_path):
  days = [datetime.date(2020, 1, 31) - datetime.timedelta(d) for d in range(30)]
  pq.write_table(pa.table({'day': days, 'x': range(30)}), tmp_path / 'x.pq')
  options = {'series': '', 'time': 'day', 'columns': (), 'normalise': False}
  source = _open(tmp_path / 'x.pq', **options).splits['train']
  assert source[0]['inputs'][:, 0].tolist() == [29, 28, 27, 26]


def _lines(tmp_path, *lines, name='x.csv'):
  path = tmp_path / name
  path.write_text('\n'.join(lines) + '\n')
  return path


def _plain(path, **options):
  plain = {'series': '', 'time': '', 'columns': (), 'normalise': False}
  return _open(path, **plain | options)


ROWS = [f'{i},{i * i}' for i in range(30)]


def test_a_missing_cell_ends_a_window_when_it_is_skipped(tmp_path, caplog):
  rows = [*ROWS]
  rows[7] = ',49'
  path = _lines(tmp_path, 't,x', *rows)
  with pytest.raises(
    data.DataError, match=r"x\.csv, line 9: column 't' is empty; expec"
  ):
    _plain(path)
  with caplog.at_level(logging.WARNING):
    source = _plain(path, on_bad='skip').splits['train']
  starts = [int(e['inputs'][0, 0]) for e in _examples(source)]
  assert starts == [0, 1, *range(8, 21 - 5)]
  where = f"{path}, line 9: column 't' is empty; expected a number"
  assert caplog.messages == [f'{path}: left out 1: {where}']


@pytest.mark.parametrize(
  ('row', 'message'),
  [
    ('7,', r"line 9: column 'x' is empty; expected a number"),
    ('7,NA', r"line 9: column 'x' is 'NA'; expected a number"),
    ('7,nan', r"line 9: column 'x' is 'nan'; expected a number"),
    ('7,1e999', r"line 9: column 'x' is '1e999'; expected a number"),
    ('7,"1,5"', r"line 9: column 'x' is '1,5'; expected a number"),
    ('7', r"line 9: 1 cells; expected 2, parted by ','"),
    ('7,49,0', r"line 9: 3 cells; expected 2, parted by ','"),
    ('', r'line 9: '),
  ],
)
def test_bad_rows_are_named_or_skipped(row, message, tmp_path, caplog):
  path = _lines(tmp_path, 't,x', *ROWS[:7], row, *ROWS[8:])
  with pytest.raises(data.DataError, match=message):
    _plain(path)
  source = _plain(path, on_bad='skip').splits['train']
  starts = [int(e['inputs'][0, 0]) for e in _examples(source)]
  assert starts == [0, 1, *range(8, 21 - 5)]
  (line,) = caplog.messages
  assert ': left out 1: ' in line


def test_a_bad_cell_of_parquet_is_named(tmp_path):
  table = pa.table(
    {'x': [1.0, 2.0, None, *range(30)], 'y': [0.0, float('nan'), *range(31)]}
  )
  pq.write_table(table, tmp_path / 'x.parquet')
  with pytest.raises(data.DataError, match=r"parquet, row 2: column 'y' is empty"):
    _plain(tmp_path / 'x.parquet')
  starts = [e['inputs'][0, 0] for e in _examples(
    _plain(tmp_path / 'x.parquet', on_bad='skip').splits['train'])]  # fmt: skip
  assert starts[0] == 0
  pq.write_table(pa.table({'x': [[1], [2]]}), tmp_path / 'x.parquet')
  with pytest.raises(data.DataError, match=r"column 'x' is list<.*; expected numbers"):
    _plain(tmp_path / 'x.parquet')


def test_a_series_shorter_than_its_window_is_named_or_skipped(tmp_path, caplog):
  table = _table()
  for when in ('2020-02-27 00:00:00', '2020-02-28 15:00:00'):
    table.append({'id': 'c', 'when': when, 'x': 0, 'y': 0, 'z': 0})
  path = _write(tmp_path / 'x.csv', table)
  message = r"series 'c': 1 rows to train and 1 to test; expected 6 or more in both"
  with pytest.raises(data.DataError, match=message):
    _open(path)
  whole = _open(_write(tmp_path / 'y.csv', table[:-2]))
  source = _open(path, on_bad='skip').splits['train']
  assert len(source) == len(whole.splits['train'])
  assert 'left out 1: ' in caplog.messages[0]
  path = _lines(tmp_path, 't,x', *ROWS)
  for length in (30, 4):  # too long for both parts, and for the second
    message = rf'24 rows to train and 6 to test; expected {length + 4}'
    with pytest.raises(data.DataError, match=message):
      _plain(path, length=length, horizon=4, test_fraction=0.2)


def test_rows_without_a_place_in_time_are_never_skipped(tmp_path):
  rows = [f'{i},{i * i}' for i in range(30)]
  options = {'time': 't', 'on_bad': 'skip'}
  for cell, message in [
    ('', r"line 5: column 't' is empty"),
    ('noon', r"line 5: column 't' is 'noon'; expected a number or a time as 2000-12"),
    ('nan', r"line 5: column 't' is 'nan'; expected a number or a time"),
    ('2', r"line 5: column 't' is '2', as in .*x\.csv, line 4; expected each time"),
  ]:
    path = _lines(tmp_path, 't,x', *rows[:3], f'{cell},9', *rows[4:])
    with pytest.raises(data.DataError, match=message):
      _plain(path, **options)
  path = _lines(tmp_path, 't,x', *rows[:3], '9', *rows[4:])
  with pytest.raises(data.DataError, match=r"line 5: column 't' is empty"):
    _plain(path, **options)


def test_files_that_are_no_tables(tmp_path):
  (tmp_path / 'x.csv').write_bytes('t,x\n1,2\ncafé,3\n'.encode('latin-1'))
  with pytest.raises(
    data.DataError, match=r'x\.csv, line 3: byte 11 of .*0xe9, is not ut'
  ):
    _plain(tmp_path / 'x.csv')
  with pytest.raises(data.DataError, match=r"line 3: column 't' is 'café'"):
    _plain(tmp_path / 'x.csv', encoding='latin-1')
  with pytest.raises(
    data.DataError, match=r'nowhere\.csv: can not be read: No such file'
  ):
    _plain(tmp_path / 'nowhere.csv')
  (tmp_path / 'x.parquet').write_bytes(b'PAR1 no more')
  with pytest.raises(data.DataError, match=r'x\.parquet: can not be read: \S+') as e:
    _plain(tmp_path / 'x.parquet')
  assert '\n' not in str(e.value)
  for lines in (['t,x'], ['']):
    with pytest.raises(data.DataError, match=r'it has no rows'):
      _plain(_lines(tmp_path, *lines))
  with pytest.raises(data.DataError, match=r"two columns 't'"):
    _plain(_lines(tmp_path, 't,t', '1,2'))


def test_other_delimiters_encodings_and_marks(tmp_path):
  plain = _plain(_lines(tmp_path, 't,x', *ROWS))
  content = '\n'.join(['t;x', *ROWS]).replace(',', ';')
  (tmp_path / 'y.csv').write_bytes(content.encode('utf-16'))
  other = _plain(tmp_path / 'y.csv', delimiter=';', encoding='utf-16')
  (tmp_path / 'z.csv').write_bytes(content.replace(';', ',').encode('utf-8-sig'))
  marked = _plain(tmp_path / 'z.csv', columns=('t', 'x'))
  for dataset in (other, marked):
    np.testing.assert_array_equal(
      dataset.splits['test'][-1]['inputs'], plain.splits['test'][-1]['inputs']
    )


def test_a_column_that_does_not_vary_is_left_at_0(tmp_path):
  rows = [f'{i},0.1' for i in range(30)]
  source = _plain(_lines(tmp_path, 't,x', *rows), normalise=True).splits['test']
  np.testing.assert_allclose(source[0]['inputs'][:, 1], 0, atol=1e-6)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'path': ''}, r"path is '', but must be a \.csv or \.parquet file"),
    ({'length': 1}, r'length is 1 and horizon 2, but'),
    ({'horizon': 0}, r'length is 4 and horizon 0, but'),
    ({'test_fraction': 0}, r'test_fraction is 0, but'),
    ({'columns': ('w',)}, r"columns is 'w', but .*x\.csv has the columns t, x"),
    ({'series': 'w'}, r"series is 'w', but"),
    ({'time': 'w'}, r"time is 'w', but"),
    ({'columns': ('t',), 'features': ('t',)}, r'must be different ones'),
    ({'columns': ('t',), 'time': 't'}, r'must be different ones'),
    ({'delimiter': ', '}, r"delimiter is ', ', but must be one character"),
    ({'encoding': 'utf-9'}, r"encoding is 'utf-9', but"),
    ({'on_bad': ''}, r"on_bad is '', but"),
  ],
)
def test_illegal_options(options, message, tmp_path):
  path = _lines(tmp_path, 't,x', *ROWS)
  with pytest.raises(ValueError, match=message):
    _plain(**{'path': path} | options) if 'path' not in options else data.build(
      'series_forecasting', path=''
    )


def test_a_column_of_times_is_not_forecast(tmp_path):
  path = tmp_path / 'x.csv'
  path.write_text(
    'hour,load\n' + ''.join(f'2024-01-{d:02},{d}\n' for d in range(1, 29))
  )
  with pytest.raises(data.DataError, match=r"column 'hour' has no numbers; .* `time`"):
    data.build('series_forecasting', path=str(path), length=3, horizon=1)
  options = {'time': 'hour', 'length': 3, 'horizon': 1}
  assert data.build('series_forecasting', path=str(path), **options).classes == (
    'load',
  )
