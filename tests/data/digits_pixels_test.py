"""The inked pixels against scikit-learn's arrays, and how they move."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from convscan import data


def test_ink_is_named_and_paper_is_0():
  digits, dataset = load_digits(), data.build('digits_pixels', threshold=5)
  assert dataset.classes == ('paper', *'0123456789')
  assert dataset.task == 'segmentation'
  for index, position in enumerate(range(4, 1797, 5)):
    example = dataset.splits['test'][index]
    np.testing.assert_array_equal(
      example['inputs'][..., 0] * 16, digits.images[position]
    )
    for (y, x), value in np.ndenumerate(digits.images[position]):
      expected = 1 + digits.target[position] if value >= 5 else 0
      assert example['targets'][y, x] == expected
    assert example['targets'].dtype == np.int32
    assert example['weights'].tolist() == np.ones((8, 8)).tolist()


def test_targets_move_with_the_image():
  dataset = data.build('digits_pixels', threshold=5)
  (shift,), moved = dataset.augment, 0
  for index in range(30):
    example = dataset.splits['train'][index]
    got = shift.random_map(example, np.random.default_rng(index))
    inked = got['inputs'][..., 0] * 16 >= 5
    np.testing.assert_array_equal(got['targets'] > 0, inked)
    moved += not np.array_equal(got['targets'], example['targets'])
  assert moved > 10


@pytest.mark.parametrize('options', [{'threshold': 0}, {'max_shift': 8}])
def test_options_that_can_not_be(options):
  ((name, value),) = options.items()
  with pytest.raises(ValueError, match=f'{name} is {value}, but must be'):
    data.build('digits_pixels', **options)
