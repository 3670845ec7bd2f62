"""Handwritten digits, 8x8 pixels: the set that ships with scikit-learn."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from ..dataset import Dataset
from ..images import LabelledImages, RandomShift
from ..prepare import open_splits

_TEST_EVERY = 5


class Digits(  # type: ignore[call-arg]
  tfds.core.GeneratorBasedBuilder, skip_registration=True
):
  """1,797 images of handwritten digits, pixels from 0 to 16.

  The set has no split of its own. Here the images at positions 4, 9, 14, ... are
  'test' (359) and the others 'train' (1,438), both in their order in the set.

  Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits",
  UCI Machine Learning Repository, 1998; of it, the part that scikit-learn ships.
  """

  VERSION = tfds.core.Version('1.0.0')

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description='The 8x8 handwritten digits that ship with scikit-learn.',
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Tensor(shape=(8, 8, 1), dtype=np.uint8),
          'label': tfds.features.ClassLabel(num_classes=10),
        }
      ),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    del dl_manager
    return {
      'train': self._generate_examples(test=False),
      'test': self._generate_examples(test=True),
    }

  def _generate_examples(self, test: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    from sklearn.datasets import load_digits  # takes a second, so only to prepare

    images, labels = load_digits().images, load_digits().target
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
      if (index % _TEST_EVERY == _TEST_EVERY - 1) == test:
        yield index, {'image': image[..., None].astype(np.uint8), 'label': int(label)}


def load(
  *, data_dir: str | os.PathLike[str] | None = None, max_shift: int = 1
) -> Dataset:
  """Opens the digits.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    max_shift: training images are moved by up to so many pixels each way.

  Returns:
    A classification of float32 `[8, 8, 1]` images, pixels from 0 to 1, into 10
    digits.

  Raises:
    ValueError: `max_shift` is not from 0 to 7, one less than the images' size.
  """
  if not 0 <= max_shift < 8:
    raise ValueError(f'max_shift is {max_shift}, but must be 0 to 7')
  augment = (RandomShift(max_shift),) if max_shift else ()
  info, records = open_splits(Digits, data_dir)
  return Dataset(
    name='digits',
    task='classification',
    classes=tuple(info.features['label'].names),
    # 0.1 MB: kept in memory, which doubles the speed of reading.
    splits={
      split: LabelledImages(list(records[split]), maximum=16) for split in records
    },
    augment=augment,
  )
