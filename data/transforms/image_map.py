"""What the transforms of images share."""

import abc
from typing import Any

import grain
import numpy as np
from PIL import Image


class ImageMap(grain.transforms.RandomMap, abc.ABC):
  """A transform, random or not, of the 8-bit image that an example's `inputs` hold.

  They may be a `PIL.Image`, as `image_files.read_image` gives it, or an array, uint8
  `[height, width, channels]` with 1 or 3 channels; what comes out is of the same kind.
  Several in a row are faster on a `PIL.Image`.
  """

  @abc.abstractmethod
  def transform(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Returns the image transformed; what is random about it is drawn from `rng`."""

  def random_map(
    self, element: dict[str, Any], rng: np.random.Generator
  ) -> dict[str, Any]:
    """Returns the example with its `inputs` transformed."""
    image = element['inputs']
    if isinstance(image, Image.Image):
      return {**element, 'inputs': self.transform(image, rng)}
    return {**element, 'inputs': to_array(self.transform(to_image(image), rng))}


def to_image(array: np.ndarray) -> Image.Image:
  """Returns the `PIL.Image` of uint8 `[height, width, channels]`, 1 or 3 channels.

  Raises:
    ValueError: the array is of another type or shape.
  """
  if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (1, 3):
    raise ValueError(
      f'image: got {array.dtype} {list(array.shape)}, expected uint8 '
      '[height, width, channels] with 1 or 3 channels'
    )
  return Image.fromarray(array if array.shape[2] == 3 else array[:, :, 0])


def to_array(image: Image.Image) -> np.ndarray:
  """Returns the uint8 `[height, width, channels]` of an image, read-only.

  >>> to_array(Image.new('L', (4, 3))).shape
  (3, 4, 1)
  """
  array = np.asarray(image)
  return array if array.ndim == 3 else array[:, :, None]


class ToArray(grain.transforms.RandomMap):
  """Turns `inputs` from a `PIL.Image` into uint8 `[height, width, channels]`."""

  def random_map(
    self, element: dict[str, Any], rng: np.random.Generator
  ) -> dict[str, Any]:
    """Returns the example with an array; nothing is random."""
    return {**element, 'inputs': to_array(element['inputs'])}
