"""Any image becomes 8-bit RGB, and a bad one a clear error."""

import io
import pathlib
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from convscan.data.transforms import decode

RGB = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)


def _encoded(image, kind, **options):
  file = io.BytesIO()
  image.save(file, kind, **options)
  return file.getvalue()


def test_lossless_pixels_come_as_they_were(tmp_path):
  path = tmp_path / 'a.png'
  Image.fromarray(RGB).save(path)
  with path.open('rb') as file:
    for source in (path, str(path), path.read_bytes(), file):
      image = decode(source)
      assert image.mode == 'RGB'
      np.testing.assert_array_equal(image, RGB)


def test_a_jpeg_is_near_what_was_encoded():
  smooth = np.asarray(Image.fromarray(RGB).resize((64, 64), Image.Resampling.BICUBIC))
  got = np.asarray(decode(_encoded(Image.fromarray(smooth), 'jpeg', quality=95)))
  assert np.abs(got.astype(int) - smooth).mean() < 3


@pytest.mark.parametrize(
  ('image', 'kind', 'expected'),
  [
    (Image.fromarray(RGB[..., 0]), 'png', RGB[..., :1].repeat(3, -1)),
    (Image.fromarray(np.dstack([RGB, RGB[..., 0]])), 'png', RGB),
    (
      Image.fromarray(RGB[..., 0].astype(np.uint16) * 256 + 77),
      'png',
      RGB[..., :1].repeat(3, -1),
    ),
    (Image.fromarray(RGB[..., 0] > 99), 'png', (RGB[..., :1] > 99).repeat(3, -1) * 255),
    (Image.fromarray(RGB).convert('CMYK'), 'tiff', RGB),
  ],
  ids=['gray', 'transparent', '16 bits', '1 bit', 'cmyk'],
)
def test_other_kinds_become_rgb(image, kind, expected):
  np.testing.assert_array_equal(decode(_encoded(image, kind)), expected)


def test_a_jpeg_in_cmyk_keeps_its_colours():
  red = Image.new('RGB', (16, 16), (200, 30, 40)).convert('CMYK')
  got = np.asarray(decode(_encoded(red, 'jpeg', quality=95)), int)
  assert np.abs(got - (200, 30, 40)).max() < 6


def test_bad_files_are_named(tmp_path: pathlib.Path):
  jpeg = _encoded(Image.fromarray(RGB.repeat(20, 0).repeat(20, 1)), 'jpeg')
  bad = {
    'cut.jpg': (jpeg[: len(jpeg) // 2], 'truncated'),
    'header.jpg': (jpeg[:30], ''),
    'text.jpg': (b'not an image', 'cannot identify'),
    'empty.png': (b'', 'cannot identify'),
    'float.tiff': (_encoded(Image.new('F', (3, 3)), 'tiff'), '32 bits'),
  }
  for name, (content, reason) in bad.items():
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f'{name}.*: .*{reason}'):
      decode(tmp_path / name)
  with pytest.raises(FileNotFoundError):
    decode(tmp_path / 'absent.jpg')


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
    decode(jpeg)
    ended = time.perf_counter()
  finally:
    sys.setswitchinterval(before)
    stop.set()
    thread.join()
  assert sum(began < tick < ended for tick in ticks) >= 2
