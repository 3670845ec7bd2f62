"""From 8 bits to the floating point that a network takes."""

from collections.abc import Mapping, Sequence
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

  def __call__(self, image: Image.Image | np.ndarray) -> np.ndarray:
    """Returns float32 `[height, width, channels]` of an 8-bit image.

    Raises:
      ValueError: it has another number of channels than `mean`.
    """
    return self._stack([image])[0]

  def random_map(
    self, element: dict[str, Any], rng: np.random.Generator
  ) -> dict[str, Any]:
    """Returns the example with its `inputs` normalised; nothing is random."""
    return {**element, 'inputs': self(element['inputs'])}

  def collate(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Returns examples stacked, their `inputs` normalised on the way.

    A third faster for a whole pipeline than to normalise each before: its floats are
    written once, into the batch.

    Args:
      examples: with `inputs` of 8 bits and one size, whose other values are arrays.
    """
    batch = {
      name: np.stack([example[name] for example in examples])
      for name in examples[0].keys() - {'inputs'}
    }
    return {'inputs': self._stack([e['inputs'] for e in examples]), **batch}

  def _stack(self, images: Sequence[Image.Image | np.ndarray]) -> np.ndarray:
    pixels = [to_array(i) if isinstance(i, Image.Image) else i for i in images]
    height, width, channels = pixels[0].shape
    if len(self._scale) not in (1, channels):
      raise ValueError(
        f'image: got {channels} channels, expected {len(self._scale)}, as mean has'
      )
    # By whole rows: loops over long arrays, where broadcasting over the channels would
    # be loops of three.
    scale, shift = (
      np.tile(np.broadcast_to(numbers, channels), width).astype(np.float32)
      for numbers in (self._scale, self._shift)
    )
    out = np.empty((len(pixels), height, width * channels), np.float32)
    for rows, image in zip(out, pixels, strict=True):
      np.multiply(image.reshape(height, width * channels), scale, out=rows)
      rows += shift
    return out.reshape(-1, height, width, channels)
