"""Images pixel by pixel: the same pixels as the image has."""

import numpy as np
import pytest

from convscan import data


def test_rows_are_read_from_left_to_right_and_from_top_to_bottom():
  images, task = data.build('digits'), data.build('pixels')
  assert (task.task, task.classes) == ('classification', images.classes)
  for split in ('train', 'test'):
    assert len(task.splits[split]) == len(images.splits[split])
    image, sequence = images.splits[split][3], task.splits[split][3]
    assert sequence['targets'] == image['targets']
    for row in range(8):
      for column in range(8):
        step = sequence['inputs'][8 * row + column]
        np.testing.assert_array_equal(step, image['inputs'][row, column])


def test_one_permutation_for_all_images():
  rows, permuted = data.build('pixels'), data.build('pixels', order='permuted')
  a, b = (
    np.array([task.splits[split][i]['inputs'] for split in ('train', 'test')
              for i in range(300)])[..., 0]
    for task in (rows, permuted)
  )  # fmt: skip
  # Over 600 images the pixels that vary have each a column of their own.
  varied = [tuple(column) for column in a.T if column.any()]
  assert len({*varied}) == len(varied) > 50
  assert not np.array_equal(a, b)
  assert sorted(map(tuple, a.T)) == sorted(map(tuple, b.T))
  other = data.build('pixels', order='permuted', seed=1).splits['test'][0]['inputs']
  assert not np.array_equal(other, permuted.splits['test'][0]['inputs'])


def test_images_are_augmented_before_they_are_read():
  shifted = next(data.train_batches(data.build('digits', max_shift=2), 32, seed=4))
  task = data.build('pixels', image_options={'max_shift': 2}, order='permuted')
  batch = next(data.train_batches(task, 32, seed=4))
  places = np.random.default_rng(0).permutation(64)
  np.testing.assert_array_equal(batch['index'], shifted['index'])
  pixels = shifted['inputs'].reshape(32, 64, 1)
  np.testing.assert_array_equal(batch['inputs'], pixels[:, places])
  plain = data.build('digits').splits['train']
  assert any(
    not np.array_equal(shifted['inputs'][i], plain[int(index)]['inputs'])
    for i, index in enumerate(shifted['index'])
  )


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'order': 'columns'}, r"^order is 'columns', but must be one of"),
    ({'images': 'mackey_glass'}, r"^images is 'mackey_glass', but must be a set of im"),
    ({'images': 'digits_angle'}, r"^images is 'digits_angle', but .* a regression"),
    ({'images': 'parity'}, r"^images is 'parity', but .* of shape \(40,\)"),
    ({'images': 'digit'}, r"^unknown dataset: 'digit'"),
    ({'image_options': {'shift': 1}}, r"^unknown option of digits: 'shift'"),
  ],
)
def test_errors_name_the_option_and_what_is_legal(options, message):
  with pytest.raises(ValueError, match=message):
    data.build('pixels', **options)
