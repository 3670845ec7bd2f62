"""A text read in tracks side by side, beside a plain loop over it."""

import itertools

import numpy as np
import pytest

from convscan import data
from convscan.data.text import START, StreamWindows

LENGTH, BATCH = 5, 4
# With their starts 124 tokens: 123 targets, 30 a track, 6 windows.
DOCUMENTS = [np.arange(1, n + 1, dtype=np.int32) for n in (30, 7, 60, 22, 0)]
WINDOWS = 6


@pytest.fixture
def dataset():
  source = StreamWindows(DOCUMENTS, LENGTH)
  splits = {'train': source, 'test': source}
  return data.Dataset('words', 'language_model', tuple(map(str, range(61))), splits)


def _take(dataset, count, start=None, **options):
  batches = data.train_batches(dataset, BATCH, 0, carry_state=True, **options)
  if start:
    batches.set_state(start)
  taken = list(itertools.islice(batches, count))
  state = batches.get_state()
  batches.close()
  return taken, state


def _assert_equal(got, expected):
  for a, b in zip(got, expected, strict=True):
    assert a.keys() == b.keys()
    for key in a:
      np.testing.assert_array_equal(a[key], b[key], strict=True)


def test_each_row_goes_on_where_it_ended(dataset):
  stream = [t for ids in DOCUMENTS for t in (START, *ids.tolist())]
  track = (len(stream) - 1) // BATCH
  batches, _ = _take(dataset, 2 * WINDOWS)
  for number, batch in enumerate(batches):
    for row in range(BATCH):
      begin = row * track + number % WINDOWS * LENGTH
      assert batch['index'][row] == begin
      for step in range(LENGTH):
        token, following = stream[begin + step], stream[begin + step + 1]
        assert batch['inputs'][row, step] == token
        assert batch['targets'][row, step] == following
        assert batch['weights'][row, step] == (following != START)
        first = number % WINDOWS == 0 and step == 0
        assert batch['resets'][row, step] == (first or token == START)
  assert batches[0]['resets'].dtype == bool
  assert sum(b['resets'][:, 1:].sum() for b in batches[:WINDOWS]) > 0


@pytest.mark.parametrize('count', [2, 4])
def test_processes_share_the_batches_that_one_would_draw(dataset, count):
  parts = [
    _take(dataset, 8, process_index=i, process_count=count)[0] for i in range(count)
  ]
  joined = [
    {k: np.concatenate([part[k] for part in batch]) for k in batch[0]}
    for batch in zip(*parts, strict=True)
  ]
  _assert_equal(joined, _take(dataset, 8)[0])


def test_a_state_resumes_exactly(dataset):
  expected, _ = _take(dataset, 15)
  _, state = _take(dataset, 7)
  _assert_equal(_take(dataset, 8, start=state)[0], expected[7:])


def test_errors_come_at_once(dataset):
  with pytest.raises(ValueError, match=r'batch_size is 25.* only 24 windows of 5'):
    data.train_batches(dataset, 25, 0, carry_state=True)
  with pytest.raises(ValueError, match=r'carry_state is True, but digits has no str'):
    data.train_batches(data.build('digits'), 4, 0, carry_state=True)
