"""Images pixel by pixel: the same pixels as the image has."""

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

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
  options = ConfigDict({'max_shift': 2})  # as a run has them
  task = data.build('pixels', image_options=options, order='permuted')
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


@pytest.mark.parametrize('erasing', [0.0, 1.0])
def test_photographs_are_augmented_before_they_are_read(erasing, tmp_path):
  rng = np.random.default_rng(0)
  for name in 'aaaabbbb':
    (tmp_path / name).mkdir(exist_ok=True)
    height, width = rng.integers(9, 20, 2)
    pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / name / f'{height}x{width}.png')
  options = {'path': str(tmp_path), 'size': 6, 'erasing': erasing}
  base = data.build('image_folder', **options)
  task = data.build(
    'pixels', images='image_folder', image_options=options, order='permuted'
  )
  places = np.random.default_rng(0).permutation(36)
  for batches in (
    lambda dataset: next(data.train_batches(dataset, 4, seed=1)),
    lambda dataset: next(data.eval_batches(dataset, 'test', 2)),
  ):
    images, sequences = batches(base), batches(task)
    pixels = images['inputs'].reshape(-1, 36, 3)
    np.testing.assert_array_equal(sequences['inputs'], pixels[:, places])
    np.testing.assert_array_equal(sequences['targets'], images['targets'])
  without = data.build('image_folder', **options | {'augment': '', 'erasing': 0.0})
  plain = next(data.train_batches(without, 4, seed=1))
  augmented = next(data.train_batches(base, 4, seed=1))
  assert not np.array_equal(plain['inputs'], augmented['inputs'])


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'order': 'columns'}, r"^order is 'columns', but must be one of"),
    ({'images': 'mackey_glass'}, r"^images is 'mackey_glass', but must be a set of im"),
    ({'images': 'digits_angle'}, r"^images is 'digits_angle', but .* a regression"),
    ({'images': 'parity'}, r"^images is 'parity', but .* of shape \(40,\)"),
    ({'images': 'digit'}, r"^unknown dataset: 'digit'"),
    ({'image_options': 'a'}, r"^image_options is 'a', but must be a mapping of"),
    ({'image_options': {'shift': 1}}, r"^unknown option of digits: 'shift'"),
  ],
)
def test_errors_name_the_option_and_what_is_legal(options, message):
  with pytest.raises(ValueError, match=message):
    data.build('pixels', **options)
