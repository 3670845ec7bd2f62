"""Handwritten digits, turned: by which angle?"""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import grain
import numpy as np

from ..dataset import Dataset
from ..prepared import open_splits
from .digits import Digits


def turn(image: np.ndarray, angle: float) -> np.ndarray:
  """Turns an image about its centre, interpolating linearly; what turns in is 0.

  Args:
    image: float32 `[height, width, channels]`.
    angle: in radians, counterclockwise as the image is shown.
  """
  height, width, _ = image.shape
  y, x = np.mgrid[:height, :width] - np.reshape([height - 1, width - 1], (2, 1, 1)) / 2
  cos, sin = math.cos(angle), math.sin(angle)
  # Where each pixel comes from, in the image with a margin of zeros.
  rows = np.clip(cos * y + sin * x + (height + 1) / 2, 0, height + 1)
  columns = np.clip(cos * x - sin * y + (width + 1) / 2, 0, width + 1)
  padded = np.pad(image, ((1, 2), (1, 2), (0, 0)))
  top, left = rows.astype(int), columns.astype(int)
  down, right = (rows - top)[..., None], (columns - left)[..., None]
  upper = (1 - right) * padded[top, left] + right * padded[top, left + 1]
  lower = (1 - right) * padded[top + 1, left] + right * padded[top + 1, left + 1]
  return ((1 - down) * upper + down * lower).astype(np.float32)


class _Turn(grain.transforms.RandomMap):
  """Turns an image by a random angle, which becomes its target."""

  def __init__(self, max_angle: float):
    self._max_angle = max_angle

  def random_map(
    self, element: dict[str, np.ndarray], rng: np.random.Generator
  ) -> dict[str, np.ndarray]:
    angle = rng.uniform(-self._max_angle, self._max_angle)
    turned = turn(element['inputs'], angle)
    return {**element, 'inputs': turned, 'targets': np.array([angle], np.float32)}


class _Images:
  """Examples that are yet to be turned or, to test, turned each by its own angle."""

  def __init__(self, records: Sequence[Mapping[str, Any]], turn: _Turn | None):
    self._records, self._turn = records, turn

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    example = {
      'inputs': self._records[index]['image'].astype(np.float32) / np.float32(16),
      'targets': np.zeros(1, np.float32),
      'weights': np.array(1, np.float32),
    }
    if not self._turn:
      return example
    return self._turn.random_map(example, np.random.default_rng(index % len(self)))


def load(
  *, data_dir: str | os.PathLike[str] | None = None, max_angle: float = 0.785
) -> Dataset:
  """Opens the digits of `digits`, each turned by an angle that is to be told.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    max_angle: the largest angle, in radians, either way.

  Returns:
    A regression of one number, the angle, from float32 `[8, 8, 1]` images. In training
    an image has another angle each time; those of the test stay.

  Raises:
    ValueError: `max_angle` is not above 0 and up to pi.
  """
  if not 0 < max_angle <= math.pi:
    raise ValueError(f'max_angle is {max_angle}, but must be above 0 and up to pi')
  _, records = open_splits(Digits, data_dir)
  by_chance = _Turn(max_angle)
  return Dataset(
    name='digits_angle',
    task='regression',
    classes=('angle',),
    splits={
      'train': _Images(list(records['train']), None),
      'test': _Images(list(records['test']), by_chance),
    },
    augment=(by_chance,),
  )
