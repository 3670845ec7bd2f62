"""Random erasing: a rectangle that tells nothing."""

import math
from typing import Any, Literal

import grain
import numpy as np

_TRIES = 10


class RandomErasing(grain.transforms.RandomMap):
  """Overwrites a random rectangle of `inputs`, an array `[height, width, channels]`.

  The rectangle's share of the area is uniform in `scale`, its height by width
  log-uniform in `ratio`, its place uniform; one that does not fit is drawn anew, ten
  times at most. Zhong et al. 2020, https://arxiv.org/abs/1708.04896, with the
  parameters of `torchvision.transforms.RandomErasing`. It comes after `Normalize`: then
  0 is the mean pixel.

  Args:
    p: how probable it is that anything is erased.
    scale: the least and the largest share of the area.
    ratio: the least and the largest height by width.
    value: what is written: a number, or 'random', a normal number for each pixel.

  Raises:
    ValueError: an illegal value.

  >>> image = np.ones((20, 20, 1), np.float32)
  >>> erase = RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0))
  >>> out = erase.random_map({'inputs': image}, np.random.default_rng(0))['inputs']
  >>> int(image.sum() - out.sum())
  100
  """

  def __init__(
    self,
    p: float = 0.5,
    *,
    scale: tuple[float, float] = (0.02, 0.33),
    ratio: tuple[float, float] = (0.3, 3.3),
    value: float | Literal['random'] = 0.0,
  ):
    if not 0 <= p <= 1:
      raise ValueError(f'p: got {p}, expected a probability, 0 to 1')
    if not 0 <= scale[0] <= scale[1] <= 1:
      raise ValueError(f'scale: got {scale}, expected 0 <= least <= largest <= 1')
    if not 0 < ratio[0] <= ratio[1]:
      raise ValueError(f'ratio: got {ratio}, expected 0 < least <= largest')
    if isinstance(value, str) and value != 'random':
      raise ValueError(f"value: got {value!r}, expected a number or 'random'")
    self._p = p
    self._scale = scale
    self._ratio = ratio
    self._value = value

  def box(
    self, height: int, width: int, rng: np.random.Generator
  ) -> tuple[int, int, int, int] | None:
    """Draws the top, left, height and width of a rectangle; None if none fits."""
    low, high = self._ratio
    for _ in range(_TRIES):
      area = height * width * rng.uniform(*self._scale)
      ratio = math.exp(rng.uniform(math.log(low), math.log(high)))
      h = round(math.sqrt(area * ratio))
      w = round(math.sqrt(area / ratio))
      if h < height and w < width:
        top = int(rng.integers(height - h, endpoint=True))
        left = int(rng.integers(width - w, endpoint=True))
        return top, left, h, w
    return None

  def random_map(
    self, element: dict[str, Any], rng: np.random.Generator
  ) -> dict[str, Any]:
    """Returns the example with a part of its `inputs` overwritten, or as it is."""
    if rng.random() >= self._p:
      return element
    image = element['inputs']
    height, width, _ = image.shape
    box = self.box(height, width, rng)
    if box is None:
      return element
    top, left, height, width = box
    erased = image.copy()
    part = erased[top : top + height, left : left + width]
    part[...] = (
      rng.standard_normal(part.shape) if self._value == 'random' else self._value
    )
    return {**element, 'inputs': erased}
