"""RandAugment and TrivialAugment: random operations of random strength.

The operations, their magnitudes and how they are drawn are those of
`torchvision.transforms.v2`, with which networks were published, down to the rounding of
its float32.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np
from PIL import Image

from .color import ADJUST
from .image_map import ImageMap
from .operations import Sampling, apply

# By an operation's name the magnitudes to choose from, and whether their sign is
# random. They are a function of how many there are and of the image's height and width;
# None where they do not matter.
Space = Mapping[str, tuple[Callable[[int, int, int], Sequence[float] | None], bool]]


def _linear(low: float, high: float) -> Callable[[int, int, int], Sequence[float]]:
  return lambda bins, height, width: _linspace(low, high, bins)


@functools.lru_cache
def _linspace(low: float, high: float, bins: int) -> Sequence[float]:
  """Returns what `torch.linspace` gives: float32, counted from the nearer end.

  To the last bit, since translations are cut to int.
  """
  first, last = np.float32(low), np.float32(high)
  step = float((last - first) / np.float32(bins - 1))
  i = np.arange(bins)
  # Added in float64: torch rounds product and sum together.
  up, down = float(first) + step * i, float(last) - step * i[::-1]
  return np.where(i < bins // 2, up, down).astype(np.float32).tolist()


def _bits(most: int, range_: int) -> Callable[[int, int, int], Sequence[float]]:
  """Returns how many bits posterizing leaves: from `most` down by `range_`."""
  return lambda bins, height, width: [
    round(float(np.float32(most) - np.float32(i) / np.float32((bins - 1) / range_)))
    for i in range(bins)
  ]


def _nothing(bins: int, height: int, width: int) -> None:
  return None


def space(
  *,
  shear: float,
  rotate: float,
  enhance: float,
  bits: tuple[int, int],
  translate: Callable[[int], float],
) -> Space:
  """Returns the operations, with their largest magnitudes.

  Args:
    shear: of both shears.
    rotate: in degrees.
    enhance: of brightness, contrast, saturation and sharpness.
    bits: the most that posterizing leaves, and by how many it goes down.
    translate: of both translations in pixels, from the number of pixels there are.
  """
  return {
    'shear_x': (_linear(0, shear), True),
    'shear_y': (_linear(0, shear), True),
    'translate_x': (lambda n, h, w: _linspace(0, translate(w), n), True),
    'translate_y': (lambda n, h, w: _linspace(0, translate(h), n), True),
    'rotate': (_linear(0, rotate), True),
    **{name: (_linear(0, enhance), True) for name in ADJUST},
    'posterize': (_bits(*bits), False),
    'solarize': (_linear(1, 0), False),
    'autocontrast': (_nothing, False),
    'equalize': (_nothing, False),
  }


def draw(
  rng: np.random.Generator,
  space: Space,
  size: tuple[int, int],
  bins: int,
  level: Callable[[], int],
) -> tuple[str, float]:
  """Draws an operation and its magnitude.

  Args:
    rng: what is random.
    space: to draw from.
    size: of the image, width and height.
    bins: into how many steps magnitudes are divided.
    level: gives the step.
  """
  name = list(space)[rng.integers(len(space))]
  magnitudes_of, signed = space[name]
  magnitudes = magnitudes_of(bins, size[1], size[0])
  magnitude = 0.0 if magnitudes is None else magnitudes[level()]
  return name, -magnitude if signed and rng.random() < 0.5 else magnitude


class RandAugment(ImageMap):
  """Applies a few random operations, all of one strength.

  Cubuk et al. 2020, https://arxiv.org/abs/1909.13719.

  Args:
    num_ops: how many.
    magnitude: the strength, 0 to 30.
    sampling: between pixels: 'nearest' or 'bilinear'.

  Raises:
    ValueError: an illegal value.

  >>> image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
  >>> augment = RandAugment()
  >>> augment.random_map({'inputs': image}, np.random.default_rng(0))['inputs'].shape
  (4, 4, 3)
  """

  SPACE: ClassVar[Space] = {
    'identity': (_nothing, False),
    **space(
      shear=0.3,
      rotate=30,
      enhance=0.9,
      bits=(8, 4),
      translate=lambda pixels: 150 / 331 * pixels,
    ),
  }
  BINS = 31

  def __init__(
    self, num_ops: int = 2, magnitude: int = 9, sampling: Sampling = 'nearest'
  ):
    if num_ops < 0:
      raise ValueError(f'num_ops: got {num_ops}, expected 0 or more')
    if not 0 <= magnitude < self.BINS:
      raise ValueError(f'magnitude: got {magnitude}, expected 0 to {self.BINS - 1}')
    check_sampling(sampling)
    self._num_ops = num_ops
    self._magnitude = magnitude
    self._sampling: Sampling = sampling

  def transform(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Returns the image after the operations drawn."""
    for _ in range(self._num_ops):
      name, magnitude = draw(
        rng, self.SPACE, image.size, self.BINS, lambda: self._magnitude
      )
      image = apply(name, image, magnitude, self._sampling)
    return image


class TrivialAugmentWide(ImageMap):
  """Applies one random operation of random strength, over a wide range.

  Müller and Hutter 2021, https://arxiv.org/abs/2103.10158.

  Args:
    sampling: between pixels: 'nearest' or 'bilinear'.

  Raises:
    ValueError: an illegal value.

  >>> image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
  >>> augment = TrivialAugmentWide()
  >>> augment.random_map({'inputs': image}, np.random.default_rng(0))['inputs'].shape
  (4, 4, 3)
  """

  SPACE: ClassVar[Space] = {
    'identity': (_nothing, False),
    **space(
      shear=0.99,
      rotate=135,
      enhance=0.99,
      bits=(8, 6),
      translate=lambda pixels: 32,
    ),
  }
  BINS = 31

  def __init__(self, sampling: Sampling = 'nearest'):
    check_sampling(sampling)
    self._sampling: Sampling = sampling

  def transform(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Returns the image after the operation drawn."""
    name, magnitude = draw(
      rng, self.SPACE, image.size, self.BINS, lambda: int(rng.integers(self.BINS))
    )
    return apply(name, image, magnitude, self._sampling)


def check_sampling(sampling: str) -> None:
  """Raises a ValueError unless it is 'nearest' or 'bilinear'."""
  if sampling not in ('nearest', 'bilinear'):
    raise ValueError(f'sampling: got {sampling!r}, expected nearest or bilinear')
