"""Imagenette: ten easy classes of ImageNet, as an archive of JPEG files."""

import dataclasses
import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from ..archives import members
from ..dataset import Dataset
from ..declared import Declared
from ..download import File
from ..errors import DataError
from ..image_pipeline import image_pipeline
from ..prepared import open_splits
from .photographs import photograph_info, photographs

_URL = 'https://s3.amazonaws.com/fast-ai-imageclas/'
# Addresses, sizes and checksums as in tensorflow_datasets: of the second version, whose
# split is better balanced. What a tgz of JPEGs unpacks to is little more than itself.
FILES = {
  '160px': File(
    'imagenette2-160.tgz',
    _URL + 'imagenette2-160.tgz',
    99003388,
    '64d0c4859f35a461889e0147755a999a48b49bf38a7e0f9bd27003f10db02fe5',
    unpacked=150_000_000,
  ),
  '320px': File(
    'imagenette2-320.tgz',
    _URL + 'imagenette2-320.tgz',
    341663724,
    '569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c',
    unpacked=500_000_000,
  ),
  'full': File(
    'imagenette2.tgz',
    _URL + 'imagenette2.tgz',
    1557161267,
    '6cbfac238434d89fe99e651496f0812ebc7a10fa62bd42d6874042bf01de4efd',
    unpacked=2_000_000_000,
  ),
}
CLASSES = {
  'n01440764': 'tench',
  'n02102040': 'English springer',
  'n02979186': 'cassette player',
  'n03000684': 'chain saw',
  'n03028079': 'church',
  'n03394916': 'French horn',
  'n03417042': 'garbage truck',
  'n03425413': 'gas pump',
  'n03445777': 'golf ball',
  'n03888257': 'parachute',
}


class Imagenette(  # type: ignore[call-arg]
  tfds.core.GeneratorBasedBuilder, skip_registration=True
):
  """Photographs of ten things that are easily told apart, from ImageNet.

  Source: J. Howard, "Imagenette", https://github.com/fastai/imagenette, version 2.
  """

  VERSION = tfds.core.Version('2.0.0')
  BUILDER_CONFIGS: ClassVar = [tfds.core.BuilderConfig(name=size) for size in FILES]

  def declare(self) -> Declared:
    """Returns the splits as they are published."""
    return photographs({'train': 9_469, 'validation': 3_925})

  def _info(self) -> tfds.core.DatasetInfo:
    license = "Apache 2.0; the photographs are ImageNet's"
    return photograph_info(self, [*CLASSES.values()], license)

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    folder = Path(dl_manager.manual_dir)
    return {
      'train': self._generate_examples(folder, 'train'),
      'validation': self._generate_examples(folder, 'val'),
    }

  def _generate_examples(
    self, folder: Path, part: str
  ) -> Iterator[tuple[int, dict[str, Any]]]:
    file = FILES[self.builder_config.name]
    labels = {wnid: label for label, wnid in enumerate(CLASSES)}
    index = 0
    for name, content in members(folder / file.name, file.unpacked):
      match = re.fullmatch(rf'[^/]+/{part}/([^/]+)/([^/.][^/]*\.JPEG)', name)
      if not match:
        continue
      if match[1] not in labels:
        raise DataError(
          f'{folder / file.name}: {name!r} is of no class; known: {", ".join(labels)}'
        )
      record = {
        'image': content.read(),
        'label': labels[match[1]],
        'file_name': match[2],
      }
      yield index, record
      index += 1
    if not index:
      raise DataError(f'{folder / file.name}: has no {part}/CLASS/NAME.JPEG')


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  version: str = '160px',
  size: int = 0,
  augment: str = 'standard',
  preprocess: str = '',
  color_jitter: float = 0.0,
  erasing: float = 0.0,
) -> Dataset:
  """Opens Imagenette: 9,469 photographs to train and 3,925, of its 'val', to test.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    version: pixels of the shorter side as they are stored: '160px', '320px' or 'full',
      those of ImageNet.
    size: as in `image_pipeline`, like those that follow.
    augment: see there.
    preprocess: see there.
    color_jitter: see there.
    erasing: see there.

  Returns:
    A classification of float32 `[size, size, 3]` images, normalised.

  Raises:
    ValueError: an illegal value.
  """
  if version not in FILES:
    raise ValueError(f'version is {version!r}, but must be one of {", ".join(FILES)}')
  pipeline = image_pipeline(
    size=size,
    augment=augment,
    preprocess=preprocess,
    color_jitter=color_jitter,
    erasing=erasing,
  )
  info, records = open_splits(
    functools.partial(Imagenette, config=version),
    data_dir,
    (FILES[version],),
    f'imagenette --version={version}',
  )
  classes = info.features['label'].names
  dataset = pipeline.dataset(
    'imagenette', classes, records['train'], records['validation']
  )
  license = info.redistribution_info.license or ''
  return dataclasses.replace(dataset, license=license)
