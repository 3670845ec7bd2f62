"""Image files: which can be used, and how they become arrays."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from PIL import Image, ImageOps

from .errors import DataError

EXTENSIONS = ('.jpg', '.jpeg', '.png', '.webp', '.bmp', '.gif', '.tif', '.tiff')
# No others are tried, whatever a file holds: Pillow runs a program for some.
_FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'GIF', 'TIFF')
# What a whole file has near its end. Of other formats all is decoded to know.
_ENDS = {'JPEG': b'\xff\xd9', 'PNG': b'IEND'}
_EXPECTED = 'expected 8-bit RGB, grayscale, black and white, or a palette, opaque'


def check_image(path: str, whole: bool = False) -> None:
  """Finds what is wrong with an image file, from its header and end where these tell.

  Args:
    path: the file.
    whole: decode all of it. Damage in the middle of a file shows only so.

  Raises:
    DataError: as `read_image`.
  """
  if not path.lower().endswith(EXTENSIONS):
    raise DataError(f'{path}: expected an image, {", ".join(EXTENSIONS)}')
  with _blame(path), Image.open(path, formats=_FORMATS) as image:
    _check_mode(path, image)
    if not whole and not _has_alpha(image) and image.format in _ENDS:
      with open(path, 'rb') as f:
        f.seek(-min(1024, os.path.getsize(path)), os.SEEK_END)
        whole = _ENDS[image.format] not in f.read()
    else:
      whole = True
  if whole:
    read_image(path, 3)


def read_image(path: str, channels: int) -> Image.Image:
  """Reads an image file, upright.

  What means the same in 8-bit RGB becomes that: grayscale, black and white, palettes,
  and an alpha channel, or a transparent colour, that makes nothing transparent. With
  one channel, colours become their luma as Pillow has it (ITU-R 601-2). The rotation
  that a camera notes (EXIF) is applied. Of a JPEG that holds several images it is the
  first.

  Refused are, since 8-bit RGB could not hold what they mean: CMYK, Lab and YCbCr
  without a profile, 16 and 32 bits a channel, transparency, and animations.

  Args:
    path: the file: JPEG, PNG, WebP, BMP, GIF or TIFF.
    channels: 3 or 1.

  Returns:
    An image of mode 'RGB' or 'L'.

  Raises:
    DataError: the file is missing, damaged, or refused.
  """
  with _blame(path), Image.open(path, formats=_FORMATS) as image:
    _check_mode(path, image)
    ImageOps.exif_transpose(image, in_place=True)
    alpha = image.convert('RGBA').getchannel('A') if _has_alpha(image) else None
    if alpha and np.asarray(alpha).min() < 255:
      raise DataError(f'{path}: it is transparent in places; {_EXPECTED}')
    return image.convert('L' if channels == 1 else 'RGB')


def resize_and_crop(image: Image.Image, resize: int, size: int) -> np.ndarray:
  """Returns the centre of an image whose shorter side was scaled to `resize`.

  By Pillow's bilinear filter, which is antialiased.

  Args:
    image: of mode 'RGB' or 'L'.
    resize: pixels of the shorter side.
    size: pixels of both sides of what is cut out, up to `resize`.

  Returns:
    float32 `[size, size, channels]`, 0 to 1.

  >>> resize_and_crop(Image.new('L', (8, 6), 255), 6, 4).shape
  (4, 4, 1)
  """
  scale = resize / min(image.size)
  width, height = (max(resize, round(side * scale)) for side in image.size)
  image = image.resize((width, height), Image.Resampling.BILINEAR)
  left, top = (width - size) // 2, (height - size) // 2
  pixels = np.asarray(image.crop((left, top, left + size, top + size)), np.float32)
  return pixels.reshape(size, size, -1) / np.float32(255)


class ImageFiles:
  """Examples from image files, each read when it is asked for.

  Args:
    paths: the files.
    labels: the class of each.
    channels: 3 or 1.
    prepare: makes the float32 array of an image of mode 'RGB' or 'L'.
  """

  def __init__(
    self,
    paths: Sequence[str],
    labels: Sequence[int],
    channels: int,
    prepare: Callable[[Image.Image], np.ndarray],
  ):
    self.paths = tuple(paths)
    self.labels = np.array(labels, np.int32)
    self._channels, self._prepare = channels, prepare

  def __len__(self) -> int:
    return len(self.paths)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    image = read_image(self.paths[index], self._channels)
    return {
      'inputs': self._prepare(image),
      'targets': self.labels[index],
      'weights': np.array(1, np.float32),
    }


def _has_alpha(image: Image.Image) -> bool:
  return image.mode in ('RGBA', 'LA', 'PA') or 'transparency' in image.info


def _check_mode(path: str, image: Image.Image) -> None:
  # Pillow makes 8 bits of 16 in colour, in silence; what it unpacks tells.
  deep = image.format in ('PNG', 'TIFF') and ';16' in str(getattr(image, 'tile', ''))
  if deep or image.mode not in ('1', 'L', 'P', 'RGB', 'RGBA', 'LA', 'PA'):
    what = '16 bits a channel' if deep or image.mode[0] == 'I' else image.mode
    raise DataError(f'{path}: the image is {what}; {_EXPECTED}')
  frames = getattr(image, 'n_frames', 1)
  if frames > 1 and image.format != 'MPO':
    raise DataError(f'{path}: it has {frames} frames; expected one image')


@contextlib.contextmanager
def _blame(path: str) -> Iterator[None]:
  """Says in a line which file could not be read, and why."""
  try:
    yield
  except DataError:
    raise
  except Image.UnidentifiedImageError as e:
    raise DataError(f'{path}: it is no {", ".join(_FORMATS)}, or damaged') from e
  except Exception as e:  # decoders raise anything on damaged files
    what = getattr(e, 'strerror', None) or ' '.join(str(e).split())
    raise DataError(f'{path}: {what}') from e
