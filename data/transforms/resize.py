"""Resizing and cropping, with the pixels that torchvision gets."""

from typing import Literal

from PIL import Image

Interpolation = Literal['bilinear', 'bicubic']

# Antialiased: where an image shrinks, their filters widen by its scale.
RESAMPLING = {
  'bilinear': Image.Resampling.BILINEAR,
  'bicubic': Image.Resampling.BICUBIC,
}


def check_interpolation(interpolation: str) -> None:
  """Raises a ValueError unless it is one of `RESAMPLING`."""
  if interpolation not in RESAMPLING:
    raise ValueError(
      f'interpolation: got {interpolation!r}, expected one of {", ".join(RESAMPLING)}'
    )


def resize_shorter(
  image: Image.Image, size: int, interpolation: Interpolation = 'bilinear'
) -> Image.Image:
  """Resizes an image so that its shorter side has `size` pixels.

  The other is in proportion, cut to int. The pixels are those that torchvision's
  `resize` gives of a `PIL.Image` and, within one level, of a tensor, antialiased.

  >>> resize_shorter(Image.new('RGB', (33, 20)), 10).size
  (16, 10)
  """
  width, height = image.size
  short, long = sorted(image.size)
  other = int(size * long / short)
  new = (size, other) if width <= height else (other, size)
  return image if new == image.size else image.resize(new, RESAMPLING[interpolation])


def center_crop(image: Image.Image, size: int) -> Image.Image:
  """Cuts the square in the middle; what lies beyond the image is 0.

  >>> center_crop(Image.new('RGB', (33, 20)), 16).size
  (16, 16)
  """
  width, height = image.size
  # Where the sides differ by an odd number torchvision rounds half to even; where it
  # pads, down.
  left, top = (
    round((side - size) / 2.0) if side >= size else -((size - side) // 2)
    for side in (width, height)
  )
  return image.crop((left, top, left + size, top + size))
