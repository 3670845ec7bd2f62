"""What sets of small images have in common: all of one size, stored as they are."""

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import grain
import numpy as np
import tensorflow_datasets as tfds

from ..dataset import Dataset
from ..declared import Declared
from ..download import File
from ..errors import DataError
from ..images import LabelledImages, RandomShift
from ..prepared import open_splits
from ..transforms import RandomHorizontalFlip


class ArrayImages(  # type: ignore[call-arg]
  tfds.core.GeneratorBasedBuilder, skip_registration=True
):
  """A builder of uint8 images and the class of each, in the order of the source."""

  VERSION = tfds.core.Version('1.0.0')
  # Height, width, channels; the classes' names; how many images are in each split; what
  # its makers allow to do with it.
  SHAPE: ClassVar[tuple[int, int, int]]
  CLASSES: ClassVar[Sequence[str]]
  COUNTS: ClassVar[Mapping[str, int]]
  LICENSE: ClassVar[str]

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description=inspect.getdoc(self),
      license=self.LICENSE,
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Tensor(shape=self.SHAPE, dtype=np.uint8),
          'label': _class_label(self.classes()),
        }
      ),
      supervised_keys=('image', 'label'),
      disable_shuffling=True,
    )

  def classes(self) -> Sequence[str] | int:
    """Returns the classes' names; or their number, if `read` finds the names."""
    return self.CLASSES

  def counts(self) -> Mapping[str, int]:
    """Returns how many images are in each split."""
    return self.COUNTS

  def declare(self) -> Declared:
    """Returns the splits as they are published."""
    record = {'image': np.zeros(self.SHAPE, np.uint8), 'label': 0}
    return {split: (count, record) for split, count in self.counts().items()}

  def read(self, folder: Path) -> dict[str, tuple[str, np.ndarray, np.ndarray]]:
    """Reads the source.

    Args:
      folder: where its files are.

    Returns:
      For each split the file that labels come from, images
      `[count, height, width, channels]` and labels `[count]`.

    Raises:
      DataError: a file is not what it should be.
    """
    raise NotImplementedError

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    arrays = self.read(Path(dl_manager.manual_dir))
    return {split: self._generate_examples(*arrays[split]) for split in arrays}

  def _generate_examples(
    self, path: str, images: np.ndarray, labels: np.ndarray
  ) -> Iterator[tuple[int, dict[str, Any]]]:
    if images.shape != (len(labels), *self.SHAPE):
      raise DataError(
        f'{path}: {len(labels)} labels, but images {images.shape}; expected '
        f'{(len(labels), *self.SHAPE)}'
      )
    classes = self.info.features['label'].num_classes
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
      if not 0 <= label < classes:
        raise DataError(
          f'{path}: the label of image {index} is {label}, but must be 0 to '
          f'{classes - 1}'
        )
      yield index, {'image': image, 'label': int(label)}


def _class_label(classes: Sequence[str] | int) -> tfds.features.ClassLabel:
  if isinstance(classes, int):
    return tfds.features.ClassLabel(num_classes=classes)
  return tfds.features.ClassLabel(names=classes)


def open_images(
  builder: Callable[..., Any],
  files: Sequence[File],
  data_dir: str | os.PathLike[str] | None,
  max_shift: int,
  flip: bool = False,
  name: str = '',
) -> Dataset:
  """Opens a set of such a builder.

  Args:
    builder: an `ArrayImages`.
    files: what it is made from.
    data_dir: where prepared sets are kept; None is TFDS's own default.
    max_shift: training images are moved by up to so many pixels each way.
    flip: training images are mirrored or not.
    name: as that of `open_splits`.

  Raises:
    ValueError: `max_shift` is negative or as large as an image.
    DataError: as `open_splits`.
  """
  info, records = open_splits(builder, data_dir, files, name)
  side = info.features['image'].shape[0]
  if not 0 <= max_shift < side:
    raise ValueError(f'max_shift is {max_shift}, but must be 0 to {side - 1}')
  augment: list[grain.transforms.RandomMap] = []
  if max_shift:
    augment.append(RandomShift(max_shift))
  if flip:
    augment.append(RandomHorizontalFlip())
  return Dataset(
    name=info.name,
    task='classification',
    classes=tuple(info.features['label'].names),
    splits={split: LabelledImages(records[split], maximum=255) for split in records},
    augment=tuple(augment),
    license=info.redistribution_info.license or '',
  )
