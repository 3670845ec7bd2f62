"""What random transforms draw follows its law."""

import math

import numpy as np
import pytest
from PIL import Image

from convscan.data.transforms import (
  AugMix,
  ColorJitter,
  Normalize,
  RandAugment,
  RandomErasing,
  RandomHorizontalFlip,
  RandomResizedCrop,
  TrivialAugmentWide,
  augmix,
  automatic,
)

COUNT = 3000
IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def _uniform(sample, low, high):
  """By Kolmogorov; by chance further off once in a million times."""
  sample = np.sort((np.asarray(sample) - low) / (high - low))
  n = len(sample)
  distance = np.abs(sample - (np.arange(n) + 0.5) / n).max() + 0.5 / n
  assert distance < math.sqrt(-math.log(5e-7) / 2 / n), distance


@pytest.mark.parametrize(
  ('transform', 'area', 'ratio'),
  [
    # Of an image so large that every draw fits, nearly; h by w for one, w by h for one.
    (RandomResizedCrop(8, scale=(0.1, 0.5)), (0.1, 0.5), (3 / 4, 4 / 3)),
    (RandomErasing(scale=(0.05, 0.2)), (0.05, 0.2), (0.3, 3.3)),
  ],
)
def test_rectangles_are_of_uniform_area_and_log_uniform_ratio(transform, area, ratio):
  rng = np.random.default_rng(0)
  side = 10_000
  boxes = np.array([transform.box(side, side, rng) for _ in range(COUNT)], float)
  top, left, height, width = boxes.T
  _uniform(height * width / side**2, *area)
  by = height / width if isinstance(transform, RandomErasing) else width / height
  _uniform(np.log(by), *np.log(ratio))
  _uniform(top / (side - height), 0, 1)
  _uniform(left / (side - width), 0, 1)


def test_what_never_fits_is_the_middle_or_nothing():
  rng = np.random.default_rng(0)
  crop = RandomResizedCrop(8, scale=(1, 1))
  assert crop.box(10, 100, rng) == (0, 43, 10, 13)  # 10 * 4 / 3
  assert crop.box(100, 12, rng) == (42, 0, 16, 12)  # 12 / (3 / 4)
  for ratio in (3, 1 / 3):  # too high, and too wide
    erase = RandomErasing(p=1.0, scale=(0.9, 0.9), ratio=(ratio, ratio))
    assert erase.random_map({'inputs': IMAGE}, rng)['inputs'] is IMAGE


def test_a_part_is_resized():
  """Of an image that tells where its pixels are."""
  y, x = np.mgrid[:200, :200]
  image = Image.fromarray(np.dstack([y, x, 0 * x]).astype(np.uint8))
  for seed in range(5):
    crop = RandomResizedCrop(50)
    top, left, height, width = crop.box(200, 200, np.random.default_rng(seed))
    part = np.asarray(crop.transform(image, np.random.default_rng(seed)), float)
    middle = part[25, 25, :2]
    expected = (top + height * 0.51 - 0.5, left + width * 0.51 - 0.5)
    np.testing.assert_allclose(middle, expected, atol=1)


def test_half_are_mirrored():
  rng = np.random.default_rng(0)
  flip = RandomHorizontalFlip()
  for image in (Image.fromarray(IMAGE), IMAGE, IMAGE / np.float32(255)):
    outs = [flip.random_map({'inputs': image}, rng)['inputs'] for _ in range(400)]
    mirrored = [np.array_equal(out, np.asarray(image)[:, ::-1]) for out in outs]
    same = [np.array_equal(out, image) for out in outs]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 140 < sum(mirrored) < 260  # six standard deviations


