"""Texts with a label each, kept as the numbers of their tokens."""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from .dataset import Dataset
from .declared import Declared, placeholders
from .download import File
from .errors import DataError
from .prepared import command, open_splits
from .vocabulary import UNITS, Vocabulary, check_size, check_unit, spaced

_LONG = 10_000  # tokens, more than are read of one text


class LabelledTexts(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
  """Texts in two splits; a subclass reads them.

  There is a configuration for each unit. Its vocabulary is all of 'train', the most
  frequent token first, so that a smaller one is the first of its tokens.

  Attributes:
    LABELS: their names.
    LICENSE: the texts'.
    COUNTS: how many texts are in 'train' and in 'test'.
    WORDS: how many different words 'train' has at least.
  """

  VERSION = tfds.core.Version('2.0.0')
  BUILDER_CONFIGS: ClassVar = [tfds.core.BuilderConfig(name=unit) for unit in UNITS]
  LABELS: ClassVar[tuple[str, ...]] = ()
  LICENSE: ClassVar[str] = ''
  COUNTS: ClassVar[tuple[int, int]]
  WORDS: ClassVar[int]

  def __init_subclass__(cls, **kwargs: Any) -> None:
    """Keeps subclasses too out of TFDS's registry."""
    super().__init_subclass__(skip_registration=True, **kwargs)

  def texts(self, folder: str, split: str) -> Iterator[tuple[str, str]]:
    """Yields the texts of 'train' or 'test', each with its label."""
    raise NotImplementedError

  def declare(self) -> Declared:
    """Returns the splits as they are published, and fills in the metadata.

    Of words these have the first `WORDS`, and of characters none.
    """
    unit = self.builder_config.name
    known = Vocabulary.fit([], unit).tokens
    self.info.metadata.update(
      tokens=placeholders(known, self.WORDS if unit == 'word' else 0),
      complete=unit == 'byte',
    )
    record = {'ids': np.broadcast_to(np.ones((), np.int32), _LONG), 'label': 0}
    train, test = self.COUNTS
    return {'train': (train, record), 'test': (test, record)}

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description=type(self).__doc__,
      license=self.LICENSE,
      features=tfds.features.FeaturesDict(
        {
          'ids': tfds.features.Tensor(
            shape=(None,), dtype=np.int32, encoding=tfds.features.Encoding.BYTES
          ),
          'label': tfds.features.ClassLabel(names=self.LABELS),
        }
      ),
      metadata=tfds.core.MetadataDict(),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    folder, unit = os.fspath(dl_manager.manual_dir), self.builder_config.name
    texts = (self._text(text) for text, _ in self.texts(folder, 'train'))
    vocabulary = Vocabulary.fit(texts, unit)
    self.info.metadata.update(tokens=list(vocabulary.tokens))
    return {
      split: self._generate_examples(folder, split, vocabulary)
      for split in ('train', 'test')
    }

  def _generate_examples(
    self, folder: str, split: str, vocabulary: Vocabulary
  ) -> Iterator[tuple[int, dict[str, Any]]]:
    missing = set(self.LABELS)
    for index, (text, label) in enumerate(self.texts(folder, split)):
      yield index, {'ids': vocabulary.encode(self._text(text)), 'label': label}
      missing.discard(label)
    if missing:
      raise DataError(f'{folder}: {split} has no text labelled {sorted(missing)}')

  def _text(self, text: str) -> str:
    return spaced(text) if self.builder_config.name == 'word' else text


class TokenSequences:
  """Examples of texts: their first tokens, padded with 0, and how many these are.

  Args:
    records: each with 'ids' and 'label'.
    size: tokens from this on become 1, the unknown one.
    length: the tokens of an example.
  """

  def __init__(self, records: Sequence[Mapping[str, Any]], size: int, length: int):
    self._records, self._size, self._length = records, size, length

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    example = self.get_batch(np.array([range(len(self))[index]]))
    return {name: array[0, ...] for name, array in example.items()}

  def get_batch(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the examples at `indices [batch]`, stacked."""
    records = [self._records[int(index)] for index in indices]
    inputs = np.zeros((len(records), self._length), np.int32)
    for row, record in zip(inputs, records, strict=True):
      ids = record['ids'][: self._length]
      row[: len(ids)] = np.where(ids < self._size, ids, 1)
    lengths = [min(max(1, len(record['ids'])), self._length) for record in records]
    return {
      'inputs': inputs,
      'lengths': np.array(lengths, np.int32),
      'targets': np.array([record['label'] for record in records], np.int32),
      'weights': np.ones(len(records), np.float32),
    }


def check_options(unit: str, vocab_size: int, length: int) -> None:
  """Checks the options of texts with labels; see `open_texts`.

  Raises:
    ValueError: an unknown `unit`, a `vocab_size` of 1 or 2, or a `length` below 1.
  """
  check_unit(unit, UNITS)
  check_size(vocab_size)
  if length < 1:
    raise ValueError(f'length is {length}, but must be 1 or more')


def open_texts(
  name: str,
  builder_class: Any,
  files: Sequence[File],
  data_dir: str | os.PathLike[str] | None,
  unit: str,
  vocab_size: int,
  length: int,
) -> Dataset:
  """Opens texts as a dataset for classification.

  Args:
    name: the dataset's.
    builder_class: a `LabelledTexts`.
    files: what it is made of.
    data_dir: where prepared sets are kept; None is TFDS's own default.
    unit: what a token is, one of `UNITS`; a word is in lower case, and a mark is one.
    vocab_size: the most tokens, with '\\x00', which pads, and '<unk>', those of the
      training texts that are the most frequent there; 0 for all. Of bytes, all 256.
    length: the tokens of an example: of a longer text its first, and a shorter one is
      padded with 0. `lengths` is how many are the text's, 1 of an empty one.

  Raises:
    ValueError: an unknown `unit`, a `vocab_size` of 1 or 2, or a `length` below 1.
    DataError: see `open_splits`.
  """
  check_options(unit, vocab_size, length)
  info, records = open_splits(partial(builder_class, config=unit), data_dir, files)
  tokens = tuple(info.metadata['tokens'])
  if not info.metadata.get('complete', True) and not 0 < vocab_size <= len(tokens):
    raise DataError(
      f'{name}: of its {unit}s without its files {len(tokens)} are known, but '
      f'vocab_size is {vocab_size}. Prepare it: {command(name, data_dir)}'
    )
  if vocab_size and unit != 'byte':
    tokens = tokens[:vocab_size]
  return Dataset(
    name=name,
    task='classification',
    classes=tuple(info.features['label'].names),
    splits={k: TokenSequences(v, len(tokens), length) for k, v in records.items()},
    vocabulary=Vocabulary(tokens, unit),
    license=info.redistribution_info.license or '',
  )
