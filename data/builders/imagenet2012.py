"""ImageNet's thousand classes of 2012, from the archives that its users are given."""

import dataclasses
import io
import os
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from ..archives import members
from ..dataset import Dataset
from ..declared import Declared
from ..download import File
from ..errors import DataError, damaged
from ..image_pipeline import image_pipeline
from ..prepared import open_splits
from .photographs import photograph_info, photographs

_PAGE = 'https://image-net.org/challenges/LSVRC/2012/2012-downloads.php'
# Sizes and checksums as in tensorflow_datasets, which does not use the development kit.
# A tar is as large as what it holds.
FILES = {
  'train': File(
    'ILSVRC2012_img_train.tar',
    '',
    147897477120,
    'b08200a27a8e34218a0e58fde36b0fe8f73bc377f4acea2d91602057c3ca45bb',
    unpacked=147897477120,
    page=_PAGE,
  ),
  'validation': File(
    'ILSVRC2012_img_val.tar',
    '',
    6744924160,
    'c7e06a6c0baccf06d8dbeb6577d71efff84673a5dbdd50633ab44f8ea0456ae0',
    unpacked=6744924160,
    page=_PAGE,
  ),
  'devkit': File(
    'ILSVRC2012_devkit_t12.tar.gz', '', 0, '', unpacked=100_000_000, page=_PAGE
  ),
}
_CLASSES = 1000


def read_devkit(path: Path, max_bytes: int) -> tuple[dict[str, str], list[str], dict]:
  """Reads what the development kit tells of classes and of the validation images.

  Args:
    path: the archive.
    max_bytes: the most that it may unpack to.

  Returns:
    The name of each class, by its WordNet identifier, in the order of these, which is
    that of the labels; the identifier of each validation image, in their order; and how
    many training images each class has.

  Raises:
    DataError: the archive is not that.
  """
  import scipy.io  # takes a while, so only to prepare

  wanted = ('meta.mat', 'ILSVRC2012_validation_ground_truth.txt')
  contents = {
    posixpath.basename(name): content.read()
    for name, content in members(path, max_bytes)
    if name.endswith(tuple(f'/data/{base}' for base in wanted))
  }
  if missing := [name for name in wanted if name not in contents]:
    raise DataError(f'{path}: has no data/{missing[0]}')
  try:
    meta = scipy.io.loadmat(io.BytesIO(contents[wanted[0]]), squeeze_me=True)
    # Inner nodes of the tree of words have children; the classes are its leaves.
    leaves = [row for row in meta['synsets'] if row['num_children'] == 0]
    by_id = {int(row['ILSVRC2012_ID']): str(row['WNID']) for row in leaves}
    counts = {str(row['WNID']): int(row['num_train_images']) for row in leaves}
    words = {str(row['WNID']): str(row['words']) for row in leaves}
    truth = [by_id[int(line)] for line in contents[wanted[1]].split()]
  except Exception as e:  # scipy's own are of any kind
    raise damaged(os.fspath(path), f'data/{wanted[0]}: {e!r}') from e
  return {wnid: words[wnid] for wnid in sorted(words)}, truth, counts