def test_erasing_writes_what_it_is_told():
  image = np.ones((30, 30, 2), np.float32)
  outs = [
    RandomErasing(value=value).random_map({'inputs': image}, np.random.default_rng(s))
    for value in (7.0, 'random')
    for s in range(200)
  ]
  changed = [(out['inputs'] != 1).all(-1) for out in outs]
  shares = [c.mean() for c in changed]
  assert (image == 1).all()
  assert 140 < sum(s > 0 for s in shares) < 260
  assert max(shares) < 0.4
  assert {out['inputs'].max() for out in outs[:200]} == {1.0, 7.0}
  noise = np.concatenate(
    [o['inputs'][c].ravel() for o, c in zip(outs[200:], changed[200:], strict=True)]
  )
  assert abs(noise.mean()) < 0.05
  assert abs(noise.std() - 1) < 0.05


def test_jitter_draws_factors_uniform_in_any_order():
  rng = np.random.default_rng(0)
  jitter = ColorJitter(brightness=0.4, contrast=1.5, hue=0.1)
  draws = [jitter.draw(rng) for _ in range(COUNT)]
  for name, low, high in (
    ('brightness', 0.6, 1.4),
    ('contrast', 0.0, 2.5),
    ('hue', -0.1, 0.1),
  ):
    _uniform([dict(d)[name] for d in draws], low, high)
    first = sum(d[0][0] == name for d in draws) / COUNT
    assert abs(first - 1 / 3) < 6 * math.sqrt(2 / 9 / COUNT)
  assert all(len(d) == 3 for d in draws)


def _operations(transform, module, monkeypatch):
  """The operations that each of many images goes through."""
  calls = []
  monkeypatch.setattr(
    module, 'apply', lambda name, image, m, s: (calls[-1].append((name, m)), image)[1]
  )
  rng = np.random.default_rng(0)
  for _ in range(COUNT):
    calls.append([])
    transform.transform(Image.fromarray(IMAGE), rng)
  return calls


def test_randaugment_draws_two_of_one_strength(monkeypatch):
  calls = _operations(RandAugment(), automatic, monkeypatch)
  assert {len(c) for c in calls} == {2}
  drawn = [pair for c in calls for pair in c]
  counts = {name: sum(n == name for n, _ in drawn) for name in dict(drawn)}
  assert len(counts) == 14
  expected = 2 * COUNT / 14
  assert all(abs(n - expected) < 6 * math.sqrt(expected) for n in counts.values())
  # The tenth of 31 steps, of either sign where there is one.
  strengths = {name: sorted({round(m, 4) for n, m in drawn if n == name})
               for name in counts}  # fmt: skip
  assert strengths['rotate'] == [-9, 9]
  assert strengths['shear_x'] == [-0.09, 0.09]
  assert strengths['translate_x'] == [-4.0785, 4.0785]  # 0.3 * 150 / 331 of 30
  assert strengths['translate_y'] == [-2.719, 2.719]
  assert strengths['posterize'] == [7]
  assert strengths['solarize'] == [0.7]
  assert strengths['identity'] == strengths['equalize'] == [0]
  signs = [m > 0 for n, m in drawn if n in ('rotate', 'contrast')]
  assert abs(np.mean(signs) - 0.5) < 3 / math.sqrt(len(signs))


def test_trivialaugment_draws_one_of_any_strength(monkeypatch):
  calls = _operations(TrivialAugmentWide(), automatic, monkeypatch)
  assert {len(c) for c in calls} == {1}
  drawn = [c[0] for c in calls]
  rotations = {round(abs(m), 6) for n, m in drawn if n == 'rotate'}
  assert rotations <= {4.5 * i for i in range(31)}
  assert len(rotations) > 25
  assert {m for n, m in drawn if n == 'posterize'} == {2, 3, 4, 5, 6, 7, 8}


def test_augmix_draws_chains_of_one_to_three(monkeypatch):
  calls = _operations(AugMix(severity=2, mixture_width=2), augmix, monkeypatch)
  lengths = np.bincount([len(c) for c in calls], minlength=7) / COUNT
  # The sum of two numbers from one to three.
  expected = np.array([0, 0, 1, 2, 3, 2, 1]) / 9
  np.testing.assert_allclose(lengths, expected, atol=0.05)
  rotations = {round(m, 4) for c in calls for n, m in c if n == 'rotate'}
  assert rotations == {-3.3333, 0, 3.3333}


