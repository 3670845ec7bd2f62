"""Mirror images."""

from typing import Any

import grain
import numpy as np
from PIL import Image


class RandomHorizontalFlip(grain.transforms.RandomMap):
  """Swaps left and right in an example's `inputs`, or does not.

  These are a `PIL.Image` or an array `[height, width, channels]` of any dtype. Targets
  stay as they are: do not use it where they have a left and a right.

  Args:
    p: how probable it is.

  Raises:
    ValueError: `p` is not in 0 to 1.

  >>> row = np.arange(3.0).reshape(1, 3, 1)
  >>> flip = RandomHorizontalFlip(p=1.0)
  >>> flip.random_map({'inputs': row}, np.random.default_rng(0))['inputs'].ravel()
  array([2., 1., 0.])
  """

  def __init__(self, p: float = 0.5):
    if not 0 <= p <= 1:
      raise ValueError(f'p: got {p}, expected a probability, 0 to 1')
    self._p = p

  def random_map(
    self, element: dict[str, Any], rng: np.random.Generator
  ) -> dict[str, Any]:
    """Returns the example with its `inputs` mirrored, or as it is."""
    if rng.random() >= self._p:
      return element
    image = element['inputs']
    if isinstance(image, Image.Image):
      image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    else:
      image = np.ascontiguousarray(image[:, ::-1])
    return {**element, 'inputs': image}
