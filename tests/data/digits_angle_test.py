"""Turned digits against scipy's rotation."""

import numpy as np
import pytest
from scipy import ndimage
from sklearn.datasets import load_digits

from convscan import data
from convscan.data.builders.digits_angle import turn


def _turned(image, angle):
  # On a margin, for a turned image fades out at its edge, where scipy has none.
  padded = np.pad(image, 4)
  return ndimage.rotate(padded, np.degrees(angle), order=1, reshape=False)[4:-4, 4:-4]


@pytest.mark.parametrize('angle', [0.0, 0.3, -0.7, np.pi / 2, 2.5])
def test_turning_is_scipys(angle):
  image = np.random.default_rng(0).uniform(size=(8, 8)).astype(np.float32)
  got = turn(image[..., None], angle)[..., 0]
  np.testing.assert_allclose(got, _turned(image, angle), atol=1e-5)


def test_targets_are_the_angles():
  digits, dataset = load_digits(), data.build('digits_angle', max_angle=0.5)
  assert (dataset.task, dataset.classes) == ('regression', ('angle',))
  angles = []
  for index in range(359):
    example = dataset.splits['test'][index]
    image = digits.images[5 * index + 4] / 16
    (angle,) = example['targets']
    np.testing.assert_allclose(
      example['inputs'][..., 0], _turned(image, angle), atol=1e-5
    )
    angles.append(angle)
    assert example['weights'] == 1
    assert dataset.splits['test'][index]['targets'] == angle  # the same each time
  assert -0.5 < min(angles) < -0.45
  assert 0.45 < max(angles) < 0.5
  (by_chance,) = dataset.augment
  example = by_chance.random_map(dataset.splits['train'][0], np.random.default_rng(1))
  np.testing.assert_allclose(
    example['inputs'][..., 0],
    _turned(digits.images[0] / 16, example['targets'][0]),
    atol=1e-5,
  )
  assert example['targets'].dtype == np.float32


@pytest.mark.parametrize('angle', [0, 4])
def test_an_angle_that_can_not_be(angle):
  with pytest.raises(ValueError, match=f'max_angle is {angle}, but must be above 0'):
    data.build('digits_angle', max_angle=angle)