def test_augmix_weighs_by_a_beta_and_a_dirichlet(monkeypatch):
  drawn = []
  monkeypatch.setattr(augmix, 'apply', lambda name, image, m, s: image)
  monkeypatch.setattr(augmix, 'mix', lambda images, weights: drawn.append(weights))
  rng = np.random.default_rng(0)
  for _ in range(COUNT):
    AugMix(chain_depth=1).transform(Image.fromarray(IMAGE), rng)
  weights = np.array(drawn)
  np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)
  _uniform(weights[:, 0], 0, 1)  # Beta(1, 1)
  # Of a Dirichlet(1, 1, 1) each share is below x with probability 1 - (1 - x)^2.
  shares = weights[:, 1:] / weights[:, 1:].sum(-1, keepdims=True)
  for share in shares.T:
    _uniform(1 - (1 - share) ** 2, 0, 1)


def test_normalising_is_by_channel():
  x = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3), np.uint8)
  mean, std = (0.1, 0.2, 0.3), (1.0, 2.0, 0.5)
  want = (x / 255 - mean) / std
  got = Normalize(mean, std)(x)
  assert got.dtype == np.float32
  np.testing.assert_allclose(got, want, atol=1e-6)
  with pytest.raises(ValueError, match='image: got 3 channels, expected 2'):
    Normalize((0, 0), (1, 1))(x)


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (lambda: RandomResizedCrop(0), 'size: got 0'),
    (lambda: RandomResizedCrop(8, scale=(0.5, 0.1)), 'scale: got'),
    (lambda: RandomResizedCrop(8, ratio=(0, 1)), 'ratio: got'),
    (lambda: RandomResizedCrop(8, interpolation='area'), "interpolation: got 'area'"),
    (lambda: RandomHorizontalFlip(1.5), 'p: got 1.5'),
    (lambda: ColorJitter(brightness=-1), 'brightness: got -1'),
    (lambda: ColorJitter(hue=0.6), 'hue: got 0.6'),
    (lambda: RandAugment(num_ops=-1), 'num_ops: got -1'),
    (lambda: RandAugment(magnitude=31), 'magnitude: got 31, expected 0 to 30'),
    (lambda: TrivialAugmentWide('cubic'), "sampling: got 'cubic'"),
    (lambda: AugMix(severity=11), 'severity: got 11'),
    (lambda: AugMix(mixture_width=0), 'mixture_width: got 0'),
    (lambda: AugMix(chain_depth=-1), 'chain_depth: got -1'),
    (lambda: AugMix(alpha=0), 'alpha: got 0'),
    (lambda: RandomErasing(2), 'p: got 2'),
    (lambda: RandomErasing(scale=(0.5, 1.1)), 'scale: got'),
    (lambda: RandomErasing(ratio=(3, 2)), 'ratio: got'),
    (lambda: RandomErasing(value='mean'), "value: got 'mean'"),
  ],
)
def test_illegal_values_are_refused(make, message):
  with pytest.raises(ValueError, match=message):
    make()


def test_images_of_other_types_are_refused():
  for image in (IMAGE / 255, IMAGE[..., 0], IMAGE[..., :2]):
    with pytest.raises(ValueError, match=r'image: got .*, expected uint8'):
      RandAugment().random_map({'inputs': image}, np.random.default_rng(0))


@pytest.mark.parametrize(
  'make', [RandAugment, TrivialAugmentWide, AugMix, lambda: ColorJitter(contrast=1.0)]
)
def test_arrays_and_images_give_the_same(make):
  for array in (IMAGE, IMAGE[..., :1]):
    image = Image.fromarray(array.squeeze())
    for seed in range(8):
      a, b = (
        make().random_map({'inputs': x, 'n': 1}, np.random.default_rng(seed))
        for x in (array, image)
      )
      assert isinstance(b['inputs'], Image.Image)
      assert a['inputs'].shape == array.shape
      np.testing.assert_array_equal(a['inputs'].squeeze(), b['inputs'])
      assert a['n'] == 1
