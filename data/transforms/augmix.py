"""AugMix: an image mixed with chains of operations on it."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from PIL import Image

from .automatic import Space, check_sampling, draw, space
from .image_map import ImageMap
from .operations import Sampling, apply


class AugMix(ImageMap):
  """Mixes an image with a few versions of itself, each after a chain of operations.

  The result is `m x + (1 - m) sum_i w_i chain_i(x)`, cut to 8 bits, where `w` is from a
  Dirichlet and `m` from a Beta distribution, and each chain is one to three random
  operations of random strength, up to `severity`. Hendrycks et al. 2020,
  https://arxiv.org/abs/1912.02781, with the operations and magnitudes of
  `torchvision.transforms.v2.AugMix`. There, operations work on tensors, which differ
  from those on `PIL.Image` in rounding and at edges; here on `PIL.Image`.

  Args:
    severity: the largest strength, 1 to 10.
    mixture_width: how many chains.
    chain_depth: how many operations a chain has; 0 draws one to three for each.
    alpha: of both distributions.
    sampling: between pixels: 'nearest' or 'bilinear'.

  Raises:
    ValueError: an illegal value.

  >>> image = np.full((4, 4, 3), 100, np.uint8)
  >>> augment = AugMix(severity=1)
  >>> augment.random_map({'inputs': image}, np.random.default_rng(0))['inputs'].shape
  (4, 4, 3)
  """

  SPACE: ClassVar[Space] = space(
    shear=0.3,
    rotate=30,
    enhance=0.9,
    bits=(4, 4),
    translate=lambda pixels: pixels / 3,
  )
  BINS = 10

  def __init__(
    self,
    *,
    severity: int = 3,
    mixture_width: int = 3,
    chain_depth: int = 0,
    alpha: float = 1.0,
    sampling: Sampling = 'bilinear',
  ):
    if not 1 <= severity <= self.BINS:
      raise ValueError(f'severity: got {severity}, expected 1 to {self.BINS}')
    if mixture_width < 1:
      raise ValueError(f'mixture_width: got {mixture_width}, expected 1 or more')
    if chain_depth < 0:
      raise ValueError(f'chain_depth: got {chain_depth}, expected 0 or more')
    if not 0 < alpha < float('inf'):
      raise ValueError(f'alpha: got {alpha}, expected more than 0')
    check_sampling(sampling)
    self._severity = severity
    self._mixture_width = mixture_width
    self._chain_depth = chain_depth
    self._alpha = alpha
    self._sampling: Sampling = sampling

  def transform(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Returns the mixture."""
    share = rng.beta(self._alpha, self._alpha)
    weights = rng.dirichlet([self._alpha] * self._mixture_width)
    chains = [self._chain(image, rng) for _ in weights]
    return mix([image, *chains], [share, *((1 - share) * weights)])

  def _chain(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
    for _ in range(self._chain_depth or rng.integers(1, 3, endpoint=True)):
      name, magnitude = draw(
        rng,
        self.SPACE,
        image.size,
        self.BINS,
        lambda: int(rng.integers(self._severity)),
      )
      image = apply(name, image, magnitude, self._sampling)
    return image


def mix(images: Sequence[Image.Image], weights: Sequence[float]) -> Image.Image:
  """Returns the weighted sum of images, in float32, cut to 8 bits.

  >>> black, white = Image.new('L', (1, 1)), Image.new('L', (1, 1), 255)
  >>> mix([black, white], [0.5, 0.5]).getpixel((0, 0))
  127
  """
  total = sum(
    np.float32(weight) * np.asarray(image)
    for image, weight in zip(images, weights, strict=True)
  )
  return Image.fromarray(np.asarray(total).astype(np.uint8))
