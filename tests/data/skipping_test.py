"""Examples that can't be read, left out: files are damaged here, for real."""

import dataclasses
import io
import logging

import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from elsewhere_test import label, make
from imagenette_test import jpeg, tgz
from PIL import Image
from serving import offered

from convscan import data
from convscan.data.builders import imagenette
from convscan.data.errors import DataError
from convscan.data.images import RandomShift


def damage(file, every):
  """Flips a bit of every so manieth byte; returns which records can't be read."""
  content = bytearray(file.read_bytes())
  for i in range(70000, len(content) - 70000, every):  # not the file's own head or end
    content[i] ^= 1
  file.write_bytes(content)
  reader = array_record_module.ArrayRecordReader(str(file))
  bad = set()
  for i in range(reader.num_records()):
    try:
      reader.read([i])
    except RuntimeError:
      bad.add(i)
  return bad


@pytest.fixture(scope='module')
def zoo(tmp_path_factory):
  """Returns a set of TFDS, the same with damage, and where in training that is."""
  folders = [tmp_path_factory.mktemp(name) for name in ('good', 'bad')]
  images = np.random.default_rng(0).integers(0, 256, (1500, 8, 8, 1), np.uint8)
  rows = [{'image': image, 'label': i % 2} for i, image in enumerate(images)]
  feature = tfds.features.Tensor(shape=(8, 8, 1), dtype=np.uint8)
  for folder in folders:
    splits = {'train': rows[:1400], 'test': rows[1400:]}
    make(folder, 'Zoo', {'image': feature, 'label': label()}, splits)
  (file,) = folders[1].glob('zoo/*/*train*')
  bad = damage(file, 9001)
  assert 5 < len(bad) < 100
  augment = (RandomShift(2),)
  whole, damaged = (
    dataclasses.replace(data.build('zoo', data_dir=folder), augment=augment)
    for folder in folders
  )
  return whole, damaged, bad


def _equal(one, other):
  assert one.keys() == other.keys()
  for name in one:
    np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_without_it_a_damaged_record_is_an_error(zoo):
  _, damaged, bad = zoo
  first = min(bad)
  message = rf"zoo/5\.1\.0: record {first} of 'train' is damaged or missing: "
  with pytest.raises(DataError, match=message):
    list(data.eval_batches(damaged, 'train', 64))


@pytest.mark.parametrize('workers', [0, 2])
def test_the_other_rows_are_as_without_damage(zoo, workers, caplog):
  whole, damaged, bad = zoo
  skipping = data.skip_bad(damaged)
  wanted = data.train_batches(whole, 64, 3)
  batches = data.train_batches(skipping, 64, 3, num_workers=workers)
  halves = [
    data.train_batches(skipping, 64, 3, process_index=i, process_count=2)
    for i in range(2)
  ]
  skipped = []
  with caplog.at_level(logging.WARNING, 'convscan'):
    for step in range(50):  # two epochs and more
      batch = {k: np.array(v) for k, v in next(batches).items()}
      if not workers:
        parts = [next(half) for half in halves]
        _equal(batch, {k: np.concatenate([p[k] for p in parts]) for k in batch})
        if step == 24:  # as a run that was stopped goes on
          state = batches.get_state()
          batches = data.train_batches(skipping, 64, 3, num_threads=0)
          batches.set_state(state)
      is_bad = np.isin(batch['index'], [*bad])
      np.testing.assert_array_equal(batch.pop('skipped'), is_bad)
      np.testing.assert_array_equal(batch['weights'], ~is_bad)
      _equal(*({k: v[~is_bad] for k, v in b.items()} for b in (batch, next(wanted))))
      skipped += batch['index'][is_bad].tolist()
  batches.close()
  assert len(skipped) > len(bad)  # in more than one epoch
  said = [r.getMessage() for r in caplog.records]
  assert len(said) == len(bad)
  for index in bad:
    (line,) = (s for s in said if f'zoo, train: left out example {index}: ' in s)
    assert f"zoo/5.1.0: record {index} of 'train' is damaged or missing: " in line


def test_a_bad_last_example_is_counted_once(zoo):
  whole, _, _ = zoo
  last = len(whole.splits['test']) - 1
  source = _Odd(whole.splits['test'], {0, last})
  dataset = data.skip_bad(data.Dataset('odd', whole.task, whole.classes, {'b': source}))
  batches = [*data.eval_batches(dataset, 'b', 64)]
  assert len(batches) * 64 > last + 1
  assert sum(batch['skipped'].sum() for batch in batches) == 2
  assert sum(batch['weights'].sum() for batch in batches) == last + 1 - 2


class _Odd:
  """Another source, of which some positions can't be read."""

  def __init__(self, source, bad):
    self._source, self._bad = source, bad

  def __len__(self):
    return len(self._source)

  def __getitem__(self, index):
    if index in self._bad:
      raise DataError(f'odd.csv, row {index}: cut off')
    return self._source[index]


