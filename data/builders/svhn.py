"""Street View House Numbers, cropped to a digit, from their Matlab files."""

import dataclasses
import os
from pathlib import Path
from typing import ClassVar

import numpy as np

from ..dataset import Dataset, Example, Source
from ..download import File
from ..errors import DataError, damaged
from .array_images import ArrayImages, open_images

_URL = 'http://ufldl.stanford.edu/housenumbers/'
# Addresses, sizes and checksums as in tensorflow_datasets.
FILES = {
  'train': File(
    'train_32x32.mat',
    _URL + 'train_32x32.mat',
    182040794,
    '435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8',
    unpacked=250_000_000,
  ),
  'test': File(
    'test_32x32.mat',
    _URL + 'test_32x32.mat',
    64275384,
    'cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b',
    unpacked=250_000_000,
  ),
  'extra': File(
    'extra_32x32.mat',
    _URL + 'extra_32x32.mat',
    1329278602,
    'a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3',
    unpacked=1_700_000_000,
  ),
}


def read_mat(path: Path, max_bytes: int) -> tuple[np.ndarray, np.ndarray]:
  """Reads a file of cropped digits.

  Args:
    path: a Matlab file with `X`, uint8 `[32, 32, 3, count]`, and `y`, `[count, 1]`,
      the digits 1 to 9, and 10 for 0.
    max_bytes: the most that `X` may be.

  Returns:
    uint8 images `[count, 32, 32, 3]` and the digits `[count]`.

  Raises:
    DataError: the file is not that.
  """
  import scipy.io  # takes a while, so only to prepare

  try:
    shapes = {name: shape for name, shape, _ in scipy.io.whosmat(path)}
    if not {'X', 'y'} <= shapes.keys():
      raise DataError(f'{path}: has {", ".join(shapes)}; expected X and y')
    if np.prod(shapes['X'], dtype=np.float64) > max_bytes:
      raise DataError(f'{path}: X is {shapes["X"]}, more than {max_bytes} bytes')
    found = scipy.io.loadmat(path, variable_names=['X', 'y'])
  except DataError:
    raise
  except Exception as e:  # scipy's own are of any kind
    raise damaged(str(path), e) from e
  images, labels = found['X'], found['y']
  if images.dtype != np.uint8 or images.ndim != 4:
    raise DataError(
      f'{path}: X is {images.dtype} {images.shape}; expected uint8 (32, 32, 3, count)'
    )
  labels = labels.reshape(-1).astype(np.int32)
  for index in np.flatnonzero((labels < 1) | (labels > 10)).tolist():
    raise DataError(
      f'{path}: the label of image {index} is {labels[index]}, but must be 1 to 10'
    )
  return np.moveaxis(images, 3, 0), labels % 10


class Svhn(ArrayImages, skip_registration=True):  # type: ignore[call-arg]
  """House numbers, a digit in the middle of each image.

  Source: Y. Netzer et al., "Reading Digits in Natural Images with Unsupervised Feature
  Learning", 2011.
  """

  SHAPE = (32, 32, 3)
  CLASSES = '0123456789'
  LICENSE = 'For non-commercial use only'
  SPLITS: tuple[str, ...] = ('train', 'test')
  COUNTS: ClassVar = {'train': 73_257, 'test': 26_032}

  def read(self, folder: Path) -> dict[str, tuple[str, np.ndarray, np.ndarray]]:
    """Reads a file a split."""
    paths = {split: folder / FILES[split].name for split in self.SPLITS}
    return {
      split: (str(path), *read_mat(path, FILES[split].unpacked))
      for split, path in paths.items()
    }


class SvhnExtra(Svhn, skip_registration=True):  # type: ignore[call-arg]
  """More house numbers, somewhat easier, to train with.

  Source: that of `Svhn`.
  """

  SPLITS = ('extra',)
  COUNTS: ClassVar = {'extra': 531_131}


class _Joined:
  """The examples of two sources, one after the other."""

  def __init__(self, first: Source, second: Source):
    self._first, self._second = first, second

  def __len__(self) -> int:
    return len(self._first) + len(self._second)

  def __getitem__(self, index: int) -> Example:
    index = range(len(self))[index]
    if index < len(self._first):
      return self._first[index]
    return self._second[index - len(self._first)]


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  max_shift: int = 0,
  extra: bool = False,
) -> Dataset:
  """Opens SVHN: 73,257 images to train and 26,032 to test.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    max_shift: training images are moved by up to so many pixels each way.
    extra: train also with the 531,131 that the set has beside those.

  Returns:
    A classification of float32 `[32, 32, 3]` images, pixels from 0 to 1, into digits.

  Raises:
    ValueError: `max_shift` is not from 0 to 31.
  """
  files = (FILES['train'], FILES['test'])
  dataset = open_images(Svhn, files, data_dir, max_shift)
  if not extra:
    return dataset
  more = open_images(SvhnExtra, (FILES['extra'],), data_dir, 0, name='svhn --extra')
  joined = _Joined(dataset.splits['train'], more.splits['extra'])
  return dataclasses.replace(dataset, splits={**dataset.splits, 'train': joined})
