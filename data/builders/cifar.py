"""CIFAR-10 and CIFAR-100, from their binary archives."""

import dataclasses
import functools
import os
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from ..archives import members
from ..dataset import Dataset
from ..download import File
from ..errors import DataError
from .array_images import ArrayImages, open_images

# Addresses, sizes and checksums as in tensorflow_datasets. Unpacked they are 184 MB.
FILES = {
  'cifar10': (
    File(
      'cifar-10-binary.tar.gz',
      'https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz',
      170052171,
      'c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd',
      unpacked=200_000_000,
    ),
  ),
  'cifar100': (
    File(
      'cifar-100-binary.tar.gz',
      'https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz',
      168513733,
      '58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec',
      unpacked=200_000_000,
    ),
  ),
}


@dataclasses.dataclass(frozen=True)
class _Format:
  """What the records of an archive are, and in which of its files.

  A record is `labels` bytes, of which that at `label` counts, then 1,024 of red, of
  green and of blue.
  """

  names: str  # a text file: a class a line
  classes: int
  label: int
  labels: int
  train: tuple[str, ...]
  test: str


_FORMATS = {
  'cifar10': _Format(
    'batches.meta.txt',
    10,
    label=0,
    labels=1,
    train=tuple(f'data_batch_{i}.bin' for i in range(1, 6)),
    test='test_batch.bin',
  ),
  'coarse': _Format('coarse_label_names.txt', 20, 0, 2, ('train.bin',), 'test.bin'),
  'fine': _Format('fine_label_names.txt', 100, 1, 2, ('train.bin',), 'test.bin'),
}


class Cifar10(ArrayImages, skip_registration=True):  # type: ignore[call-arg]
  """Photographs of ten kinds of animals and vehicles.

  Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
  """

  SHAPE = (32, 32, 3)
  COUNTS: ClassVar = {'train': 50_000, 'test': 10_000}
  LICENSE = 'None is named; its makers ask to be cited'

  @property
  def format(self) -> _Format:
    """Which labels of which files."""
    return _FORMATS['cifar10']

  def classes(self) -> int:
    """Returns how many classes there are; their names are in the archive."""
    return self.format.classes

  def read(self, folder: Path) -> dict[str, tuple[str, np.ndarray, np.ndarray]]:
    """Reads the archive."""
    (archive,) = FILES[self.name]
    path = folder / archive.name
    contents = {
      name.rpartition('/')[2]: content.read()
      for name, content in members(path, archive.unpacked)
    }
    wanted = (self.format.names, *self.format.train, self.format.test)
    if missing := sorted({*wanted} - contents.keys()):
      raise DataError(f'{path}: has no {", ".join(missing)}')
    names = contents[self.format.names].decode().split()
    if len(names) != self.format.classes:
      raise DataError(
        f'{path}: {self.format.names} names {len(names)} classes; expected '
        f'{self.format.classes}'
      )
    self.info.features['label'].names = names
    splits = {'train': self.format.train, 'test': (self.format.test,)}
    return {
      split: (
        f'{path}: {", ".join(files)}',
        *self._parse(path, {name: contents[name] for name in files}),
      )
      for split, files in splits.items()
    }

  def _parse(
    self, path: Path, contents: dict[str, bytes]
  ) -> tuple[np.ndarray, np.ndarray]:
    bytes_of_record = self.format.labels + 3 * 32 * 32
    for name, content in contents.items():
      if len(content) % bytes_of_record:
        raise DataError(
          f'{path}: {name} has {len(content)} bytes; expected a multiple of '
          f'{bytes_of_record}'
        )
    values = np.frombuffer(b''.join(contents.values()), np.uint8)
    records = values.reshape(-1, bytes_of_record)
    pixels = records[:, self.format.labels :].reshape(-1, 3, 32, 32)
    return np.moveaxis(pixels, 1, 3), records[:, self.format.label]


class Cifar100(Cifar10, skip_registration=True):  # type: ignore[call-arg]
  """Photographs of a hundred kinds of things, in twenty groups.

  Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
  """

  BUILDER_CONFIGS: ClassVar = [
    tfds.core.BuilderConfig(name=name) for name in ('fine', 'coarse')
  ]

  @property
  def format(self) -> _Format:
    """Which labels of which files."""
    return _FORMATS[self.builder_config.name]


def cifar10(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  max_shift: int = 0,
  flip: bool = False,
) -> Dataset:
  """Opens CIFAR-10: 50,000 images to train and 10,000 to test, of ten classes.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    max_shift: training images are moved by up to so many pixels each way.
    flip: training images are mirrored or not. With a `max_shift` of 4 that is what is
      usual for this set.

  Returns:
    A classification of float32 `[32, 32, 3]` images, pixels from 0 to 1.

  Raises:
    ValueError: `max_shift` is not from 0 to 31.
  """
  return open_images(Cifar10, FILES['cifar10'], data_dir, max_shift, flip)


def cifar100(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  max_shift: int = 0,
  flip: bool = False,
  labels: str = 'fine',
) -> Dataset:
  """Opens CIFAR-100: 50,000 images to train and 10,000 to test.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    max_shift: training images are moved by up to so many pixels each way.
    flip: training images are mirrored or not. With a `max_shift` of 4 that is what is
      usual for this set.
    labels: 'fine', a hundred classes, or 'coarse', the twenty groups of five of them.

  Returns:
    A classification of float32 `[32, 32, 3]` images, pixels from 0 to 1.

  Raises:
    ValueError: other `labels`, or `max_shift` is not from 0 to 31.
  """
  if labels not in ('fine', 'coarse'):
    raise ValueError(f"labels is {labels!r}, but must be 'fine' or 'coarse'")
  builder = functools.partial(Cifar100, config=labels)
  return open_images(
    builder,
    FILES['cifar100'],
    data_dir,
    max_shift,
    flip,
    name=f'cifar100 --labels={labels}',
  )
