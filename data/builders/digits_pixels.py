"""Handwritten digits whose ink is to be found and named, pixel by pixel."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..dataset import Dataset
from ..images import RandomShift
from ..prepared import open_splits
from .digits import Digits


class InkedImages:
  """Examples whose targets are the digit where there is ink, and 0 elsewhere.

  Args:
    records: each with 'image', `[height, width, 1]` from 0 to 16, and 'label'.
    threshold: the least pixel value that is ink.
  """

  def __init__(self, records: Sequence[Mapping[str, Any]], threshold: int):
    self._records = records
    self._threshold = threshold

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    record = self._records[index]
    ink = record['image'][..., 0] >= self._threshold
    return {
      'inputs': record['image'].astype(np.float32) / np.float32(16),
      'targets': np.where(ink, 1 + record['label'], 0).astype(np.int32),
      'weights': np.ones(ink.shape, np.float32),
    }


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  max_shift: int = 1,
  threshold: int = 8,
) -> Dataset:
  """Opens the digits of `digits` for segmentation.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    max_shift: training images are moved by up to so many pixels each way.
    threshold: the least pixel value, from 1 to 16, that is ink.

  Returns:
    A segmentation of float32 `[8, 8, 1]` images, pixels from 0 to 1, into 'paper' and
    the ten digits.

  Raises:
    ValueError: `max_shift` is not from 0 to 7, or `threshold` not from 1 to 16.
  """
  if not 0 <= max_shift < 8:
    raise ValueError(f'max_shift is {max_shift}, but must be 0 to 7')
  if not 1 <= threshold <= 16:
    raise ValueError(f'threshold is {threshold}, but must be 1 to 16')
  info, records = open_splits(Digits, data_dir)
  return Dataset(
    name='digits_pixels',
    task='segmentation',
    classes=('paper', *info.features['label'].names),
    splits={s: InkedImages(list(records[s]), threshold) for s in records},
    augment=(RandomShift(max_shift),) if max_shift else (),
  )
