"""Batches: functions of (seed, index), whatever the processes, stops and threads."""

import itertools
import json

import grain
import numpy as np
import pytest

from convscan import data
from convscan.data.images import RandomShift
from convscan.data.reading import read


class Numbers:
  """Image i is full of i + 1, so that a shift changes its sum."""

  def __init__(self, size):
    self._size = size

  def __len__(self):
    return self._size

  def __getitem__(self, index):
    index = range(self._size)[index]
    return {
      'inputs': np.full((3, 3, 1), index + 1, np.float32),
      'targets': np.array(index, np.int32),
      'weights': np.array(1, np.float32),
    }


@pytest.fixture
def dataset():
  return data.Dataset(
    name='numbers',
    task='classification',
    classes=tuple(map(str, range(20))),
    splits={'train': Numbers(20), 'test': Numbers(10)},
    augment=(RandomShift(1), RandomShift(1)),
  )


def _take(batches, count):
  taken = list(itertools.islice(batches, count))
  batches.close()
  return taken


def _assert_equal(got, expected):
  assert len(got) == len(expected)
  for a, b in zip(got, expected, strict=True):
    assert a.keys() == b.keys()
    for key in a:
      np.testing.assert_array_equal(a[key], b[key], strict=True)


def test_order_and_augmentation_are_grains(dataset):
  chain = grain.MapDataset.source(dataset.splits['train']).seed(9).shuffle().repeat()
  for transform in dataset.augment:
    chain = chain.random_map(transform)
  expected = chain.batch(8)
  batches = data.train_batches(dataset, 8, seed=9)
  for number in (0, 1, 2, 17):  # 2 is across an epoch's border
    batches.set_state({'global_next_index': 8 * number})
    batch = next(batches)
    index = batch.pop('index')
    np.testing.assert_array_equal(index, batch['targets'])
    _assert_equal([batch], [expected[number]])
  batches.close()


def test_each_epoch_holds_every_example_in_a_new_order(dataset):
  batches = _take(data.train_batches(dataset, 8, seed=3), 15)
  drawn = np.concatenate([batch['targets'] for batch in batches])
  epochs = drawn.reshape(6, 20)  # 15 batches of 8, across the epochs' borders
  for epoch in epochs:
    assert sorted(epoch) == list(range(20))
  assert len({epoch.tobytes() for epoch in epochs}) == 6


def test_shapes_and_dtypes(dataset):
  (batch,) = _take(data.train_batches(dataset, 8, 0, process_count=2), 1)
  assert {k: (v.shape, v.dtype) for k, v in batch.items()} == {
    'inputs': ((4, 3, 3, 1), np.float32),
    'targets': ((4,), np.int32),
    'weights': ((4,), np.float32),
    'index': ((4,), np.int32),
  }
  np.testing.assert_array_equal(batch['index'], batch['targets'])


def test_the_seed_decides_everything(dataset):
  first = _take(data.train_batches(dataset, 8, seed=5), 9)
  _assert_equal(_take(data.train_batches(dataset, 8, 5, num_threads=0), 9), first)
  other = _take(data.train_batches(dataset, 8, seed=6), 9)
  with pytest.raises(AssertionError):
    _assert_equal(other, first)


def test_worker_processes_make_the_same_batches(dataset):
  expected = _take(data.train_batches(dataset, 8, seed=5), 9)
  _assert_equal(_take(data.train_batches(dataset, 8, 5, num_workers=2), 9), expected)
  iterator = data.train_batches(dataset, 8, 5, num_workers=2)
  iterator.set_state(_state_after(dataset, 4))
  _assert_equal(_take(iterator, 5), expected[4:])


def _state_after(dataset, count):
  iterator = data.train_batches(dataset, 8, 5)
  for _ in range(count):
    next(iterator)
  state = iterator.get_state()
  iterator.close()
  return state


def test_an_example_is_augmented_anew_each_epoch(dataset):
  seen = {i: set() for i in range(20)}
  for batch in _take(data.train_batches(dataset, 20, seed=0), 8):
    for index, image in zip(batch['targets'], batch['inputs'], strict=True):
      seen[int(index)].add(image.tobytes())
  assert all(len(images) > 2 for images in seen.values())


def _global_rows(dataset, batch_size, count, start=None):
  """One batch after another from `count` processes: their rows, in order."""
  iterators = [
    data.train_batches(dataset, batch_size, 7, process_index=i, process_count=count)
    for i in range(count)
  ]
  if start:
    for iterator in iterators:
      iterator.set_state(start)
  parts = zip(*(_take(iterator, 6) for iterator in iterators), strict=True)
  return [
    [
      (int(target), image.tobytes())
      for part in batch
      for target, image in zip(part['targets'], part['inputs'], strict=True)
    ]
    for batch in parts
  ]


