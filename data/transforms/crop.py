"""A random part of an image, at a fixed size."""

import math

import numpy as np
from PIL import Image

from .image_map import ImageMap
from .resize import RESAMPLING, Interpolation, check_interpolation

_TRIES = 10


class RandomResizedCrop(ImageMap):
  """Cuts out a random part and resizes it to a square, antialiased.

  The part's share of the area is uniform in `scale`, its width by height log-uniform in
  `ratio`, and its place uniform. Szegedy et al. 2015, https://arxiv.org/abs/1409.4842,
  with the parameters, the rounding and, after ten draws that do not fit, the central
  part of `torchvision.transforms.RandomResizedCrop`.

  Args:
    size: height and width of the result.
    scale: the least and the largest share of the area.
    ratio: the least and the largest width by height.
    interpolation: 'bilinear' or 'bicubic'.

  Raises:
    ValueError: an illegal value.

  >>> image = np.zeros((30, 20, 3), np.uint8)
  >>> crop = RandomResizedCrop(16)
  >>> crop.random_map({'inputs': image}, np.random.default_rng(0))['inputs'].shape
  (16, 16, 3)
  """

  def __init__(
    self,
    size: int,
    *,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    interpolation: Interpolation = 'bilinear',
  ):
    if size < 1:
      raise ValueError(f'size: got {size}, expected 1 or more')
    if not 0 < scale[0] <= scale[1] <= 1:
      raise ValueError(f'scale: got {scale}, expected 0 < least <= largest <= 1')
    if not 0 < ratio[0] <= ratio[1]:
      raise ValueError(f'ratio: got {ratio}, expected 0 < least <= largest')
    check_interpolation(interpolation)
    self._size = size
    self._scale = scale
    self._ratio = ratio
    self._interpolation = interpolation

  def box(
    self, height: int, width: int, rng: np.random.Generator
  ) -> tuple[int, int, int, int]:
    """Draws the top, left, height and width of a part of an image of that size."""
    low, high = self._ratio
    for _ in range(_TRIES):
      area = height * width * rng.uniform(*self._scale)
      ratio = math.exp(rng.uniform(math.log(low), math.log(high)))
      w = round(math.sqrt(area * ratio))
      h = round(math.sqrt(area / ratio))
      if 0 < w <= width and 0 < h <= height:
        top = int(rng.integers(height - h, endpoint=True))
        left = int(rng.integers(width - w, endpoint=True))
        return top, left, h, w
    w, h = width, height
    if width / height < low:
      h = round(w / low)
    elif width / height > high:
      w = round(h * high)
    return (height - h) // 2, (width - w) // 2, h, w

  def transform(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Returns a random part at the size asked for."""
    top, left, height, width = self.box(image.height, image.width, rng)
    # Cut first: `resize(box=...)` would let the pixels around the box bleed in.
    part = image.crop((left, top, left + width, top + height))
    return part.resize((self._size, self._size), RESAMPLING[self._interpolation])
