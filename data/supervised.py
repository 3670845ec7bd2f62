"""Examples from any records of TFDS that pair an image or a text with a label."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from .dataset import Dataset, Source
from .errors import DataError
from .image_files import read_image
from .image_pipeline import image_pipeline
from .images import LabelledImages
from .labelled_texts import TokenSequences, check_options
from .vocabulary import Vocabulary, spaced


def opener(
  name: str,
  folder: Path,
  info: tfds.core.DatasetInfo,
  records: Mapping[str, Sequence[Mapping[str, Any]]],
) -> Callable[..., Dataset]:
  """Returns the function that opens records as a dataset; its arguments are options.

  All take `data_dir`, and which splits are `train` and `test`, where '' is the split
  'test' or else 'validation'. Of images of one size there are no others; of images of
  any size those of `image_pipeline`; of texts those of `labelled_texts.open_texts`.

  Args:
    name: the dataset's.
    folder: where it is, for messages.
    info: what TFDS knows of it.
    records: those of each split.

  Raises:
    DataError: they are not of an image or a text and a label.
  """
  features: dict[str, Any] = dict(info.features)
  keys: tuple[str, ...] = info.supervised_keys or ()
  inputs, label = keys if len(keys) == 2 else ('', '')
  first, second = features.get(inputs), features.get(label)
  if first is None or not isinstance(second, tfds.features.ClassLabel):
    raise DataError(
      f'{folder}: its supervised_keys are {keys} of '
      f'{", ".join(sorted(features))}; expected an image or a text, and a class label'
    )
  known = _Set(
    name,
    folder,
    tuple(second.names),
    info.redistribution_info.license or '',
    {
      split: _Labelled(source, inputs, label, folder, split)
      for split, source in records.items()
    },
  )
  if isinstance(first, tfds.features.Text):
    return functools.partial(_texts, known)
  shape, dtype = first.shape, first.np_dtype
  if dtype != np.uint8 or len(shape) != 3 or shape[2] not in (1, 3):
    raise DataError(
      f'{folder}: {inputs!r} is {first}; expected a text, or an image of 1 or 3 '
      'channels of 8 bits'
    )
  if None in shape:
    return functools.partial(_photographs, known)
  return functools.partial(_images, known, shape[2])


class _Labelled(Sequence[dict[str, Any]]):
  """Records of 'inputs' and 'label', whatever these are called there."""

  def __init__(
    self,
    records: Sequence[Mapping[str, Any]],
    inputs: str,
    label: str,
    folder: Path,
    split: str,
  ):
    self._records, self._inputs, self._label = records, inputs, label
    self.where = f'{folder}: record {{}} of {split!r}'.format

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: Any) -> Any:
    record = self._records[index]
    label = int(record[self._label])
    if label < 0:
      raise DataError(
        f'{self.where(index)} has the label {label}, that is none: choose '
        'another split to train or test'
      )
    return {'inputs': record[self._inputs], 'label': label}


class _Mapped(Sequence[dict[str, Any]]):
  """Records whose 'inputs' a function turns into something of another name."""

  def __init__(
    self, records: '_Labelled', key: str, function: Callable[[Any], Any]
  ) -> None:
    self._records, self._key, self._function = records, key, function
    self.where = records.where

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: Any) -> Any:
    record = self._records[index]
    try:
      value = self._function(record['inputs'])
    except DataError as e:
      raise DataError(f'{self.where(index)}: {e}') from e
    return {self._key: value, 'label': record['label']}


@dataclasses.dataclass(frozen=True)
class _Set:
  """What is known of a set before its options are."""

  name: str
  folder: Path
  classes: tuple[str, ...]
  license: str
  records: Mapping[str, _Labelled]

  def two(self, train: str, test: str) -> tuple[_Labelled, _Labelled]:
    """Returns the records to train and to test with."""
    known = self.records
    if not test:
      test = 'validation' if 'test' not in known else 'test'
    for option, split in (('train', train), ('test', test)):
      if split not in known:
        raise ValueError(
          f'{option} is {split!r}, but the splits of {self.folder} are '
          f'{", ".join(known)}'
        )
    return known[train], known[test]

  def dataset(
    self, sources: Sequence[Source], vocabulary: Vocabulary | None = None
  ) -> Dataset:
    """Returns the dataset of a source to train and one to test with."""
    return Dataset(
      name=self.name,
      task='classification',
      classes=self.classes,
      splits=dict(zip(('train', 'test'), sources, strict=True)),
      vocabulary=vocabulary,
      license=self.license,
    )


def _images(
  known: _Set,
  channels: int,
  *,
  data_dir: object = None,
  train: str = 'train',
  test: str = '',
) -> Dataset:
  """Opens images of one size as float32 `[height, width, channels]`, 0 to 1."""
  del data_dir
  sources = [
    LabelledImages(
      _Mapped(source, 'image', functools.partial(_pixels, channels)), maximum=255
    )
    for source in known.two(train, test)
  ]
  return known.dataset(sources)


def _pixels(channels: int, image: bytes | np.ndarray) -> np.ndarray:
  if isinstance(image, np.ndarray):
    return image
  return np.asarray(read_image(image))[..., :channels]  # gray has three equal ones


def _photographs(
  known: _Set,
  *,
  data_dir: object = None,
  train: str = 'train',
  test: str = '',
  size: int = 0,
  augment: str = 'standard',
  preprocess: str = '',
  color_jitter: float = 0.0,
  erasing: float = 0.0,
) -> Dataset:
  """Opens images of any size by `image_pipeline`."""
  del data_dir
  pipeline = image_pipeline(
    size=size,
    augment=augment,
    preprocess=preprocess,
    color_jitter=color_jitter,
    erasing=erasing,
  )
  sources = known.two(train, test)
  dataset = pipeline.dataset(
    known.name,
    known.classes,
    *(_Mapped(source, 'image', lambda image: image) for source in sources),
  )
  return dataclasses.replace(dataset, license=known.license)


def _texts(
  known: _Set,
  *,
  data_dir: object = None,
  train: str = 'train',
  test: str = '',
  unit: str = 'word',
  vocab_size: int = 20000,
  length: int = 256,
) -> Dataset:
  """Opens texts as `labelled_texts.open_texts` does; reads all to train with, first."""
  del data_dir
  check_options(unit, vocab_size, length)
  sources = known.two(train, test)
  texts = (_text(record['inputs'], unit) for record in sources[0])
  vocabulary = Vocabulary.fit(texts, unit, vocab_size)
  ids = functools.partial(_ids, vocabulary)
  return known.dataset(
    [
      TokenSequences(_Mapped(source, 'ids', ids), len(vocabulary), length)
      for source in sources
    ],
    vocabulary,
  )


def _ids(vocabulary: Vocabulary, content: bytes) -> np.ndarray:
  return vocabulary.encode(_text(content, vocabulary.unit))


def _text(content: bytes, unit: str) -> str:
  text = content.decode(errors='replace')
  return spaced(text) if unit == 'word' else text
