"""Resizing is the antialiased one, by a plain sum in float64."""

import numpy as np
import pytest
from PIL import Image

from convscan.data.transforms.resize import center_crop, resize_shorter


def _triangle(x):
  return max(0.0, 1 - abs(x))


def _cubic(x, a=-0.5):
  x = abs(x)
  if x < 1:
    return (a + 2) * x**3 - (a + 3) * x**2 + 1
  return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def _rows(pixels, size, weigh):
  """Resizes the first axis; where it shrinks, the filter is wider by the scale."""
  length = len(pixels)
  scale = length / size
  wide = max(1.0, scale)
  out = []
  for i in range(size):
    centre = (i + 0.5) * scale
    weights = np.array([weigh((j + 0.5 - centre) / wide) for j in range(length)])
    out.append(np.tensordot(weights / weights.sum(), pixels, 1))
  return np.array(out)


@pytest.mark.parametrize('mode', ['bilinear', 'bicubic'])
@pytest.mark.parametrize(
  ('size', 'new'), [(9, (9, 14)), (17, (17, 28)), (40, (40, 65))]
)
def test_it_is_a_sum_over_a_widened_filter(size, new, mode):
  pixels = np.random.default_rng(0).integers(0, 256, (17, 28, 3), np.uint8)
  weigh = {'bilinear': _triangle, 'bicubic': _cubic}[mode]
  # As 8 bits between the two directions too.
  wide = _rows(pixels.swapaxes(0, 1).astype(float), new[1], weigh).clip(0, 255)
  expected = _rows(wide.round().swapaxes(0, 1), new[0], weigh).clip(0, 255)
  got = np.asarray(resize_shorter(Image.fromarray(pixels), size, mode), float)
  assert np.abs(got - expected.round()).max() <= 1
  upright = Image.fromarray(pixels.swapaxes(0, 1).copy())
  assert resize_shorter(upright, size, mode).size == new


def test_the_middle_is_cut_out_and_zeros_are_around():
  image = Image.fromarray(np.arange(1, 13, dtype=np.uint8).reshape(3, 4))
  np.testing.assert_array_equal(center_crop(image, 2), [[2, 3], [6, 7]])
  expected = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [0, 0, 0, 0]]
  np.testing.assert_array_equal(center_crop(image, 4), expected)
  # Half a pixel is rounded to the even one, as torchvision's: from 1.5 to 2.
  square = Image.fromarray(np.arange(25, dtype=np.uint8).reshape(5, 5))
  np.testing.assert_array_equal(center_crop(square, 2), [[12, 13], [17, 18]])
