"""What all synthetic tasks share: examples that are functions of (seed, index)."""

import itertools

import numpy as np
import pytest

from convscan import data
from convscan.data.synthetic.stream import ENDLESS, Stream

# Every task, small.
TASKS = {
  'adding': {'length': 30},
  'copy_memory': {'length': 5},
  'counting': {'train_counts': (1, 500)},
  'dyck': {'length': 30},
  'induction': {'length': 20},
  'modular_arithmetic': {},
  'mqar': {},
  'parity': {},
  'selective_copy': {'length': 40},
  'temporal_order': {'length': 30},
}


def _equal(a, b):
  return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def test_every_task_is_listed_here():
  listed = {n for n, (module, _) in data._LOADERS.items() if '.synthetic' in module}
  assert listed == {*TASKS, 'pixels'}


@pytest.mark.parametrize('name', TASKS)
def test_an_example_is_a_function_of_seed_split_and_index(name):
  one, again, other = (
    data.build(name, **TASKS[name], seed=seed).splits for seed in (5, 5, 6)
  )
  assert len(one['train']) == ENDLESS
  for split in one:
    few = [one[split][i] for i in range(9)]
    for i in (8, 0, 5):  # in another order
      assert _equal(again[split][i], few[i])
    assert not _equal(few[0], few[1])
  assert _equal(one['train'][ENDLESS - 1], again['train'][-1])
  assert not _equal(one['train'][7], other['train'][7])
  with pytest.raises(IndexError):
    one['train'][ENDLESS]


@pytest.mark.parametrize('name', TASKS)
def test_examples_look_as_a_dataset_says(name):
  dataset = data.build(name, **TASKS[name], **_few(name))
  for split in dataset.splits.values():
    shapes = set()
    for i in range(20):
      example = split[i]
      shapes.add(tuple((k, v.shape, v.dtype.str) for k, v in example.items()))
      inputs, targets, weights = (example[k] for k in ('inputs', 'targets', 'weights'))
      assert weights.dtype == np.float32
      assert weights.sum() > 0
      if dataset.task == 'regression':
        assert (targets.shape, targets.dtype) == ((1,), np.float32)
        assert (inputs.shape[1:], inputs.dtype) == ((2,), np.float32)
      else:
        assert inputs.dtype == targets.dtype == np.int32
        assert inputs.ndim == 1
        assert targets.shape == weights.shape
        assert inputs.min() >= 0
        assert 0 <= targets.min() <= targets.max() < len(dataset.classes)
        if dataset.task != 'classification':
          assert targets.shape == inputs.shape
          assert inputs.max() < len(dataset.classes)
      if 'lengths' in example:
        assert 1 <= example['lengths'] <= len(inputs)
        assert not inputs[example['lengths'] :].any()
    assert len(shapes) == 1


def _few(name):
  return {} if name == 'counting' else {'test_examples': 20}


def test_no_example_of_one_split_is_in_the_other():
  # Of 2**120 examples each, so that equal ones would have had one stream.
  splits = data.build('adding', length=5, form='urnn').splits
  drawn = {s: {splits[s][i]['inputs'].tobytes() for i in range(1000)} for s in splits}
  assert len(drawn['train']) == len(drawn['test']) == 1000
  assert not drawn['train'] & drawn['test']


def test_neighbours_and_seeds_have_streams_of_their_own():
  draw = lambda rng: {'inputs': rng.random(5000)}  # noqa: E731
  streams = [
    Stream(draw, 4, seed, split) for seed in (0, 1) for split in ('train', 'test')
  ]
  rows = np.array([s[i]['inputs'] for s in streams for i in range(4)])
  assert len({*rows.ravel()}) == rows.size  # no number twice: nothing overlaps
  assert np.abs(np.corrcoef(rows) - np.eye(16)).max() < 0.06
  assert abs(rows.mean() - 0.5) < 0.01


def _rows(name, count, **options):
  dataset = data.build(name, **TASKS[name])
  iterators = [
    data.train_batches(dataset, 8, 7, process_index=i, process_count=count, **options)
    for i in range(count)
  ]
  parts = [list(itertools.islice(iterator, 3)) for iterator in iterators]
  for iterator in iterators:
    iterator.close()
  return [
    {key: np.concatenate([part[key] for part in batch]) for key in batch[0]}
    for batch in zip(*parts, strict=True)
  ]


@pytest.mark.parametrize('name', ['adding', 'parity'])
def test_batches_are_the_same_on_any_number_of_processes(name):
  expected = _rows(name, 1)
  for got in (_rows(name, 4), _rows(name, 1, num_threads=0)):
    assert all(map(_equal, got, expected))
  drawn = np.concatenate([batch['index'] for batch in expected])
  assert drawn.max() > ENDLESS / 2  # from anywhere in the endless stream


def test_worker_processes_make_the_same_batches():
  expected = _rows('dyck', 1)
  assert all(map(_equal, _rows('dyck', 1, num_workers=2), expected))


@pytest.mark.parametrize('name', TASKS)
def test_a_training_set_may_be_finite(name):
  endless = data.build(name, **TASKS[name]).splits['train']
  few = data.build(name, **TASKS[name], train_examples=100).splits['train']
  assert len(few) == 100
  assert _equal(few[99], endless[99])


