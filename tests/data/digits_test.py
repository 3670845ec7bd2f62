"""The digits against scikit-learn's own arrays."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from convscan import data
from convscan.data.images import RandomShift


@pytest.fixture(scope='module')
def dataset():
  return data.build('digits')


def test_splits_hold_every_fifth_image_and_the_rest(dataset):
  digits = load_digits()
  test = np.arange(1797) % 5 == 4
  for split, chosen in (('train', ~test), ('test', test)):
    source = dataset.splits[split]
    examples = [source[i] for i in range(len(source))]
    inputs = np.stack([example['inputs'] for example in examples])
    targets = np.stack([example['targets'] for example in examples])
    np.testing.assert_array_equal(inputs[..., 0] * 16, digits.images[chosen])
    np.testing.assert_array_equal(targets, digits.target[chosen])
    assert all(example['weights'] == 1 for example in examples)


def test_shapes_dtypes_and_names(dataset):
  shapes = {k: (v.shape, v.dtype) for k, v in dataset.splits['test'][0].items()}
  assert shapes == {
    'inputs': ((8, 8, 1), np.float32),
    'targets': ((), np.int32),
    'weights': ((), np.float32),
  }
  assert dataset.task == 'classification'
  assert dataset.classes == tuple('0123456789')


def test_positions_are_those_of_a_sequence(dataset):
  source = dataset.splits['test']
  np.testing.assert_array_equal(source[-1]['inputs'], source[358]['inputs'])
  with pytest.raises(IndexError):
    source[359]


def test_shift_moves_the_image_everywhere_and_fills_with_zeros():
  rng = np.random.default_rng(0)
  image = rng.uniform(1, 2, size=(4, 5, 2)).astype(np.float32)
  expected = set()
  for down in (-1, 0, 1):
    for right in (-1, 0, 1):
      moved = np.zeros_like(image)
      for y in range(4):
        for x in range(5):
          if 0 <= y - down < 4 and 0 <= x - right < 5:
            moved[y, x] = image[y - down, x - right]
      expected.add(moved.tobytes())
  got = [RandomShift(1).random_map({'inputs': image}, rng) for _ in range(200)]
  assert {example['inputs'].tobytes() for example in got} == expected
  assert all(example['inputs'].dtype == np.float32 for example in got)


def test_augmentation_is_optional():
  assert data.build('digits', max_shift=0).augment == ()
  assert len(data.build('digits').augment) == 1


def test_some_digits_and_some_images_of_each():
  digits = load_digits()
  dataset = data.build('digits', labels=(7, 2), train_per_label=5)
  assert dataset.classes == ('7', '2')
  test = np.arange(1797) % 5 == 4
  some = np.isin(digits.target, (7, 2))
  first = np.zeros(1797, bool)
  for label in (7, 2):
    first[np.flatnonzero(~test & (digits.target == label))[:5]] = True
  for split, chosen in (('train', first), ('test', test & some)):
    source = dataset.splits[split]
    examples = [source[i] for i in range(len(source))]
    inputs = np.stack([example['inputs'] for example in examples])
    targets = np.stack([example['targets'] for example in examples])
    np.testing.assert_array_equal(inputs[..., 0] * 16, digits.images[chosen])
    np.testing.assert_array_equal(np.array([7, 2])[targets], digits.target[chosen])
    assert targets.dtype == np.int32


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'labels': (3,)}, r'labels is \(3,\), but must be two or more digits, each once'),
    ({'labels': (3, 3)}, 'each once'),
    ({'labels': (3, 10)}, 'each once'),
    ({'labels': ('3', '4')}, 'each once'),
    ({'train_per_label': -1}, 'train_per_label is -1, but must be 0 to 127'),
    ({'train_per_label': 140}, 'train_per_label is 140, but must be 0 to 127'),
  ],
)
def test_options_that_can_not_be(options, message):
  with pytest.raises(ValueError, match=message):
    data.build('digits', **options)
