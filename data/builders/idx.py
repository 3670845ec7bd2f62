"""MNIST, in the idx format that it brought."""

import os
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from ..archives import members
from ..dataset import Dataset
from ..download import File
from ..errors import DataError
from ..images import LabelledImages, RandomShift
from ..prepared import open_splits

_MNIST = 'https://storage.googleapis.com/cvdf-datasets/mnist/'
_IMAGES, _LABELS = 47040016, 60008  # bytes of 60,000, with their headers

# Sizes and checksums are those of tensorflow_datasets.
FILES = {
  'mnist': (
    File(
      'train-images-idx3-ubyte.gz',
      _MNIST + 'train-images-idx3-ubyte.gz',
      9912422,
      '440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609',
      _IMAGES,
    ),
    File(
      'train-labels-idx1-ubyte.gz',
      _MNIST + 'train-labels-idx1-ubyte.gz',
      28881,
      '3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c',
      _LABELS,
    ),
    File(
      't10k-images-idx3-ubyte.gz',
      _MNIST + 't10k-images-idx3-ubyte.gz',
      1648877,
      '8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6',
      _IMAGES,
    ),
    File(
      't10k-labels-idx1-ubyte.gz',
      _MNIST + 't10k-labels-idx1-ubyte.gz',
      4542,
      'f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6',
      _LABELS,
    ),
  ),
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
      f'{path}: begins with {content[:4]!r}, which is no idx file of bytes'
    )
  axes = content[3]
  start = 4 + 4 * axes
  shape = struct.unpack(f'>{axes}i', content[4:start].ljust(4 * axes, b'\0'))
  if len(content) != start + np.prod(shape, dtype=np.int64):
    raise DataError(
      f'{path}: has {len(content)} bytes, but its header announces values {shape}'
    )
  return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


class Mnist(  # type: ignore[call-arg]
  tfds.core.GeneratorBasedBuilder, skip_registration=True
):
  """60,000 and 10,000 images of handwritten digits, 28x28 pixels from 0 to 255.

  Source: Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten
  digits", 1998, from Google's mirror of it. Licence: CC BY-SA 3.0.
  """

  VERSION = tfds.core.Version('1.0.0')

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description='Handwritten digits.',
      license='CC BY-SA 3.0',
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Tensor(shape=(28, 28, 1), dtype=np.uint8),
          'label': tfds.features.ClassLabel(num_classes=10),
        }
      ),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    train, t10k = FILES['mnist'][:2], FILES['mnist'][2:]
    return {
      'train': self._generate_examples(dl_manager.manual_dir, *train),
      'test': self._generate_examples(dl_manager.manual_dir, *t10k),
    }

  def _generate_examples(
    self, folder: Any, images: File, labels: File
  ) -> Iterator[tuple[int, dict[str, Any]]]:
    values = []
    for file in (images, labels):
      for _, content in members(folder / file.name, file.unpacked):
        values.append(read_idx(str(folder / file.name), content.read()))
    if len(values[0]) != len(values[1]):
      raise DataError(
        f'{folder / labels.name}: has {len(values[1])} labels of {len(values[0])} '
        'images'
      )
    for index, (image, label) in enumerate(zip(*values, strict=True)):
      yield index, {'image': image[..., None], 'label': int(label)}


def mnist(
  *, data_dir: str | os.PathLike[str] | None = None, max_shift: int = 0
) -> Dataset:
  """Opens MNIST.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    max_shift: training images are moved by up to so many pixels each way.

  Returns:
    A classification of float32 `[28, 28, 1]` images, pixels from 0 to 1.

  Raises:
    ValueError: `max_shift` is not from 0 to 27.
  """
  if not 0 <= max_shift < 28:
    raise ValueError(f'max_shift is {max_shift}, but must be 0 to 27')
  info, records = open_splits(Mnist, data_dir, FILES['mnist'])
  return Dataset(
    name='mnist',
    task='classification',
    classes=tuple(info.features['label'].names),
    splits={split: LabelledImages(records[split], maximum=255) for split in records},
    augment=(RandomShift(max_shift),) if max_shift else (),
  )
