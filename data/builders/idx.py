"""MNIST and its kin, in the idx format that it brought."""

import functools
import os
import string
import struct
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from ..archives import members
from ..dataset import Dataset
from ..download import File
from ..errors import DataError
from .array_images import ArrayImages, open_images

_IMAGES, _LABELS = 47040016, 60008  # bytes of 60,000, with their headers
_MNIST = 'https://storage.googleapis.com/cvdf-datasets/mnist/'
_FASHION = 'http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/'
_EMNIST = 'https://biometrics.nist.gov/cs_links/EMNIST/'
_KMNIST = 'http://codh.rois.ac.jp/kmnist/dataset/kmnist/'


def _file(url: str, name: str, size: int, unpacked: int, sha256: str) -> File:
  return File(name, url + name, size, sha256, unpacked)


# Addresses, sizes and checksums as in tensorflow_datasets.
# fmt: off
FILES = {
  'mnist': (
    _file(_MNIST, 'train-images-idx3-ubyte.gz', 9912422, _IMAGES,
      '440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609'),
    _file(_MNIST, 'train-labels-idx1-ubyte.gz', 28881, _LABELS,
      '3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c'),
    _file(_MNIST, 't10k-images-idx3-ubyte.gz', 1648877, _IMAGES,
      '8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6'),
    _file(_MNIST, 't10k-labels-idx1-ubyte.gz', 4542, _LABELS,
      'f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6'),
  ),
  'fashion_mnist': (
    _file(_FASHION, 'train-images-idx3-ubyte.gz', 26421880, _IMAGES,
      '3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84'),
    _file(_FASHION, 'train-labels-idx1-ubyte.gz', 29515, _LABELS,
      'a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845'),
    _file(_FASHION, 't10k-images-idx3-ubyte.gz', 4422102, _IMAGES,
      '346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073'),
    _file(_FASHION, 't10k-labels-idx1-ubyte.gz', 5148, _LABELS,
      '67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5'),
  ),
  'kmnist': (
    _file(_KMNIST, 'train-images-idx3-ubyte.gz', 18165135, _IMAGES,
      '51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4'),
    _file(_KMNIST, 'train-labels-idx1-ubyte.gz', 29497, _LABELS,
      'e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17'),
    _file(_KMNIST, 't10k-images-idx3-ubyte.gz', 3041136, _IMAGES,
      'edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5'),
    _file(_KMNIST, 't10k-labels-idx1-ubyte.gz', 5120, _LABELS,
      '20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c'),
  ),
  'emnist': (
    # A zip of gzipped files, which shrink no more; 600 MB leaves room.
    _file(_EMNIST, 'gzip.zip', 561753746, 600_000_000,
      'fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e'),
  ),
}
# fmt: on

_MERGED = 'abdefghnqrt'  # the small letters that do not look like their capitals
_EMNIST_CLASSES = {
  'byclass': string.digits + string.ascii_uppercase + string.ascii_lowercase,
  'bymerge': string.digits + string.ascii_uppercase + _MERGED,
  'balanced': string.digits + string.ascii_uppercase + _MERGED,
  'letters': string.ascii_lowercase,
  'digits': string.digits,
  'mnist': string.digits,
}
_EMNIST_COUNTS = {  # to train and to test
  'byclass': (697_932, 116_323),
  'bymerge': (697_932, 116_323),
  'balanced': (112_800, 18_800),
  'letters': (124_800, 20_800),
  'digits': (240_000, 40_000),
  'mnist': (60_000, 10_000),
}


def read_idx(path: str, content: bytes) -> np.ndarray:
  """Returns the uint8 array in a file of the idx format.

  The format: two bytes 0, the type (8 is uint8), the number of axes, the length of each
  as a big-endian int32, and the values in C order.

  Args:
    path: the file's name, for messages.
    content: its bytes.

  Raises:
    DataError: they are not that.

  >>> read_idx('a', bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 2, 7, 9]))
  array([[7, 9]], dtype=uint8)
  """
  if len(content) < 4 or content[:3] != b'\0\0\x08':
    raise DataError(
      f'{path}: begins with {content[:4]!r}; expected an idx file of bytes'
    )
  axes = content[3]
  start = 4 + 4 * axes
  shape = struct.unpack(f'>{axes}i', content[4:start].ljust(4 * axes, b'\0'))
  if len(content) != start + np.prod(shape, dtype=np.int64):
    raise DataError(
      f'{path}: has {len(content)} bytes, but its header announces values {shape}'
    )
  return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


class _Idx(ArrayImages, skip_registration=True):  # type: ignore[call-arg]
  """A set of 60,000 images to train and 10,000 to test, as four idx files."""

  SHAPE = (28, 28, 1)
  COUNTS: ClassVar = {'train': 60_000, 'test': 10_000}

  def read(self, folder: Path) -> dict[str, tuple[str, np.ndarray, np.ndarray]]:
    """Reads the four files."""
    values = []
    for file in FILES[self.name]:
      path = str(folder / file.name)
      for _, content in members(path, file.unpacked):
        values.append(read_idx(path, content.read()))
    images, labels, test_images, test_labels = values
    train, test = (str(folder / FILES[self.name][i].name) for i in (1, 3))
    return {
      'train': (train, images[..., None], labels),
      'test': (test, test_images[..., None], test_labels),
    }


class Mnist(_Idx, skip_registration=True):  # type: ignore[call-arg]
  """Handwritten digits.

  Source: Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten
  digits", 1998, from Google's mirror.
  """

  CLASSES = string.digits
  LICENSE = 'CC BY-SA 3.0'


