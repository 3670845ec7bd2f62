"""Labelled images as examples, and their augmentation."""

from collections.abc import Mapping, Sequence
from typing import Any

import grain
import numpy as np


class LabelledImages:
  """Examples from records of an image and its label.

  Args:
    records: each with 'image', `[height, width, channels]`, and 'label', an integer.
    maximum: the largest pixel value, which becomes 1.
  """

  def __init__(self, records: Sequence[Mapping[str, Any]], maximum: int):
    self._records = records
    self._maximum = np.float32(maximum)

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    record = self._records[index]
    return {
      'inputs': record['image'].astype(np.float32) / self._maximum,
      'targets': np.array(record['label'], np.int32),
      'weights': np.array(1, np.float32),
    }

  def get_batch(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the examples at `indices [batch]`, stacked."""
    records = [self._records[int(index)] for index in indices]
    images = np.stack([record['image'] for record in records])
    return {
      'inputs': images.astype(np.float32) / self._maximum,
      'targets': np.array([record['label'] for record in records], np.int32),
      'weights': np.ones(len(records), np.float32),
    }


class RandomShift(grain.transforms.RandomMap):
  """Moves an image by up to so many pixels each way; what moves in is 0.

  Targets that are classes of pixels move with it.

  Args:
    max_shift: the most pixels, both down or up and right or left.

  Raises:
    ValueError: `max_shift` is negative.
  """

  def __init__(self, max_shift: int):
    if max_shift < 0:
      raise ValueError(f'max_shift is {max_shift}, but must be 0 or more')
    self._max_shift = max_shift

  def random_map(
    self, element: dict[str, np.ndarray], rng: np.random.Generator
  ) -> dict[str, np.ndarray]:
    """Returns the example with its `inputs` moved, same shape and dtype."""
    most = self._max_shift
    top, left = rng.integers(0, 2 * most, size=2, endpoint=True)

    def move(image: np.ndarray) -> np.ndarray:
      height, width, *rest = image.shape
      # Not np.pad: five times as slow on a small image.
      canvas = np.zeros((height + 2 * most, width + 2 * most, *rest), image.dtype)
      canvas[most : most + height, most : most + width] = image
      return canvas[top : top + height, left : left + width]

    moved = dict(element)
    for name in {'inputs', 'targets'} & element.keys():
      if element[name].ndim > 1:
        moved[name] = move(element[name])
    return moved
