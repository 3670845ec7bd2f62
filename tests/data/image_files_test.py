"""Any image becomes 8-bit RGB, or is refused, and a bad one a clear error."""

import io
import pathlib
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from convscan.data import DataError
from convscan.data.image_files import read_image

RGB = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)


def _encoded(image, kind, **options):
  file = io.BytesIO()
  image.save(file, kind, **options)
  return file.getvalue()


def test_lossless_pixels_come_as_they_were(tmp_path):
  path = tmp_path / 'a.png'
  Image.fromarray(RGB).save(path)
  for source in (path, str(path), path.read_bytes()):
    for strict in (False, True):
      image = read_image(source, strict=strict)
      assert image.mode == 'RGB'
      np.testing.assert_array_equal(image, RGB)


def test_a_jpeg_is_near_what_was_encoded():
  smooth = np.asarray(Image.fromarray(RGB).resize((64, 64), Image.Resampling.BICUBIC))
  got = np.asarray(read_image(_encoded(Image.fromarray(smooth), 'jpeg', quality=95)))
  assert np.abs(got.astype(int) - smooth).mean() < 3


@pytest.mark.parametrize(
  ('image', 'kind', 'expected', 'refused'),
  [
    (Image.fromarray(RGB[..., 0]), 'png', RGB[..., :1].repeat(3, -1), ''),
    (Image.fromarray(np.dstack([RGB, RGB[..., 0]])), 'png', RGB, 'transparent'),
    (
      Image.fromarray(RGB[..., 0].astype(np.uint16) * 256 + 77),
      'png',
      RGB[..., :1].repeat(3, -1),
      '16 bits',
    ),
    (
      Image.fromarray(RGB[..., 0] > 99),
      'png',
      (RGB[..., :1] > 99).repeat(3, -1) * 255,
      '',
    ),
    (Image.fromarray(RGB).convert('CMYK'), 'tiff', RGB, 'is CMYK'),
  ],
  ids=['gray', 'transparent', '16 bits', '1 bit', 'cmyk'],
)
def test_other_kinds_become_rgb_or_are_refused(image, kind, expected, refused):
  content = _encoded(image, kind)
  np.testing.assert_array_equal(read_image(content), expected)
  if refused:
    with pytest.raises(DataError, match=refused):
      read_image(content, strict=True)
  else:
    np.testing.assert_array_equal(read_image(content, strict=True), expected)


def test_one_is_turned_upright_if_strict_and_else_left_as_torchvision_does():
  exif = Image.Exif()
  exif[0x0112] = 6  # to be shown turned by a quarter, clockwise
  content = _encoded(Image.fromarray(RGB), 'png', exif=exif)
  np.testing.assert_array_equal(read_image(content), RGB)
  np.testing.assert_array_equal(read_image(content, strict=True), np.rot90(RGB, -1))


def test_of_frames_the_first_is_read_or_all_are_refused():
  first, second = (Image.new('RGB', (6, 6), color) for color in ('red', 'blue'))
  content = _encoded(first, 'gif', save_all=True, append_images=[second])
  np.testing.assert_array_equal(read_image(content), first)
  with pytest.raises(DataError, match='has 2 frames'):
    read_image(content, strict=True)


@pytest.mark.parametrize('kind', ['eps', 'ppm', 'ico'])
@pytest.mark.parametrize('strict', [False, True])
def test_no_format_is_tried_that_is_none_of_photographs(kind, strict, tmp_path):
  content = _encoded(Image.fromarray(RGB), kind)  # eps is read by a program
  path = tmp_path / 'a.png'
  path.write_bytes(content)
  for source, where in ((content, ''), (path, f'{path}: ')):
    with pytest.raises(DataError, match=f'^{where}it is no JPEG, PNG, .* or damaged$'):
      read_image(source, strict=strict)


def test_a_jpeg_in_cmyk_keeps_its_colours():
  red = Image.new('RGB', (16, 16), (200, 30, 40)).convert('CMYK')
  got = np.asarray(read_image(_encoded(red, 'jpeg', quality=95)), int)
  assert np.abs(got - (200, 30, 40)).max() < 6


def test_bad_files_are_named(tmp_path: pathlib.Path):
  jpeg = _encoded(Image.fromarray(RGB.repeat(20, 0).repeat(20, 1)), 'jpeg')
  bad = {
    'cut.jpg': (jpeg[: len(jpeg) // 2], 'truncated'),
    'header.jpg': (jpeg[:30], ''),
    'text.jpg': (b'not an image', 'it is no JPEG'),
    'empty.png': (b'', 'it is no JPEG'),
    'float.tiff': (_encoded(Image.new('F', (3, 3)), 'tiff'), 'is F; expected'),
  }
  for name, (content, reason) in bad.items():
    (tmp_path / name).write_bytes(content)
    for strict in (False, True):
      with pytest.raises(DataError, match=f'{name}: .*{reason}') as e:
        read_image(tmp_path / name, strict=strict)
      assert '\n' not in str(e.value)
      with pytest.raises(DataError, match=f'^[^:]*{reason}'):
        read_image(content, strict=strict)
  with pytest.raises(DataError, match=r'absent\.jpg: No such file'):
    read_image(tmp_path / 'absent.jpg')


def test_other_threads_work_meanwhile():
  """With no switch between threads but where the lock is released."""
  big = Image.fromarray(RGB).resize((3000, 3000), Image.Resampling.BICUBIC)
  jpeg = _encoded(big, 'jpeg')
  ticks, stop = [], threading.Event()

  def tick():
    while not stop.wait(0.001):
      ticks.append(time.perf_counter())

  thread = threading.Thread(target=tick)
  before = sys.getswitchinterval()
  try:
    sys.setswitchinterval(1000)
    thread.start()
    began = time.perf_counter()
    read_image(jpeg)
    ended = time.perf_counter()
  finally:
    sys.setswitchinterval(before)
    stop.set()
    thread.join()
  assert sum(began < tick < ended for tick in ticks) >= 2
