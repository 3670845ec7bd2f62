"""Labelled series in both layouts against plain loops, and labels that can't be."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from convscan import data


def _lines(tmp_path, *lines, name='x.csv'):
  path = tmp_path / name
  path.write_text('\n'.join(lines) + '\n')
  return path


def _open(path, **options):
  return data.build('series_classification', path=str(path), **options)


def _examples(source):
  return [source[i] for i in range(len(source))]


def _in_test(name, fraction=0.4, seed=3):
  digest = hashlib.sha256(f'{seed}:{name}'.encode()).hexdigest()
  return int(digest[:16], 16) / 16**16 < fraction


SPLIT = {'test_fraction': 0.4, 'seed': 3}
LONG = [
  (f's{s}', 'up' if s % 2 else 'down', step, s + step / 8, -s * step)
  for s in range(12)
  for step in range(2 + s % 3)
]


def _long(rows):
  return ['id,label,t,x,y', *(','.join(map(str, row)) for row in rows)]


@pytest.mark.parametrize('normalise', [False, True])
def test_rows_of_a_series_are_grouped_sorted_split_and_padded(normalise, tmp_path):
  rows = [*LONG]
  np.random.default_rng(0).shuffle(rows)
  path = _lines(tmp_path, *_long(rows))
  dataset = _open(path, series='id', time='t', normalise=normalise, **SPLIT)
  assert (dataset.task, dataset.classes) == ('classification', ('down', 'up'))
  order = list(dict.fromkeys(row[0] for row in rows))
  parts = {'train': [], 'test': []}
  for name in order:
    parts['test' if _in_test(name) else 'train'].append(name)
  assert min(map(len, parts.values())) >= 3
  steps = {n: [[r[3], r[4]] for r in LONG if r[0] == n] for n in order}
  mean, deviation = np.zeros(2), np.ones(2)
  if normalise:
    every = np.array([step for name in parts['train'] for step in steps[name]])
    mean = every.sum(axis=0) / len(every)
    deviation = np.sqrt(((every - mean) ** 2).sum(axis=0) / len(every))
  for split, names in parts.items():
    examples = _examples(dataset.splits[split])
    assert len(examples) == len(names)
    assert dataset.names[split] == names
    for name, example in zip(names, examples, strict=True):
      length = len(steps[name])
      assert {k: (v.shape, v.dtype) for k, v in example.items()} == {
        'inputs': ((4, 2), np.float32),
        'targets': ((), np.int32),
        'weights': ((), np.float32),
        'lengths': ((), np.int32),
      }
      assert example['lengths'] == length
      assert example['targets'] == int(name[1:]) % 2
      expected = (np.array(steps[name]) - mean) / deviation
      np.testing.assert_allclose(example['inputs'][:length], expected, atol=1e-5)
      assert not example['inputs'][length:].any()


WIDE = [
  (label, *(s * 10 + step for step in range(5))) for s, label in enumerate('abab' * 5)
]


def _wide(rows):
  return ['label,p,q,r,s,t', *(','.join(map(str, row)) for row in rows)]


def test_a_row_is_a_series(tmp_path):
  dataset = _open(_lines(tmp_path, *_wide(WIDE)), normalise=False, **SPLIT)
  parts = {'train': [], 'test': []}
  for row, values in enumerate(WIDE):
    split = 'test' if _in_test(str(row)) else 'train'
    assert dataset.names[split][len(parts[split])].endswith(f'x.csv, line {row + 2}')
    parts[split].append(values)
  for split, rows in parts.items():
    examples = _examples(dataset.splits[split])
    assert [e['inputs'][:, 0].tolist() for e in examples] == [[*r[1:]] for r in rows]
    assert ['ab'[e['targets']] for e in examples] == [r[0] for r in rows]
    assert all(e['inputs'].shape == (5, 1) and 'lengths' not in e for e in examples)


def test_what_the_test_part_holds_changes_nothing_of_training(tmp_path):
  before = _open(_lines(tmp_path, *_wide(WIDE)), **SPLIT)
  planted = [
    (row[0], *([1e6] * 5)) if _in_test(str(i)) else row for i, row in enumerate(WIDE)
  ]
  after = _open(_lines(tmp_path, *_wide(planted)), **SPLIT)
  trains = [_examples(dataset.splits['train']) for dataset in (before, after)]
  for one, other in zip(*trains, strict=True):
    np.testing.assert_array_equal(one['inputs'], other['inputs'])
  values = np.concatenate([example['inputs'] for example in trains[0]])
  assert (values.mean(), values.std()) == (pytest.approx(0, abs=1e-6), pytest.approx(1))
  assert all(e['inputs'].min() > 1e3 for e in _examples(after.splits['test']))


def test_cells_missing_at_the_end_are_no_steps_if_said_so(tmp_path):
  lines = ['label,p,q,r', 'a,1,2,3', 'b,4,5,', 'a,6,,', 'b,7,8,9']
  path = _lines(tmp_path, *lines)
  with pytest.raises(
    data.DataError, match=r"line 3: column 'r' is empty; expected a nu"
  ):
    _open(path)
  source = _open(
    path, variable_length=True, normalise=False, test_path=str(path)
  ).splits['train']
  assert [int(e['lengths']) for e in _examples(source)] == [3, 2, 1, 3]
  assert source[2]['inputs'][:, 0].tolist() == [6, 0, 0]
  for row, message in [
    ('b,4,,5', r"line 6: column 'q' is empty"),
    ('b,,,', r"line 6: column 'p' is empty"),
    ('b,4,x,', r"line 6: column 'q' is 'x'"),
    ('b,4,5,x', r"line 6: column 'r' is 'x'"),
  ]:
    bad = _lines(tmp_path, *lines, row, name='bad.csv')
    options = {'variable_length': True, 'normalise': False, 'test_path': str(path)}
    with pytest.raises(data.DataError, match=message):
      _open(bad, **options)
    assert len(_open(bad, on_bad='skip', **options).splits['train']) == 4


@pytest.mark.parametrize('lines', [_wide(WIDE), _long(LONG)])
def test_parquet_gives_what_csv_gives(lines, tmp_path):
  path = _lines(tmp_path, *lines)
  pq.write_table(pa.csv.read_csv(path), tmp_path / 'x.parquet')
  options = SPLIT | ({'series': 'id', 'time': 't'} if 'id' in lines[0] else {})
  one, other = _open(path, **options), _open(tmp_path / 'x.parquet', **options)
  assert one.classes == other.classes
  for split in ('train', 'test'):
    pairs = zip(
      _examples(one.splits[split]), _examples(other.splits[split]), strict=True
    )
    for first, second in pairs:
      for key in first:
        np.testing.assert_array_equal(first[key], second[key])


def test_labels_that_are_numbers_are_sorted_as_such(tmp_path):
  rows = [(s % 3 * 5, *range(5)) for s in range(12)]
  assert _open(_lines(tmp_path, *_wide(rows))).classes == ('0', '5', '10')


def test_labels_that_can_not_be_are_named_or_skipped(tmp_path, caplog):
  path = _lines(tmp_path, *_wide(WIDE))
  test = _lines(tmp_path, *_wide([('c', *range(5)), WIDE[0]]), name='test.csv')
  message = r"test\.csv, line 2: the label is 'c'; expected one of a, b"
  with pytest.raises(data.DataError, match=message):
    _open(path, test_path=str(test))
  dataset = _open(path, test_path=str(test), on_bad='skip')
  assert (len(dataset.splits['train']), len(dataset.splits['test'])) == (20, 1)
  assert 'left out 1: ' in caplog.messages[0]
  with pytest.raises(data.DataError, match=r"x\.csv, line 2: the label is 'a'; expect"):
    _open(path, classes=('b', 'c'))
  assert _open(path, classes=('b', 'z', 'a')).classes == ('b', 'z', 'a')
  bad = _lines(tmp_path, *_wide([*WIDE, ('', *range(5))]), name='bad.csv')
  with pytest.raises(
    data.DataError, match=r"line 22: column 'label' is empty; expected"
  ):
    _open(bad)
  assert _open(bad, on_bad='skip').classes == ('a', 'b')


def test_bad_series_are_named_or_skipped_whole(tmp_path, caplog):
  for column, cell, message in [
    (3, '', r"line 5: column 'x' is empty; expected a number"),
    (1, 'up', r"line 5: column 'label' is 'up'; expected one label for series 's1'"),
    (1, '', r"line 5: column 'label' is empty; expected one label for series"),
  ]:
    rows = [*map(list, LONG)]
    assert rows[3][0] == rows[2][0] == 's1'
    rows[2][1] = rows[4][1] = 'down' if column == 1 else 'up'
    rows[3][column] = cell
    path = _lines(tmp_path, *_long(rows))
    with pytest.raises(data.DataError, match=message):
      _open(path, series='id', time='t')
    caplog.clear()
    dataset = _open(path, series='id', time='t', on_bad='skip')
    assert sum(map(len, dataset.splits.values())) == 11
    assert 'left out 1: ' in caplog.messages[0]
  rows[3][0] = ''
  with pytest.raises(data.DataError, match=r"line 5: column 'id' is empty"):
    _open(_lines(tmp_path, *_long(rows)), series='id', on_bad='skip')


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'path': ''}, r"path is ''"),
    ({'label': 'w'}, r"label is 'w', but"),
    ({'series': 'w'}, r"series is 'w', but"),
    ({'series': 'p', 'time': 'w'}, r"time is 'w', but"),
    ({'time': 'p'}, r"time is 'p', but must be '' without series"),
    ({'columns': ('w',)}, r"columns is 'w', but"),
    ({'variable_length': True, 'series': 'p'}, r'variable_length is True, but'),
    ({'test_fraction': 2}, r'test_fraction is 2, but'),
    ({'on_bad': 'no'}, r"on_bad is 'no', but"),
  ],
)
def test_illegal_options(options, message, tmp_path):
  path = str(_lines(tmp_path, *_wide(WIDE)))
  with pytest.raises(ValueError, match=message):
    data.build('series_classification', **{'path': path} | options)


def test_too_few(tmp_path):
  with pytest.raises(
    data.DataError, match=r'2 series to train and 1 to test, of 1 classe'
  ):
    _open(_lines(tmp_path, *_wide(WIDE[:5:2])))