@pytest.mark.parametrize('count', [2, 4])
def test_processes_share_the_batches_that_one_would_draw(dataset, count):
  assert _global_rows(dataset, 8, count) == _global_rows(dataset, 8, 1)


def test_a_state_resumes_exactly_on_any_number_of_processes(dataset):
  expected = _take(data.train_batches(dataset, 8, seed=7), 11)
  iterator = data.train_batches(dataset, 8, seed=7)
  for _ in range(5):
    next(iterator)
  state = json.loads(json.dumps(iterator.get_state()))
  iterator.close()
  resumed = data.train_batches(dataset, 8, seed=7)
  resumed.set_state(state)
  _assert_equal(_take(resumed, 6), expected[5:])
  rows = _global_rows(dataset, 8, 2, start=state)
  assert rows == _global_rows(dataset, 8, 1, start=state)
  assert [[target for target, _ in batch] for batch in rows] == [
    batch['targets'].tolist() for batch in expected[5:]
  ]


def test_eval_yields_each_example_once_unaugmented_and_pads(dataset):
  batches = list(data.eval_batches(dataset, 'test', 4))
  assert [batch['inputs'].shape for batch in batches] == [(4, 3, 3, 1)] * 3
  together = {k: np.concatenate([b[k] for b in batches]) for k in batches[0]}
  np.testing.assert_array_equal(together['weights'], [1] * 10 + [0] * 2)
  np.testing.assert_array_equal(together['targets'][:10], np.arange(10))
  np.testing.assert_array_equal(together['inputs'][:10, 2, 2, 0], np.arange(10) + 1)


def test_eval_processes_hold_contiguous_rows_even_where_all_is_padding(dataset):
  whole = data.eval_batches(dataset, 'test', 8)
  parts = [
    data.eval_batches(dataset, 'test', 8, process_index=i, process_count=4)
    for i in range(4)
  ]
  joined = [
    {k: np.concatenate([part[k] for part in batch]) for k in batch[0]}
    for batch in zip(*parts, strict=True)
  ]
  _assert_equal(joined, list(whole))


def test_errors_come_at_once(dataset):
  with pytest.raises(ValueError, match=r'batch_size is 21.* numbers has only 20'):
    data.train_batches(dataset, 21, 0)
  with pytest.raises(ValueError, match=r'batch_size is 9.*multiple.*processes, 2'):
    data.train_batches(dataset, 9, 0, process_count=2)
  with pytest.raises(ValueError, match=r'batch_size is 0'):
    data.eval_batches(dataset, 'test', 0)
  with pytest.raises(ValueError, match=r"split: 'valid'\. Known: train, test"):
    data.eval_batches(dataset, 'valid', 4)


# Those that are made of no files.
MADE = (
  'adding', 'copy_memory', 'counting', 'digits', 'digits_angle', 'digits_pixels',
  'dyck', 'induction', 'mackey_glass', 'modular_arithmetic', 'mqar', 'parity', 'pixels',
  'pydoc_topics', 'python_tokens', 'selective_copy', 'temporal_order',
)  # fmt: skip


@pytest.mark.parametrize('name', MADE)
def test_sources_make_the_batches_that_stacking_would(name):
  """Those that make a batch at once; `read` stacks what the others give."""
  for source in data.build(name).splits.values():
    positions = np.array([3, 0, len(source) - 1, 3])
    examples = [source[int(i)] for i in positions]
    stacked = {k: np.stack([e[k] for e in examples]) for k in examples[0]}
    batch = read(source, positions)
    _assert_equal([batch], [stacked])
    again = read(source, positions)
    for array in batch.values():  # they are the reader's own
      array[...] = 1
    _assert_equal([read(source, positions)], [again])


@pytest.mark.parametrize('name', MADE)
def test_real_sets_batch(name):
  dataset = data.build(name)
  (train,) = _take(data.train_batches(dataset, 4, 2**31), 1)
  (*_, last) = data.eval_batches(dataset, 'test', 4)
  assert train.pop('index').max() < len(dataset.splits['train'])
  for key, array in train.items():
    assert array.dtype == last[key].dtype
    # What has lengths may be tested on longer ones.
    steps = slice(2, None) if 'lengths' in train else slice(1, None)
    assert len(array) == len(last[key])
    assert array.shape[steps] == last[key].shape[steps]