@pytest.mark.parametrize('buckets', [0, 3])
def test_stand_ins_have_a_length(buckets):
  parity = data.build('parity', train_lengths=(1, 8), train_examples=200)
  bad = {0, 17, 50, 199}
  source = _Odd(parity.splits['train'], bad)
  dataset = data.Dataset('odd', parity.task, parity.classes, {'train': source})
  batches = data.train_batches(data.skip_bad(dataset), 20, 0, length_buckets=buckets)
  seen = [next(batches) for _ in range(10)]
  assert all((batch['lengths'] >= 1).all() for batch in seen)
  assert {int(i) for b in seen for i in b['index'][b['skipped'] > 0]} == bad
  assert sorted(np.concatenate([b['index'] for b in seen])) == [*range(200)]


@pytest.mark.parametrize('task', ['classification', 'tagging'])
def test_stand_ins_are_no_longer_than_their_batch(task):
  lengths = np.array([20] * 10 + [3] * 10)  # the first, a long one, stands in
  tokens = np.arange(20, dtype=np.int32)
  by_step = task == 'tagging'
  source = _Odd(
    [
      {
        'inputs': tokens,
        'lengths': np.array(length, np.int32),
        'targets': tokens % 2 if by_step else np.array(0, np.int32),
        'weights': np.ones(20 if by_step else (), np.float32),
      }
      for length in lengths
    ],
    {12, 15},
  )
  source.lengths = lengths
  splits = {'train': source, 'test': source}
  dataset = data.skip_bad(data.Dataset('odd', task, ('a', 'b'), splits))
  batches = data.train_batches(dataset, 5, 0, length_buckets=2)
  seen = [next(batches) for _ in range(4)]
  assert sorted(batch['inputs'].shape[1] for batch in seen) == [3, 3, 20, 20]
  assert sum(batch['skipped'].sum() for batch in seen) == 2
  for batch in seen:
    assert (batch['lengths'] == batch['inputs'].shape[1]).all()
    assert batch['lengths'].dtype == np.int32


@pytest.mark.parametrize('augment', ['', 'standard'])
def test_truncated_photographs(tmp_path, monkeypatch, augment, caplog):
  def noise():
    out = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(pixels).save(out, 'jpeg')
    return out.getvalue()

  files = {
    f'{part}/n01440764/{i}.JPEG': noise()[:-500] if i in (2, 5) else jpeg('red')
    for part in ('train', 'val')
    for i in range(7)
  }
  contents = {'imagenette2-160.tgz': tgz(files)}
  with offered(tmp_path / 's', monkeypatch, imagenette.FILES, '160px', contents):
    damaged = data.build('imagenette', data_dir=tmp_path, size=16, augment=augment)
  dataset = data.skip_bad(damaged)
  for batch in (
    next(data.train_batches(dataset, 7, 0)),
    *data.eval_batches(dataset, 'test', 7),
  ):
    bad = batch['skipped'] > 0
    assert bad.sum() == 2
    np.testing.assert_array_equal(batch['weights'], 1.0 - bad)
    assert batch['inputs'].shape == (7, 16, 16, 3)
    # All good ones are red.
    np.testing.assert_allclose(batch['inputs'][..., 0], 2.23, atol=0.1)
  said = ' '.join(r.getMessage() for r in caplog.records)
  for split, name in (('train', '2.JPEG'), ('validation', '5.JPEG')):
    assert f"of '{split}' ({name}): " in said


@pytest.mark.parametrize('bad', [range(17), range(25), range(40)])
def test_too_many_are_an_error(zoo, bad):
  whole, _, _ = zoo
  few = [whole.splits['test'][i] for i in range(40)]
  splits = {'train': few, 'test': _Odd(few, set(bad))}
  dataset = data.Dataset('odd', whole.task, whole.classes, splits)
  if len(bad) == 17:
    assert len(data.skip_bad(dataset).splits['test']) == 40
    return
  with pytest.raises(
    DataError,
    match=r"^odd, test: \d+ of 32 examples can't be read; expected half or more to be "
    r'good, such as odd\.csv, row 0: cut off$',
  ):
    data.skip_bad(dataset)


def test_a_ragged_example_is_an_error_all_the_same(zoo):
  whole, _, _ = zoo
  examples = [dict(whole.splits['test'][i]) for i in range(8)]
  examples[5]['inputs'] = np.zeros((8, 9, 1), np.float32)
  splits = {'train': examples, 'test': examples}
  dataset = data.Dataset('odd', whole.task, whole.classes, splits)
  message = r'^example 5: inputs are \[8, 9, 1\]; expected \[8, 8, 1\], as in example 0'
  for found in (dataset, data.skip_bad(dataset)):
    with pytest.raises(DataError, match=message):
      next(data.eval_batches(found, 'test', 8))
