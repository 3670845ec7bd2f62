"""What a dataset promises, compared with its first examples."""

import dataclasses

import numpy as np
import pytest

from convscan import data
from convscan.data.check import check
from convscan.data.errors import DataError


def array(dtype, *shape):
  return np.zeros(shape, dtype)


F, I = np.float32, np.int32
GOOD = {
  'classification': (array(F, 8, 8, 1), array(I), array(F)),
  'segmentation': (array(F, 8, 6, 1), array(I, 8, 6), array(F, 8, 6)),
  'tagging': (array(I, 5), array(I, 5), array(F, 5)),
  'language_model': (array(I, 5), array(I, 5), array(F, 5)),
  'regression': (array(F, 4, 1), array(F, 2), array(F)),
  'forecasting': (array(F, 5, 3), array(F, 4, 2), array(F, 4)),
}


def of(task, splits=('train', 'test'), classes=('a', 'b'), **changes):
  example = dict(zip(('inputs', 'targets', 'weights'), GOOD[task], strict=True))
  example |= changes
  example = {k: v for k, v in example.items() if v is not None}
  return data.Dataset('mine', task, classes, {split: [example] for split in splits})


@pytest.mark.parametrize('task', GOOD)
def test_what_is_promised_passes(task):
  dataset = of(task)
  assert check(dataset) is dataset


def test_what_may_be_passes():
  check(of('classification', targets=array(F, 2)))  # shares
  check(of('classification', targets=array(I) + 255, weights=array(F)))  # not counted
  check(of('classification', inputs=array(F, 9, 2), lengths=np.array(9, I)))
  long = of('tagging').splits['train'][0]
  longer = {k: np.zeros(50, v.dtype) for k, v in long.items()}
  check(data.Dataset('x', 'tagging', ('a',), {'train': [long], 'test': [longer]}))


@pytest.mark.parametrize(
  ('task', 'changes', 'message'),
  [
    ('classification', {'splits': ['train']}, r"splits are train; expected 'train' an"),
    ('classification', {'splits': ['test', 'x']}, r'splits are test, x; expected'),
    ('classification', {'classes': ()}, r'classes are \(\); expected a name for each'),
    ('classification', {'classes': (1, 2)}, r'classes are \(1, 2\); expected a name'),
    ('classification', {'weights': None}, r"'train': inputs, targets; expected inputs"),
    ('classification', {'targets': 3}, r'targets are a int; expected a numpy array'),
    (
      'classification',
      {'inputs': array(np.uint8, 8, 8, 1)},
      r"mine', example 0 of 'train': inputs are uint8 \[8, 8, 1\]; expected .*float32",
    ),
    (
      'classification',
      {'targets': array(np.int64)},
      r'targets are int64 \[\]; expected a class, int32 \[\] for a classification',
    ),
    (
      'classification',
      {'targets': np.array(2, I), 'weights': np.array(1, F)},
      r'are 2; expected a class, 0 to 1',
    ),
    (
      'classification',
      {'targets': np.array(-1, I), 'weights': np.array(1, F)},
      r'are -1; expected a class, 0 to',
    ),
    (
      'classification',
      {'targets': array(F, 3)},
      r'are float32 \[3\]; expected a share of each class, float32 \[2\]',
    ),
    (
      'classification',
      {'weights': array(F, 1)},
      r'weights are float32 \[1\]; expected one for each target, float32 \[\]',
    ),
    (
      'classification',
      {'lengths': np.array(9, I)},
      r'lengths are 9; expected 1 to 8, the steps of inputs',
    ),
    ('classification', {'lengths': np.array(9)}, r'lengths are int64 \[\]; expected'),
    (
      'segmentation',
      {'targets': array(I, 8, 5)},
      r'targets are int32 \[8, 5\]; expected a class, int32 \[8, 6\], for each of the',
    ),
    ('tagging', {'weights': array(F)}, r'weights are float32 \[\]; expected .* \[5\]'),
    ('language_model', {'targets': array(I, 4)}, r'int32 \[4\]; expected .* \[5\]'),
    ('regression', {'targets': array(F, 3)}, r'expected a number for each output, flo'),
    ('regression', {'targets': array(np.float64, 2)}, r'are float64 \[2\]; expected'),
    (
      'forecasting',
      {'targets': array(F, 4, 3)},
      r'are float32 \[4, 3\]; expected .*, float32 \[horizon, 2\]',
    ),
    (
      'forecasting',
      {'inputs': array(F, 5, 1)},
      r'inputs are float32 \[5, 1\]; expected \[length, features\], and the first 2 of',
    ),
  ],
)
def test_what_is_not_is_named(task, changes, message):
  with pytest.raises(ValueError, match=message) as error:
    check(of(task, **changes))
  assert str(error.value).startswith("dataset 'mine'")
  assert 'expected' in str(error.value)


def test_an_unknown_task():
  dataset = data.Dataset('x', 'clustering', ('a',), {})
  with pytest.raises(ValueError, match=r"task is 'clustering'; expected one of class"):
    check(dataset)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (
      {'inputs': array(F, 8, 8, 3)},
      r"0 of 'test': inputs are float32 \[8, 8, 3\]; expected the like .* \[8, 8, 1\]",
    ),
    (
      {'inputs': array(I, 8, 8, 1)},
      r'inputs are int32 .*; expected the like .*float32',
    ),
    (
      {'lengths': np.array(3, I)},
      r"0 of 'test': lengths are int32 \[\]; expected the like of other splits, none",
    ),
  ],
)
def test_splits_that_differ(changes, message):
  one, other = of('classification'), of('classification', **changes)
  splits = {'train': one.splits['train'], 'test': other.splits['test']}
  with pytest.raises(ValueError, match=message):
    check(data.Dataset('mine', 'classification', ('a', 'b'), splits))


def test_as_many_names_as_examples():
  dataset = dataclasses.replace(of('tagging'), names={'test': ['a', 'b']})
  message = r"names of 'test' are 2; expected 1, as many as there are examples"
  with pytest.raises(ValueError, match=message):
    check(dataset)
  check(dataclasses.replace(of('tagging'), names={'test': ['a']}))


def test_an_empty_split():
  splits = {'train': of('tagging').splits['train'], 'test': []}
  with pytest.raises(ValueError, match=r"'test' has no examples; expected one or more"):
    check(data.Dataset('mine', 'tagging', ('a', 'b'), splits))


def test_what_can_not_be_read_has_its_time():
  class Bad(list):
    def __getitem__(self, index):
      raise DataError('bad.png: truncated')

  splits = {'train': Bad([0]), 'test': of('tagging').splits['train']}
  check(data.Dataset('mine', 'tagging', ('a', 'b'), splits))