@pytest.mark.parametrize(
  ('name', 'options', 'message'),
  [
    ('adding', {'seed': -1}, r'^seed is -1, but must be from 0'),
    ('adding', {'seed': 2**64}, r'^seed is 18446744073709551616, but'),
    ('adding', {'train_examples': -1}, r'^train_examples is -1, but must be from 0'),
    ('adding', {'train_examples': 2**31}, r'^train_examples is 2147483648, but'),
    ('adding', {'test_examples': 0}, r'^test_examples is 0, but must be from 1'),
    ('adding', {'length': 1}, r'^length is 1, but must be 2 or more'),
    ('adding', {'test_length': 1}, r'^test_length is 1, but must be 2 or more'),
    ('adding', {'length': 19, 'form': 'hochreiter'}, r'^length is 19, but'),
    ('adding', {'form': 'x'}, r"^form is 'x', but must be one of \('bai', 'urnn', "),
    ('copy_memory', {'length': 0}, r'^length is 0, but must be 1 or more'),
    ('copy_memory', {'test_length': -1}, r'^test_length is -1, but'),
    ('copy_memory', {'symbols': 0}, r'^symbols is 0, but'),
    ('copy_memory', {'alphabet': 1}, r'^alphabet is 1, but'),
    ('copy_memory', {'counted': 'some'}, r"^counted is 'some', but must be one of"),
    ('selective_copy', {'length': 15}, r'^length is 15, but must be 16 or more'),
    ('selective_copy', {'test_length': 15}, r'^test_length is 15, but'),
    ('selective_copy', {'symbols': 0}, r'^symbols is 0, but'),
    ('selective_copy', {'vocab_size': 3}, r'^vocab_size is 3, but must be 4 or more'),
    ('temporal_order', {'length': 19}, r'^length is 19, but must be 20 or more'),
    ('temporal_order', {'test_length': 19}, r'^test_length is 19, but'),
    ('temporal_order', {'form': 'x'}, r"^form is 'x', but must be one of"),
    ('temporal_order', {'relevant': 4}, r'^relevant is 4, but must be one of \(2, 3\)'),
    (
      'temporal_order',
      {'form': 'pascanu', 'relevant': 3},
      r'^relevant is 3, but must be one of \(2,\)',
    ),
    ('parity', {'train_lengths': (0, 4)}, r'^train_lengths is \(0, 4\), but must be'),
    ('parity', {'test_lengths': (5, 4)}, r'^test_lengths is \(5, 4\), but must be'),
    ('parity', {'test_lengths': (5,)}, r'^test_lengths is \(5,\), but must be two'),
    ('modular_arithmetic', {'modulus': 1}, r'^modulus is 1, but must be from 2 to 10'),
    ('modular_arithmetic', {'modulus': 11}, r'^modulus is 11, but'),
    ('modular_arithmetic', {'train_lengths': (2, 1)}, r'^train_lengths is \(2, 1\)'),
    ('modular_arithmetic', {'test_lengths': (0, 1)}, r'^test_lengths is \(0, 1\)'),
    ('dyck', {'kinds': 0}, r'^kinds is 0, but must be from 1 to 30'),
    ('dyck', {'kinds': 31}, r'^kinds is 31, but'),
    ('dyck', {'max_depth': -1}, r'^max_depth is -1, but must be 0 or more'),
    ('dyck', {'length': 0}, r'^length is 0, but must be 2 or more'),
    ('dyck', {'length': 5}, r'^length is 5, but must be even'),
    ('dyck', {'test_length': 5}, r'^test_length is 5, but must be even'),
    ('dyck', {'test_length': -2}, r'^test_length is -2, but must be'),
    ('counting', {'letters': 1}, r'^letters is 1, but must be from 2 to 26'),
    ('counting', {'letters': 27}, r'^letters is 27, but'),
    ('counting', {'train_counts': (0, 5)}, r'^train_counts is \(0, 5\), but'),
    ('counting', {'test_counts': (6, 5)}, r'^test_counts is \(6, 5\), but'),
    ('mqar', {'pairs': 0}, r'^pairs is 0, but must be 1 or more'),
    ('mqar', {'test_pairs': -1}, r'^test_pairs is -1, but must be 1 or more'),
    ('mqar', {'vocab_size': 9}, r'^vocab_size is 9, but must be 10 or more'),
    ('mqar', {'length': 14}, r'^length is 14, but must be even and four for each of'),
    ('mqar', {'length': 17}, r'^length is 17, but must be even'),
    ('mqar', {'test_pairs': 17}, r'^test_length is 64, but .* 17 pairs, 68, or more'),
    ('mqar', {'power': 0}, r'^power is 0, but must be more than 0'),
    ('induction', {'length': 2}, r'^length is 2, but must be 3 or more'),
    ('induction', {'test_length': 2}, r'^test_length is 2, but'),
    ('induction', {'vocab_size': 2}, r'^vocab_size is 2, but must be from 3 to 27'),
    ('induction', {'vocab_size': 28}, r'^vocab_size is 28, but'),
  ],
)
def test_errors_name_the_option_and_what_is_legal(name, options, message):
  with pytest.raises(ValueError, match=message):
    data.build(name, **options)