class Imagenet2012(  # type: ignore[call-arg]
  tfds.core.GeneratorBasedBuilder, skip_registration=True
):
  """Photographs of a thousand kinds of things.

  Source: O. Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge",
  2015. The files are kept as they are, those that are CMYK or PNG among them.
  """

  VERSION = tfds.core.Version('1.0.0')

  def declare(self) -> Declared:
    """Returns the splits as they are published."""
    return photographs({'train': 1_281_167, 'validation': 50_000})

  def _info(self) -> tfds.core.DatasetInfo:
    return photograph_info(
      self, _CLASSES, 'For non-commercial research and education, on terms of access'
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    paths = {k: Path(dl_manager.manual_dir) / file.name for k, file in FILES.items()}
    classes, truth, counts = read_devkit(paths['devkit'], FILES['devkit'].unpacked)
    if len(classes) != _CLASSES:
      raise DataError(
        f'{paths["devkit"]}: has {len(classes)} classes; expected {_CLASSES}'
      )
    self.info.features['label'].names = _unique(classes)
    labels = {wnid: label for label, wnid in enumerate(classes)}
    return {
      'train': _train(paths['train'], labels, counts),
      'validation': _validation(paths['validation'], [labels[w] for w in truth]),
    }

  def _generate_examples(self) -> None:
    """TFDS wants a method of this name."""


def _unique(classes: dict[str, str]) -> list[str]:
  """Returns the first word of each class, with its identifier if it is another's, too.

  >>> _unique({'n1': 'crane', 'n2': 'crane', 'n3': 'tench, Tinca tinca'})
  ['crane (n1)', 'crane (n2)', 'tench']
  """
  firsts = [words.split(', ')[0] for words in classes.values()]
  return [
    first if firsts.count(first) == 1 else f'{first} ({wnid})'
    for first, wnid in zip(firsts, classes, strict=True)
  ]


def _train(
  path: Path, labels: dict[str, int], counts: dict[str, int]
) -> Iterator[tuple[int, dict[str, Any]]]:
  """Yields the images of an archive that holds an archive for each class."""
  index = 0
  left = dict(counts)
  for archive, content in members(path, FILES['train'].unpacked):
    wnid = posixpath.basename(archive).removesuffix('.tar')
    if wnid not in labels:
      raise DataError(f'{path}: {archive!r} is of no class in the development kit')
    inner = f'{path}/{archive}'
    for name, image in members(inner, FILES['train'].unpacked, content):
      record = {'image': image.read(), 'label': labels[wnid], 'file_name': name}
      yield index, record
      index += 1
      left[wnid] -= 1
  for wnid, missing in left.items():
    if missing:
      raise DataError(
        f'{path}: {wnid}.tar has {counts[wnid] - missing} images; expected '
        f'{counts[wnid]}'
      )


def _validation(path: Path, truth: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
  """Yields the images of a flat archive; the digits in a name tell its place."""
  index = 0
  for name, image in members(path, FILES['validation'].unpacked):
    base = posixpath.basename(name)
    digits = base.removeprefix('ILSVRC2012_val_').removesuffix('.JPEG')
    if not digits.isdecimal() or not 1 <= int(digits) <= len(truth):
      raise DataError(
        f'{path}: {name!r}; expected ILSVRC2012_val_00000001.JPEG to '
        f'ILSVRC2012_val_{len(truth):08}.JPEG'
      )
    record = {'image': image.read(), 'label': truth[int(digits) - 1], 'file_name': base}
    yield index, record
    index += 1
  if index != len(truth):
    raise DataError(f'{path}: has {index} images; expected {len(truth)}')


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  size: int = 0,
  augment: str = 'standard',
  preprocess: str = '',
  color_jitter: float = 0.0,
  erasing: float = 0.0,
) -> Dataset:
  """Opens ImageNet: 1,281,167 photographs to train, and 50,000 to test.

  Those to test are its validation set, since the labels of its test set are secret.
  Preparing needs as much room again as the archives have.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    size: as in `image_pipeline`, like those that follow.
    augment: see there.
    preprocess: see there.
    color_jitter: see there.
    erasing: see there.

  Returns:
    A classification of float32 `[size, size, 3]` images, normalised, into 1,000
    classes, in the order of torchvision's and TFDS's labels.

  Raises:
    ValueError: an illegal value.
  """
  pipeline = image_pipeline(
    size=size,
    augment=augment,
    preprocess=preprocess,
    color_jitter=color_jitter,
    erasing=erasing,
  )
  info, records = open_splits(Imagenet2012, data_dir, tuple(FILES.values()))
  classes = info.features['label'].names
  dataset = pipeline.dataset(
    'imagenet2012', classes, records['train'], records['validation']
  )
  license = info.redistribution_info.license or ''
  return dataclasses.replace(dataset, license=license)
