"""What sets of photographs have in common: files of any size, stored as they came."""

import inspect
from collections.abc import Sequence
from typing import Any

import tensorflow_datasets as tfds


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
