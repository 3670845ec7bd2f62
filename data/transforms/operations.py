"""The operations that the automatic augmentations draw from.

Each takes a `PIL.Image` and a magnitude, and gives the pixels of the operation of that
name in `torchvision.transforms.v2`. What moves in from beyond the edge is 0.
"""

from collections.abc import Callable
from typing import Literal

from PIL import Image, ImageOps

from .color import ADJUST

Sampling = Literal['nearest', 'bilinear']

_SAMPLING = {
  'nearest': Image.Resampling.NEAREST,
  'bilinear': Image.Resampling.BILINEAR,
}


def apply(
  name: str, image: Image.Image, magnitude: float, sampling: Sampling = 'nearest'
) -> Image.Image:
  """Applies one of `NAMES`.

  Args:
    name: the operation.
    image: RGB or gray, 8 bits.
    magnitude: shears: pixels to the side by pixels down; translations: pixels, cut to
      int; rotation: degrees counter-clockwise; brightness, contrast, saturation and
      sharpness: the factor less 1; posterize: how many bits stay; solarize: the share
      of the range from which pixels are inverted; no matter for the others.
    sampling: between pixels, for what moves them: 'nearest' or 'bilinear'.

  >>> apply('solarize', Image.new('L', (1, 1), 200), 0.5).getpixel((0, 0))
  55
  """
  if name in _MATRICES:
    return image.transform(
      image.size,
      Image.Transform.AFFINE,
      _MATRICES[name](magnitude),
      _SAMPLING[sampling],
      fillcolor=_black(image),
    )
  if name == 'rotate':
    return image.rotate(magnitude, _SAMPLING[sampling], fillcolor=_black(image))
  if name in ADJUST:
    return ADJUST[name](image, 1 + magnitude)
  return _OTHERS[name](image, magnitude)


def _black(image: Image.Image) -> int | tuple[int, ...]:
  return 0 if image.mode == 'L' else (0,) * len(image.getbands())


_Matrix = tuple[float, float, float, float, float, float]

# From a pixel's place (x, y) in the result to that in the image, (ax + by + c, dx + ey
# + f).
_MATRICES: dict[str, Callable[[float], _Matrix]] = {
  'shear_x': lambda m: (1, m, 0, 0, 1, 0),
  'shear_y': lambda m: (1, 0, 0, m, 1, 0),
  'translate_x': lambda m: (1, 0, -int(m), 0, 1, 0),
  'translate_y': lambda m: (1, 0, 0, 0, 1, -int(m)),
}

_OTHERS: dict[str, Callable[[Image.Image, float], Image.Image]] = {
  'identity': lambda image, m: image,
  'posterize': lambda image, m: ImageOps.posterize(image, int(m)),
  'solarize': lambda image, m: ImageOps.solarize(image, 255 * m),  # type: ignore[arg-type]
  'autocontrast': lambda image, m: ImageOps.autocontrast(image),
  'equalize': lambda image, m: ImageOps.equalize(image),
}

NAMES = (*_MATRICES, 'rotate', *ADJUST, *_OTHERS)