class FashionMnist(_Idx, skip_registration=True):  # type: ignore[call-arg]
  """Pictures of clothes.

  Source: H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for
  Benchmarking Machine Learning Algorithms", 2017.
  """

  CLASSES = (
    'T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat', 'Sandal', 'Shirt', 'Sneaker',
    'Bag', 'Ankle boot',
  )  # fmt: skip
  LICENSE = 'MIT'


class Kmnist(_Idx, skip_registration=True):  # type: ignore[call-arg]
  """Handwritten characters of classical Japanese.

  Source: T. Clanuwat et al., "Deep Learning for Classical Japanese Literature", 2018.
  """

  CLASSES = ('o', 'ki', 'su', 'tsu', 'na', 'ha', 'ma', 'ya', 're', 'wo')
  LICENSE = 'CC BY-SA 4.0'


class Emnist(ArrayImages, skip_registration=True):  # type: ignore[call-arg]
  """Handwritten digits and letters, six ways to split and name them.

  Source: G. Cohen, S. Afshar, J. Tapson and A. van Schaik, "EMNIST: an extension of
  MNIST to handwritten letters", 2017, from NIST. Its images lie on their side; here
  they stand. Its labels of 'letters' are 1 to 26, here 0 to 25.
  """

  BUILDER_CONFIGS: ClassVar = [
    tfds.core.BuilderConfig(name=name) for name in _EMNIST_CLASSES
  ]
  SHAPE = (28, 28, 1)
  LICENSE = "None is named; it derives from NIST's Special Database 19"

  def classes(self) -> str:
    """Returns the characters."""
    return _EMNIST_CLASSES[self.builder_config.name]

  def counts(self) -> dict[str, int]:
    """Returns how many images are in each split."""
    train, test = _EMNIST_COUNTS[self.builder_config.name]
    return {'train': train, 'test': test}

  def read(self, folder: Path) -> dict[str, tuple[str, np.ndarray, np.ndarray]]:
    """Reads the four files of a split, each gzipped within the zip."""
    (archive,) = FILES['emnist']
    split = self.builder_config.name
    values = {}
    for name, packed in members(folder / archive.name, archive.unpacked):
      base = name.rpartition('/')[2]
      if base.startswith(f'emnist-{split}-') and base.endswith('-ubyte.gz'):
        for _, content in members(base, _IMAGES * 14, packed):
          values[base] = read_idx(name, content.read())
    arrays = {}
    for part in ('train', 'test'):
      prefix = f'emnist-{split}-{part}'
      files = [f'{prefix}-images-idx3-ubyte.gz', f'{prefix}-labels-idx1-ubyte.gz']
      for file in files:
        if file not in values:
          raise DataError(f'{folder / archive.name}: has no {file}')
      images, labels = (values[file] for file in files)
      labels = labels.astype(np.int32) - (split == 'letters')
      arrays[part] = files[1], np.swapaxes(images, 1, 2)[..., None], labels
    return arrays


def mnist(
  *, data_dir: str | os.PathLike[str] | None = None, max_shift: int = 0
) -> Dataset:
  """Opens MNIST: 60,000 handwritten digits to train and 10,000 to test.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    max_shift: training images are moved by up to so many pixels each way.

  Returns:
    A classification of float32 `[28, 28, 1]` images, pixels from 0 to 1.

  Raises:
    ValueError: `max_shift` is not from 0 to 27.
  """
  return open_images(Mnist, FILES['mnist'], data_dir, max_shift)


def fashion_mnist(
  *, data_dir: str | os.PathLike[str] | None = None, max_shift: int = 0
) -> Dataset:
  """Opens Fashion-MNIST: 60,000 pictures of clothes to train and 10,000 to test.

  Arguments, result and errors are those of `mnist`.
  """
  return open_images(FashionMnist, FILES['fashion_mnist'], data_dir, max_shift)


def kmnist(
  *, data_dir: str | os.PathLike[str] | None = None, max_shift: int = 0
) -> Dataset:
  """Opens Kuzushiji-MNIST: 60,000 characters to train and 10,000 to test.

  Arguments, result and errors are those of `mnist`.
  """
  return open_images(Kmnist, FILES['kmnist'], data_dir, max_shift)


def emnist(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  max_shift: int = 0,
  split: str = 'balanced',
) -> Dataset:
  """Opens EMNIST.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    max_shift: training images are moved by up to so many pixels each way.
    split: which characters there are and how many images to train and to test:
      'byclass' (digits, capitals and small letters; 697,932 and 116,323), 'bymerge'
      (the small letters that look like capitals named so; 697,932 and 116,323),
      'balanced' (of the same classes equally many; 112,800 and 18,800), 'letters'
      (capital or small alike; 124,800 and 20,800), 'digits' (240,000 and 40,000) or
      'mnist' (60,000 and 10,000).

  Returns:
    A classification of float32 `[28, 28, 1]` images, pixels from 0 to 1.

  Raises:
    ValueError: another `split`, or `max_shift` is not from 0 to 27.
  """
  if split not in _EMNIST_CLASSES:
    raise ValueError(
      f'split is {split!r}, but must be one of {", ".join(_EMNIST_CLASSES)}'
    )
  builder = functools.partial(Emnist, config=split)
  return open_images(
    builder, FILES['emnist'], data_dir, max_shift, name=f'emnist --split={split}'
  )
