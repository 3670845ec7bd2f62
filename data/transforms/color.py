"""Random changes of colour."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance

from .image_map import ImageMap

# From an image and a factor: 0 is black, gray, no colour, blurred; 1 the image.
ADJUST: dict[str, Callable[[Image.Image, float], Image.Image]] = {
  'brightness': lambda image, factor: ImageEnhance.Brightness(image).enhance(factor),
  'contrast': lambda image, factor: ImageEnhance.Contrast(image).enhance(factor),
  'saturation': lambda image, factor: ImageEnhance.Color(image).enhance(factor),
  'sharpness': lambda image, factor: ImageEnhance.Sharpness(image).enhance(factor),
}


def adjust_hue(image: Image.Image, shift: float) -> Image.Image:
  """Turns the hue by a share of the whole circle, -0.5 to 0.5; gray stays gray.

  >>> adjust_hue(Image.new('RGB', (1, 1), (255, 0, 0)), 1 / 3).getpixel((0, 0))
  (0, 255, 0)
  """
  if image.mode == 'L':
    return image
  hue, saturation, value = image.convert('HSV').split()
  turned = np.asarray(hue) + np.uint8(int(shift * 255) % 256)  # wraps at 256
  bands = (Image.fromarray(turned), saturation, value)
  return Image.merge('HSV', bands).convert(image.mode)


class ColorJitter(ImageMap):
  """Changes brightness, contrast, saturation and hue, in a random order.

  The first three by factors uniform in `[max(0, 1 - strength), 1 + strength]`, the hue
  by a shift uniform in `[-hue, hue]`, as `torchvision.transforms.ColorJitter`.

  Args:
    brightness: strength, 0 or more; 0 leaves it as it is.
    contrast: likewise.
    saturation: likewise.
    hue: the largest shift, as a share of the circle, 0 to 0.5.

  Raises:
    ValueError: an illegal value.

  >>> jitter = ColorJitter(brightness=0.4, hue=0.1)
  >>> image = np.full((2, 2, 3), 100, np.uint8)
  >>> out = jitter.random_map({'inputs': image}, np.random.default_rng(0))['inputs']
  >>> out.shape, bool((out >= 60).all() and (out <= 140).all())
  ((2, 2, 3), True)
  """

  def __init__(
    self,
    *,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
  ):
    strengths = {
      'brightness': brightness,
      'contrast': contrast,
      'saturation': saturation,
    }
    for name, strength in strengths.items():
      if not 0 <= strength < float('inf'):
        raise ValueError(f'{name}: got {strength}, expected 0 or more')
    if not 0 <= hue <= 0.5:
      raise ValueError(f'hue: got {hue}, expected 0 to 0.5')
    self._ranges = {
      name: (max(0.0, 1 - strength), 1 + strength)
      for name, strength in strengths.items()
      if strength
    }
    if hue:
      self._ranges['hue'] = (-hue, hue)

  def draw(self, rng: np.random.Generator) -> list[tuple[str, float]]:
    """Draws what is changed, in order, with its factor or shift."""
    names = list(self._ranges)
    return [
      (names[i], rng.uniform(*self._ranges[names[i]]))
      for i in rng.permutation(len(names))
    ]

  def transform(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Returns the image with its colours changed."""
    for name, value in self.draw(rng):
      adjust = adjust_hue if name == 'hue' else ADJUST[name]
      image = adjust(image, value)
    return image
