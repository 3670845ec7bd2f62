"""The operations of automatic augmentation, by plain sums over pixels."""

import numpy as np
import pytest
from PIL import Image

from convscan.data.transforms.augmix import mix
from convscan.data.transforms.automatic import RandAugment, TrivialAugmentWide
from convscan.data.transforms.color import adjust_hue
from convscan.data.transforms.operations import NAMES, apply

X = np.random.default_rng(0).integers(30, 200, (12, 15, 3), np.uint8)
GRAY = X @ np.array([0.299, 0.587, 0.114])


def _apply(name, magnitude=0.0, x=X):
  return np.asarray(apply(name, Image.fromarray(x), magnitude)).astype(float)


def _near(got, want, levels=1):
  """Up to rounding, which differs from sum to sum."""
  assert np.abs(got - np.clip(want, 0, 255)).max() <= levels


def test_every_operation_is_tested_or_drawn():
  assert set(NAMES) == set(RandAugment.SPACE) == set(TrivialAugmentWide.SPACE)


@pytest.mark.parametrize('m', [-0.9, 0.3, 0.8])
def test_colours_are_blends(m):
  _near(_apply('brightness', m), X * (1 + m))
  _near(_apply('contrast', m), X * (1 + m) - round(GRAY.mean()) * m)
  _near(_apply('saturation', m), X * (1 + m) - GRAY[..., None] * m, 2)
  blurred = X.astype(float)
  for i in range(1, 11):
    for j in range(1, 14):
      around = X[i - 1 : i + 2, j - 1 : j + 2].astype(float).sum((0, 1))
      blurred[i, j] = (around + 4.0 * X[i, j]) / 13
  _near(_apply('sharpness', m), X * (1 + m) - blurred * m, 2)


def test_pixels_are_moved():
  for dx, moved in ((3, X[:, :-3]), (-4, X[:, 4:])):
    got = _apply('translate_x', dx + 0.5 * np.sign(dx))
    kept, rest = (got[:, 3:], got[:, :3]) if dx > 0 else (got[:, :-4], got[:, -4:])
    np.testing.assert_array_equal(kept, moved)
    assert (rest == 0).all()
  got = _apply('translate_y', 2)
  np.testing.assert_array_equal(got[2:], X[:-2])
  np.testing.assert_array_equal(_apply('rotate', 180), X[::-1, ::-1])
  square = X[:12, :12]
  np.testing.assert_array_equal(_apply('rotate', 90, square), np.rot90(square))


@pytest.mark.parametrize('m', [-0.4, 0.25])
def test_pixels_are_sheared(m):
  """The nearest one of a row moved in proportion to its height, and vice versa."""
  for name, x in (('shear_x', X), ('shear_y', X.swapaxes(0, 1).copy())):
    expected = np.zeros_like(x)
    for i in range(x.shape[0]):
      for j in range(x.shape[1]):
        source = int(np.floor(j + 0.5 + m * (i + 0.5)))
        if 0 <= source < x.shape[1]:
          expected[i, j] = x[i, source]
    if name == 'shear_y':
      x, expected = x.swapaxes(0, 1).copy(), expected.swapaxes(0, 1)
    np.testing.assert_array_equal(_apply(name, m, x), expected)


def test_pixels_are_mapped():
  np.testing.assert_array_equal(_apply('posterize', 3), X // 32 * 32)
  np.testing.assert_array_equal(
    _apply('solarize', 100 / 255), np.where(X < 100, X, 255.0 - X)
  )
  np.testing.assert_array_equal(_apply('identity'), X)
  low, high = X.min((0, 1)).astype(float), X.max((0, 1)).astype(float)
  _near(_apply('autocontrast'), (X - low) * 255 / (high - low))
  ranks = [
    np.searchsorted(np.sort(X[..., c].ravel()), X[..., c]) / X[..., c].size
    for c in range(3)
  ]
  # A histogram is divided by whole steps, so that equalizing is not quite by rank.
  assert np.abs(_apply('equalize') / 255 - np.stack(ranks, -1)).mean() < 0.15
  flat = np.arange(256, dtype=np.uint8).reshape(16, 16)
  np.testing.assert_array_equal(_apply('equalize', x=flat), flat)


def test_hues_turn():
  colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (80, 80, 80)]
  image = Image.fromarray(np.array([colours], np.uint8))
  turned = np.asarray(adjust_hue(image, 1 / 3), int)
  expected = [[(0, 255, 0), (0, 0, 255), (255, 0, 0), (80, 80, 80)]]
  assert np.abs(turned - expected).max() <= 6  # the circle has 255 steps
  gray = Image.fromarray(X[..., 0])
  np.testing.assert_array_equal(adjust_hue(gray, 0.2), gray)


def test_versions_are_mixed_by_weight():
  others = [X, X[::-1], 255 - X]
  weights = [0.2, 0.5, 0.3]
  got = np.asarray(mix([Image.fromarray(x) for x in others], weights), float)
  want = sum(w * x for w, x in zip(weights, others, strict=True))
  assert ((got <= want + 1e-3) & (got > want - 1.001)).all()
