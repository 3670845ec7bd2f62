"""Handwritten digits, 8x8 pixels: the set that ships with scikit-learn."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from ..dataset import Dataset
from ..images import LabelledImages, RandomShift
from ..prepared import open_splits

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
  *,
  data_dir: str | os.PathLike[str] | None = None,
  max_shift: int = 1,
  labels: Sequence[int] = tuple(range(10)),
  train_per_label: int = 0,
) -> Dataset:
  """Opens the digits.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    max_shift: training images are moved by up to so many pixels each way.
    labels: the digits to tell apart, at least two; images of others are left out.
    train_per_label: how many training images of each digit there are, the first; 0 is
      all of them.

  Returns:
    A classification of float32 `[8, 8, 1]` images, pixels from 0 to 1, into those
    digits, in the order given.

  Raises:
    ValueError: `max_shift` is not from 0 to 7, one less than the images' size; `labels`
      are not different digits; or there are not so many training images of each.

  >>> dataset = load(labels=(3, 5), train_per_label=20)
  >>> dataset.classes, len(dataset.splits['train']), len(dataset.splits['test'])
  (('3', '5'), 40, 80)
  """
  if not 0 <= max_shift < 8:
    raise ValueError(f'max_shift is {max_shift}, but must be 0 to 7')
  if len(labels) < 2 or len({*labels} & {*range(10)}) < len(labels):
    raise ValueError(f'labels is {labels}, but must be two or more digits, each once')
  augment = (RandomShift(max_shift),) if max_shift else ()
  info, records = open_splits(Digits, data_dir)
  # 0.1 MB: kept in memory, which doubles the speed of reading.
  splits = {split: _relabel(records[split], labels) for split in records}
  if train_per_label:
    splits['train'] = _first(splits['train'], train_per_label)
  return Dataset(
    name='digits',
    task='classification',
    classes=tuple(info.features['label'].names[label] for label in labels),
    splits={split: LabelledImages(splits[split], maximum=16) for split in splits},
    augment=augment,
  )


def _relabel(
  records: Sequence[dict[str, Any]], labels: Sequence[int]
) -> list[dict[str, Any]]:
  """Returns the records of these labels, each with its label's place among them."""
  places = {label: place for place, label in enumerate(labels)}
  return [
    record | {'label': places[int(record['label'])]}
    for record in records
    if int(record['label']) in places
  ]


def _first(records: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
  """Returns the first records of each label."""
  seen: Counter[int] = Counter()
  kept = []
  for record in records:
    seen[record['label']] += 1
    if seen[record['label']] <= count:
      kept.append(record)
  fewest = min(seen.values())
  if not 0 < count <= fewest:
    raise ValueError(f'train_per_label is {count}, but must be 0 to {fewest}')
  return kept
