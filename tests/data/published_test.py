"""What published networks saw is what the table of torchvision's weights says."""

import csv
import pathlib

import numpy as np
import pytest
from PIL import Image

from convscan.data.transforms import Preprocessing, published, published_names

_PATH = pathlib.Path(__file__).with_name('published_preprocessing.csv')
ROWS = list(csv.DictReader(_PATH.read_text().splitlines()))


def _name(row):
  return f'{row["name"]}.{row["weights_enum"].split(".")[1]}'


def test_every_row_is_published():
  assert len(ROWS) == 98
  assert published_names() == sorted(map(_name, ROWS))
  for row in ROWS:
    got = published(_name(row))
    assert got.crop_size == int(row['crop_size'])
    assert got.resize_size == int(row['resize_size'])
    assert got.interpolation == row['interpolation']
    mean, std = row['mean'], row['std']
    if row['name'] in ('googlenet', 'inception_v3'):
      mean = std = '0.5 0.5 0.5'  # to which they normalise once more themselves
    for numbers, text in ((got.mean, mean), (got.std, std)):
      np.testing.assert_allclose(numbers, [float(t) for t in text.split()], rtol=1e-15)


def test_a_network_alone_is_its_default():
  defaults = [row for row in ROWS if row['is_default'] == '1']
  assert len(defaults) == 68
  for row in defaults:
    assert published(row['name']) == published(_name(row))


def test_an_unknown_name_names_the_nearest():
  with pytest.raises(ValueError, match=r"got 'resnet5', expected .*resnet50"):
    published('resnet5')


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'crop_size': 0}, 'crop_size: got 0'),
    ({'resize_size': -1}, 'resize_size: got -1'),
    ({'interpolation': 'area'}, "interpolation: got 'area', expected one of bilinear"),
    ({'std': (1.0, 0.0, 1.0)}, 'std: got'),
    ({'mean': (0.5, 0.5)}, 'std: got 3 numbers, expected as many as in mean, 2'),
  ],
)
def test_illegal_values_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    Preprocessing(**options)


def test_another_size_is_resized_in_proportion():
  smaller = published('efficientnet_b3').at(150)
  assert (smaller.crop_size, smaller.resize_size) == (150, 160)
  assert smaller.interpolation == 'bicubic'


def test_the_middle_of_the_image_is_seen_normalised():
  """Of a red image with a green square in its middle, the square."""
  pixels = np.zeros((200, 300, 3), np.uint8)
  pixels[..., 0] = 255
  pixels[50:150, 100:200] = (0, 255, 0)
  seen = Preprocessing(40, 100)(Image.fromarray(pixels))
  expected = (np.array([0, 1, 0]) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
  np.testing.assert_allclose(seen, np.broadcast_to(expected, (40, 40, 3)), atol=1e-6)
