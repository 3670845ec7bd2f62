"""The transforms of images give torchvision's pixels."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from convscan.data import transforms
from convscan.data.transforms.augmix import mix
from convscan.data.transforms.color import ADJUST, adjust_hue
from convscan.data.transforms.operations import NAMES, apply
from convscan.data.transforms.resize import RESAMPLING, center_crop, resize_shorter

MODES = ['bilinear', 'bicubic']


def photo(height: int, width: int, name: str = 'flower.jpg') -> Image.Image:
  image = Image.fromarray(load_sample_image(name))
  return image.crop((100, 50, 100 + width, 50 + height))


PHOTOS = [photo(120, 160), photo(131, 97, 'china.jpg'), photo(64, 64).convert('L')]


def pixels(image: Image.Image) -> np.ndarray:
  return np.asarray(image).astype(np.int32)


def tensor(image: Image.Image) -> torch.Tensor:
  return F.pil_to_tensor(image)


def from_tensor(x: torch.Tensor) -> np.ndarray:
  return x.permute(1, 2, 0).numpy().astype(np.int32).squeeze()


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('size', [20, 63, 64, 97, 150, 233])
def test_resizing_is_torchvisions(size: int, mode: Any) -> None:
  for image in PHOTOS:
    got = pixels(resize_shorter(image, size, mode))
    theirs = F.resize(image, [size], interpolation=RESAMPLING[mode])
    np.testing.assert_array_equal(got, pixels(theirs))
    antialiased = F.resize(
      tensor(image), [size], interpolation=v2.InterpolationMode(mode), antialias=True
    )
    assert np.abs(got - from_tensor(antialiased)).max() <= 1


@pytest.mark.parametrize('size', [1, 63, 96, 97, 98, 130, 131, 140, 200])
def test_the_central_crop_is_torchvisions(size: int) -> None:
  for image in PHOTOS:
    np.testing.assert_array_equal(
      pixels(center_crop(image, size)), pixels(F.center_crop(image, [size]))
    )


def test_a_part_and_its_mirror_image_are_torchvisions(monkeypatch: Any) -> None:
  image, box = PHOTOS[1], (11, 7, 55, 61)
  for mode in MODES:
    crop = transforms.RandomResizedCrop(48, interpolation=mode)
    monkeypatch.setattr(crop, 'box', lambda height, width, rng: box)
    flip = transforms.RandomHorizontalFlip(p=1.0)
    example = {'inputs': image}
    for transform in (crop, flip):
      example = transform.random_map(example, np.random.default_rng(0))
    theirs = F.resized_crop(image, *box, [48, 48], interpolation=RESAMPLING[mode])
    np.testing.assert_array_equal(
      pixels(example['inputs']), pixels(F.horizontal_flip(theirs))
    )


@pytest.mark.parametrize('factor', [0.0, 0.3, 1.0, 1.7])
def test_colours_are_torchvisions(factor: float) -> None:
  for image in PHOTOS:
    for name, adjust in ADJUST.items():
      theirs = getattr(F, f'adjust_{name}')(image, factor)
      np.testing.assert_array_equal(pixels(adjust(image, factor)), pixels(theirs))


@pytest.mark.parametrize('shift', [-0.5, -0.31, 0.0, 0.1, 0.5])
def test_hues_are_torchvisions(shift: float) -> None:
  for image in PHOTOS:
    np.testing.assert_array_equal(
      pixels(adjust_hue(image, shift)), pixels(F.adjust_hue(image, shift))
    )


def torchvisions_name(name: str) -> str:
  special = {'autocontrast': 'AutoContrast', 'saturation': 'Color'}
  return special.get(name, name.title().replace('_', ''))


AUTOMATIC = [
  (transforms.RandAugment, v2.RandAugment),
  (transforms.TrivialAugmentWide, v2.TrivialAugmentWide),
  (transforms.AugMix, v2.AugMix),
]


@pytest.mark.parametrize(('ours', 'theirs'), AUTOMATIC)
def test_spaces_are_torchvisions(ours: Any, theirs: Any) -> None:
  """The same operations, signs and magnitudes, to the last bit."""
  space = theirs._AUGMENTATION_SPACE
  assert {torchvisions_name(name) for name in ours.SPACE} == set(space)
  for name, (magnitudes, signed) in ours.SPACE.items():
    their_magnitudes, their_signed = space[torchvisions_name(name)]
    assert signed == their_signed
    for height, width in ((224, 224), (97, 131)):
      got = magnitudes(ours.BINS, height, width)
      want = their_magnitudes(ours.BINS, height, width)
      if want is None:
        assert got is None
      else:
        assert list(got) == want.tolist(), name


@pytest.mark.parametrize('name', NAMES)
def test_operations_are_torchvisions(name: str) -> None:
  theirs = v2.TrivialAugmentWide()
  for image in PHOTOS:
    for sampling in ('nearest', 'bilinear'):
      for ours in (transforms.TrivialAugmentWide, transforms.RandAugment):
        magnitudes, signed = ours.SPACE[name]
        for m in magnitudes(31, image.height, image.width) or [0.0]:
          for magnitude in {m, -m} if signed else {m}:
            want = theirs._apply_image_or_video_transform(
              image, torchvisions_name(name), magnitude, sampling, {Image.Image: None}
            )
            got = apply(name, image, magnitude, sampling)
            np.testing.assert_array_equal(pixels(got), pixels(want), str(magnitude))


def test_augmix_mixes_as_torchvisions(monkeypatch: Any) -> None:
  """With its operations replaced, since on tensors they differ in rounding."""
  image = PHOTOS[0]
  versions = [image, *(ADJUST['brightness'](image, f) for f in (0.2, 1.4, 0.7))]
  shares, weights = np.float32([0.3, 0.7]), np.float32([0.5, 0.3, 0.2])
  theirs = v2.AugMix(chain_depth=1)
  draws = iter([torch.tensor(shares)[None], torch.tensor(weights)[None]])
  monkeypatch.setattr(theirs, '_sample_dirichlet', lambda params: next(draws))
  chains = iter(versions[1:])
  monkeypatch.setattr(
    theirs,
    '_apply_image_or_video_transform',
    lambda *args, **kwargs: tensor(next(chains))[None],
  )
  got = mix(versions, [shares[0], *(weights * shares[1])])
  np.testing.assert_array_equal(pixels(got), pixels(theirs(image)))


def test_normalising_is_torchvisions() -> None:
  image = PHOTOS[1]
  got = transforms.Normalize()(np.asarray(image))
  as_float = F.to_dtype(tensor(image), torch.float32, scale=True)
  want = F.normalize(as_float, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
  np.testing.assert_allclose(got, want.permute(1, 2, 0), rtol=0, atol=1e-6)


def test_erasing_is_torchvisions(monkeypatch: Any) -> None:
  image = np.random.default_rng(0).normal(size=(30, 40, 3)).astype(np.float32)
  erase = transforms.RandomErasing(p=1.0, value=0.5)
  monkeypatch.setattr(erase, 'box', lambda height, width, rng: (5, 6, 7, 8))
  got = erase.random_map({'inputs': image}, np.random.default_rng(0))['inputs']
  x = torch.from_numpy(image).permute(2, 0, 1)
  want = F.erase(x, 5, 6, 7, 8, torch.tensor(0.5))
  np.testing.assert_array_equal(got, want.permute(1, 2, 0))


def same_law(ours: list[float], theirs: list[float], what: str) -> None:
  """Kolmogorov and Smirnov: by chance further apart once in a million times."""
  places = np.sort(np.concatenate([ours, theirs]))
  shares = [
    np.searchsorted(np.sort(sample), places, side='right') / len(sample)
    for sample in (ours, theirs)
  ]
  distance = np.abs(shares[0] - shares[1]).max()
  limit = math.sqrt(-math.log(5e-7) / 2) * math.sqrt(1 / len(ours) + 1 / len(theirs))
  assert distance < limit, f'{what}: {distance} of {limit}'


COUNT = 4000


@pytest.mark.parametrize('shape', [(256, 256), (60, 200), (200, 20)])
def test_parts_follow_torchvisions_law(shape: tuple[int, int]) -> None:
  torch.manual_seed(0)
  rng = np.random.default_rng(0)
  crop, theirs = transforms.RandomResizedCrop(8), v2.RandomResizedCrop(8)
  x = torch.zeros(1, *shape)
  ours = [crop.box(*shape, rng) for _ in range(COUNT)]
  want = [tuple(theirs.make_params([x]).values()) for _ in range(COUNT)]
  for i, what in enumerate(('top', 'left', 'height', 'width')):
    same_law([b[i] for b in ours], [b[i] for b in want], what)
  same_law([b[2] * b[3] for b in ours], [b[2] * b[3] for b in want], 'area')


@pytest.mark.parametrize('shape', [(224, 224), (30, 90)])
def test_rectangles_follow_torchvisions_law(shape: tuple[int, int]) -> None:
  torch.manual_seed(0)
  rng = np.random.default_rng(0)
  erase, theirs = transforms.RandomErasing(), v2.RandomErasing()
  x = torch.zeros(1, *shape)
  ours = [erase.box(*shape, rng) or (0, 0, *shape) for _ in range(COUNT)]
  want = [theirs.make_params([x]) for _ in range(COUNT)]
  for i, key in enumerate('ijhw'):
    same_law([b[i] for b in ours], [b[key] for b in want], key)


def test_jitter_follows_torchvisions_law() -> None:
  torch.manual_seed(0)
  rng = np.random.default_rng(0)
  strengths = {'brightness': 0.4, 'contrast': 1.5, 'saturation': 0.2, 'hue': 0.1}
  jitter, theirs = transforms.ColorJitter(**strengths), v2.ColorJitter(**strengths)
  ours = [jitter.draw(rng) for _ in range(COUNT)]
  want = [theirs.make_params([]) for _ in range(COUNT)]
  for i, name in enumerate(strengths):
    same_law([dict(d)[name] for d in ours], [d[f'{name}_factor'] for d in want], name)
    same_law(
      [[n for n, _ in d].index(name) for d in ours],
      [d['fn_idx'].tolist().index(i) for d in want],
      f'place of {name}',
    )


@pytest.mark.parametrize(('ours', 'theirs'), AUTOMATIC)
def test_operations_are_drawn_as_torchvisions(
  ours: Any, theirs: Any, monkeypatch: Any
) -> None:
  """How often each, with which magnitudes and signs, and how many in all."""
  torch.manual_seed(0)
  image = Image.new('RGB', (40, 30))
  got: list[tuple[str, float]] = []
  want: list[tuple[str, float]] = []
  module = __import__(ours.__module__, fromlist=['apply'])

  def ours_applies(name: str, image: Any, magnitude: float, sampling: str) -> Any:
    got.append((torchvisions_name(name), magnitude))
    return image

  def theirs_applies(image: Any, name: str, magnitude: float, **options: Any) -> Any:
    want.append((name, magnitude))
    return image

  monkeypatch.setattr(module, 'apply', ours_applies)
  transform, peer = ours(), theirs()
  monkeypatch.setattr(peer, '_apply_image_or_video_transform', theirs_applies)
  rng = np.random.default_rng(0)
  counts: tuple[list[float], list[float]] = ([], [])
  for _ in range(COUNT):
    before = len(got), len(want)
    transform.transform(image, rng)
    peer(image)
    counts[0].append(len(got) - before[0])
    counts[1].append(len(want) - before[1])
  same_law(*counts, 'how many')
  names = sorted({name for name, _ in want})
  assert names == sorted({name for name, _ in got})
  same_law([names.index(n) for n, _ in got], [names.index(n) for n, _ in want], 'names')
  for name in names:
    same_law([m for n, m in got if n == name], [m for n, m in want if n == name], name)
