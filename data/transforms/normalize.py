"""From 8 bits to the floating point that a network takes."""

from collections.abc import Sequence
from typing import Any

import grain
import numpy as np
from PIL import Image

from .image_map import to_array

# Of ImageNet's pixels, in 0 to 1.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class Normalize(grain.transforms.RandomMap):
  """Turns 8-bit `inputs` into `(pixel / 255 - mean) / std`, float32.

  Args:
    mean: what becomes 0, of pixels in 0 to 1; one for each channel or for all.
    std: what becomes 1; likewise.

  Raises:
    ValueError: the two have different lengths, or a `std` is not more than 0.

  >>> white = np.full((1, 1, 3), 255, np.uint8)
  >>> example = {'inputs': white}
  >>> Normalize([0.5], [0.25]).random_map(example, np.random.default_rng(0))['inputs']
  array([[[2., 2., 2.]]], dtype=float32)
  """

  def __init__(self, mean: Sequence[float] = MEAN, std: Sequence[float] = STD):
    if len(mean) != len(std):
      raise ValueError(
        f'std: got {len(std)} numbers, expected as many as in mean, {len(mean)}'
      )
    if not all(0 < s < float('inf') for s in std):
      raise ValueError(f'std: got {tuple(std)}, expected numbers above 0')
    self._scale = 1 / (255 * np.asarray(std, np.float64))
    self._shift = -np.asarray(mean, np.float64) / np.asarray(std, np.float64)
    self._rows: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}

  def __call__(self, image: Image.Image | np.ndarray) -> np.ndarray:
    """Returns float32 `[height, width, channels]` of an 8-bit image.

    Raises:
      ValueError: it has another number of channels than `mean`.
    """
    pixels = to_array(image) if isinstance(image, Image.Image) else image
    height, width, channels = pixels.shape
    if len(self._scale) not in (1, channels):
      raise ValueError(
        f'image: got {channels} channels, expected {len(self._scale)}, as mean has'
      )
    # By whole rows: two passes over long arrays, where broadcasting over the channels
    # would be loops of three.
    if (width, channels) not in self._rows:
      self._rows[width, channels] = (
        _row(self._scale, width, channels),
        _row(self._shift, width, channels),
      )
    scale, shift = self._rows[width, channels]
    out = pixels.reshape(height, width * channels) * scale
    out += shift
    return out.reshape(pixels.shape)

  def random_map(
    self, element: dict[str, Any], rng: np.random.Generator
  ) -> dict[str, Any]:
    """Returns the example with its `inputs` normalised; nothing is random."""
    return {**element, 'inputs': self(element['inputs'])}


def _row(numbers: np.ndarray, width: int, channels: int) -> np.ndarray:
  return np.tile(np.broadcast_to(numbers, channels), width).astype(np.float32)
