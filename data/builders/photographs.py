"""What sets of photographs have in common: files of any size, stored as they came."""

import inspect
import io
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds
from PIL import Image

from ..declared import Declared


def photograph_info(
  builder: Any, classes: Sequence[str] | int, license: str
) -> tfds.core.DatasetInfo:
  """Returns what a builder tells of records of 'image', 'label' and 'file_name'.

  Args:
    builder: its docstring describes the set.
    classes: their names or, where these are found later, their number.
    license: what the set's makers allow.
  """
  names = {'num_classes': classes} if isinstance(classes, int) else {'names': classes}
  return tfds.core.DatasetInfo(
    builder=builder,
    description=inspect.getdoc(builder),
    license=license,
    features=tfds.features.FeaturesDict(
      {
        'image': tfds.features.Image(encoding_format='jpeg'),
        'label': tfds.features.ClassLabel(**names),
        'file_name': tfds.features.Text(),
      }
    ),
    supervised_keys=('image', 'label'),
    disable_shuffling=True,
  )


def photographs(counts: Mapping[str, int]) -> Declared:
  """Returns records of `photograph_info`, all of them black.

  Args:
    counts: how many are in each split.
  """
  file = io.BytesIO()
  Image.new('RGB', (64, 64)).save(file, 'jpeg')
  record = {'image': file.getvalue(), 'label': 0, 'file_name': b'black.jpeg'}
  return {split: (count, record) for split, count in counts.items()}
