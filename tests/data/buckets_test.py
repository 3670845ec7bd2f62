"""Batches of examples of about the same length."""

import itertools

import numpy as np
import pytest

from convscan import data
from convscan.data.buckets import choose_limits

STEPS, BATCH, BUCKETS = 40, 8, 3


class Ragged:
  """Tokens of several lengths, more of them short than long."""

  def __init__(self, size, by_step):
    rng = np.random.default_rng(0)
    self.sizes = np.minimum(1 + rng.exponential(9, size).astype(np.int32), STEPS)
    self.sizes[3] = STEPS
    self._by_step = by_step

  def __len__(self):
    return len(self.sizes)

  def __getitem__(self, index):
    tokens = np.zeros(STEPS, np.int32)
    tokens[: self.sizes[index]] = index + 1
    return {
      'inputs': tokens,
      'lengths': self.sizes[index],
      'targets': tokens % 7 if self._by_step else np.array(index % 7, np.int32),
      'weights': np.ones(STEPS if self._by_step else (), np.float32),
    }


def _dataset(task='tagging', size=203):
  source = Ragged(size, by_step=task == 'tagging')
  splits = {'train': source, 'test': source}
  return data.Dataset('ragged', task, tuple('abcdefg'), splits)


def _take(count, dataset=None, start=None, seed=4, **options):
  options = {'length_buckets': BUCKETS} | options
  batches = data.train_batches(dataset or _dataset(), BATCH, seed, **options)
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


@pytest.mark.parametrize('count', [1, 2, 3, 4])
def test_no_other_limits_would_pad_less(count):
  rng = np.random.default_rng(count)
  for _ in range(20):
    lengths = rng.integers(1, 12, size=30)
    limits = choose_limits(lengths, count)
    assert limits[-1] == lengths.max()
    assert len(limits) <= count

    def padded(limits, lengths=lengths):
      return sum(min(m for m in limits if m >= length) for length in lengths)

    best = min(
      padded([*others, lengths.max()])
      for others in itertools.combinations(range(1, 12), count - 1)
    )
    assert padded(limits) == best


def test_many_lengths_are_tried_at_their_quantiles():
  lengths = np.random.default_rng(0).permutation(np.repeat(np.arange(1, 5001), 2))
  limits = choose_limits(lengths, 4)
  # Of lengths that are all as frequent, the best limits are evenly spaced.
  np.testing.assert_allclose(limits, [1250, 2500, 3750, 5000], atol=6)


def test_each_epoch_holds_every_example_once_in_another_order():
  batches, _ = _take(4 * 203 // BATCH)
  drawn = np.concatenate([batch['index'] for batch in batches])
  epochs = drawn[: 3 * 203].reshape(3, 203)
  for epoch in epochs:
    assert sorted(epoch) == list(range(203))
  assert len({epoch.tobytes() for epoch in epochs}) == 3
  assert all(a != b for a, b in itertools.combinations(_turns(), 2))
  others, _ = _take(20, seed=5)
  assert any(
    (a['index'] != b['index']).any() for a, b in zip(batches, others, strict=False)
  )


def _turns():
  """The steps of the batches of three epochs, and of one with another seed."""
  dataset = _dataset(size=200)  # whole batches: as many of each bucket in all epochs
  batches = _take(75, dataset)[0] + _take(25, dataset, seed=5)[0]
  steps = [batch['inputs'].shape[1] for batch in batches]
  epochs = [steps[i : i + 25] for i in range(0, 100, 25)]
  assert len({tuple(sorted(epoch)) for epoch in epochs}) == 1
  return epochs


@pytest.mark.parametrize('task', ['tagging', 'classification'])
def test_a_batch_is_as_long_as_its_bucket(task):
  dataset = _dataset(task)
  source = dataset.splits['train']
  limits = choose_limits(source.sizes, BUCKETS).tolist()
  batches, _ = _take(76, dataset)  # three epochs, but for 5 examples
  mixed = 0
  for batch in batches:
    steps = batch['inputs'].shape[1]
    assert steps == min(m for m in limits if m >= batch['lengths'].max())
    mixed += len(set(np.searchsorted(limits, batch['lengths']))) > 1
    for row, index in enumerate(batch['index']):
      example = source[int(index)]
      np.testing.assert_array_equal(batch['inputs'][row], example['inputs'][:steps])
      np.testing.assert_array_equal(
        batch['targets'][row],
        example['targets'][:steps] if task == 'tagging' else example['targets'],
      )
  assert {batch['inputs'].shape[1] for batch in batches} == set(limits)
  turns = np.diff([batch['inputs'].shape[1] for batch in batches[:25]])
  assert (turns > 0).sum() > 4  # short and long ones alternate
  assert (turns < 0).sum() > 4
  # An epoch: up to two of what is left in three buckets, and one that it shares.
  assert mixed <= 3 * 3


def test_targets_past_a_length_do_not_count():
  dataset = _dataset()
  for batches in (
    _take(6, dataset)[0],
    _take(6, dataset, length_buckets=0)[0],
    itertools.islice(data.eval_batches(dataset, 'test', BATCH), 6),
  ):
    for batch in batches:
      real = batch['inputs'] > 0  # padding alone is 0
      np.testing.assert_array_equal(batch['weights'], real.astype(np.float32))
      np.testing.assert_array_equal(real.sum(axis=1), batch['lengths'])


@pytest.mark.parametrize('count', [2, 4])
def test_processes_share_the_batches_that_one_would_draw(count):
  parts = [_take(40, process_index=i, process_count=count)[0] for i in range(count)]
  joined = [
    {k: np.concatenate([part[k] for part in batch]) for k in batch[0]}
    for batch in zip(*parts, strict=True)
  ]
  _assert_equal(joined, _take(40)[0])


def test_workers_make_the_same_batches_and_a_state_resumes_exactly():
  expected, _ = _take(60)
  _, state = _take(23)
  _assert_equal(_take(37, start=state)[0], expected[23:])
  _assert_equal(_take(5, start=state, num_workers=2)[0], expected[23:28])


def test_lengths_that_a_source_knows_are_not_read():
  dataset = _dataset()
  source = dataset.splits['train']
  source.lengths = source.sizes
  batches = data.train_batches(dataset, BATCH, 4, length_buckets=BUCKETS)
  source.lengths = None
  batches.close()
  _assert_equal(list(itertools.islice(batches, 9)), _take(9)[0])
  batches.close()


def test_half_of_the_padding_and_more_is_saved():
  dataset = _dataset(size=2000)
  real = dataset.splits['train'].sizes.sum()
  padded = {}
  for buckets in (0, 1, 4):
    batches, _ = _take(250, dataset, length_buckets=buckets)
    padded[buckets] = sum(batch['inputs'].size for batch in batches) - real
  assert padded[1] == padded[0]
  assert padded[4] < padded[0] / 4


def test_errors_come_at_once():
  dataset = _dataset()
  with pytest.raises(ValueError, match=r'length_buckets is -1 .* 0 or more'):
    data.train_batches(dataset, BATCH, 0, length_buckets=-1)
  with pytest.raises(ValueError, match=r'length_buckets is 2 and carry_state True'):
    data.train_batches(dataset, BATCH, 0, length_buckets=2, carry_state=True)
  with pytest.raises(ValueError, match=r'examples have no lengths'):
    data.train_batches(data.build('digits'), BATCH, 0, length_buckets=2)
  dataset.splits['train'].sizes[5] = 0
  with pytest.raises(ValueError, match=r'example 5 of ragged has a length of 0.*to 40'):
    list(data.eval_batches(dataset, 'test', BATCH))
