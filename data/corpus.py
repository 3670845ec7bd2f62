"""Texts for language models, kept as the numbers of their tokens."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from . import text
from .dataset import Dataset
from .declared import Declared, placeholders
from .download import File
from .errors import DataError
from .prepared import open_splits
from .vocabulary import Vocabulary

SPLITS = ('train', 'validation', 'test')
_BLOCK = 1 << 20


class Corpus(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
  """A text in three parts, each a document; a subclass says what is in them.

  A record holds the numbers of some tokens, in order, and the metadata the tokens.

  Attributes:
    DTYPE: of the numbers on disk and in memory, wide enough for the vocabulary.
    LICENSE: the text's.
    SIZES: for each unit, how many tokens are in the vocabulary, then in each split, as
      far as these are known without the files.
  """

  VERSION = tfds.core.Version('2.0.0')
  DTYPE: ClassVar[Any] = np.uint8
  LICENSE: ClassVar[str] = ''
  SIZES: ClassVar[Mapping[str, tuple[int, int, int, int]]] = {}

  def __init_subclass__(cls, **kwargs: Any) -> None:
    """Keeps subclasses too out of TFDS's registry."""
    super().__init_subclass__(skip_registration=True, **kwargs)

  def vocabulary(self, folder: str) -> Vocabulary:
    """Returns the tokens, given where the files are."""
    raise NotImplementedError

  def pieces(self, folder: str, split: str) -> Iterator[str | bytes]:
    """Yields a part's text in pieces of whole tokens; bytes if these are the tokens."""
    raise NotImplementedError

  def declare(self) -> Declared:
    """Returns the splits as they are published, and fills in the metadata."""
    config = self.builder_config
    unit = config.name if config else next(iter(self.SIZES))
    size, *lengths = self.SIZES[unit]
    known = Vocabulary.fit([], unit).tokens  # all bytes, or the first two tokens
    self.info.metadata.update(tokens=placeholders(known, size), unit=unit)
    # Token 1, since a target that is `text.START` does not count; it takes no room.
    ids = np.ones((), self.DTYPE)
    return {
      split: (1, {'ids': np.broadcast_to(ids, length)})
      for split, length in zip(SPLITS, lengths, strict=True)
    }

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description=type(self).__doc__,
      license=self.LICENSE,
      features=tfds.features.FeaturesDict(
        {
          'ids': tfds.features.Tensor(
            shape=(None,), dtype=self.DTYPE, encoding=tfds.features.Encoding.BYTES
          )
        }
      ),
      metadata=tfds.core.MetadataDict(),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    folder = os.fspath(dl_manager.manual_dir)
    vocabulary = self.vocabulary(folder)
    self.info.metadata.update(tokens=list(vocabulary.tokens), unit=vocabulary.unit)
    return {
      split: self._generate_examples(folder, split, vocabulary) for split in SPLITS
    }

  def _generate_examples(
    self, folder: str, split: str, vocabulary: Vocabulary
  ) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    tokens = 0
    for index, piece in enumerate(self.pieces(folder, split)):
      if isinstance(piece, bytes):
        ids = np.frombuffer(piece, np.uint8)
      else:
        try:
          ids = vocabulary.encode(piece)
        except ValueError as e:
          raise DataError(f'{folder}: {split}: {e}') from None
      yield index, {'ids': ids.astype(self.DTYPE)}
      tokens += len(ids)
    if not tokens:
      raise DataError(f'{folder}: {split} has no text')


def open_corpus(
  name: str,
  builder_class: Any,
  files: Sequence[File],
  data_dir: str | os.PathLike[str] | None,
  length: int,
  command: str = '',
) -> Dataset:
  """Opens a corpus as a dataset of a language model.

  Args:
    name: the dataset's.
    builder_class: a `Corpus`, called as TFDS builders are.
    files: what it is made of.
    data_dir: where prepared sets are kept; None is TFDS's own default.
    length: tokens in a window, 2 or more.
    command: see `open_splits`.

  Returns:
    'train' has a window at every position (`text.StreamWindows`); 'validation' and
    'test' count every token once (`text.DocumentWindows`).

  Raises:
    ValueError: `length` is less than 2, or more than the training text has.
    DataError: see `open_splits`.
  """
  info, records = open_splits(builder_class, data_dir, files, command)
  vocabulary = Vocabulary(tuple(info.metadata['tokens']), info.metadata['unit'])
  documents = {
    split: np.concatenate([record['ids'] for record in records[split]])
    for split in SPLITS
  }
  windows: dict[str, Any] = {
    split: text.DocumentWindows([documents[split]], length) for split in SPLITS[1:]
  }
  return Dataset(
    name=name,
    task='language_model',
    classes=vocabulary.tokens,
    splits={'train': text.StreamWindows([documents['train']], length)} | windows,
    vocabulary=vocabulary,
    license=info.redistribution_info.license or '',
  )


def megabytes(content: bytes) -> Iterator[bytes]:
  """Yields a text in pieces of a megabyte."""
  for start in range(0, len(content), _BLOCK):
    yield content[start : start + _BLOCK]


def lines(file: IO[bytes], path: str) -> Iterator[str]:
  """Yields the text of a file in pieces of whole lines, about a megabyte each.

  Raises:
    DataError: it is not UTF-8.
  """
  row = 1
  while block := file.read(_BLOCK):
    block += file.readline()
    try:
      yield block.decode()
    except UnicodeDecodeError as e:
      row += block.count(b'\n', 0, e.start)
      raise DataError(f'{path}, row {row}: byte {block[e.start]:#x} is no UTF-8') from e
    row += block.count(b'\n')


def nine_tenths(content: bytes, split: str) -> bytes:
  """Returns a split of a text: its first 90 %, the next 5 %, or the rest.

  >>> [nine_tenths(b'a' * 18 + b'bc', split) for split in SPLITS[1:]]
  [b'b', b'c']
  """
  first = len(content) * 9 // 10
  second = first + (len(content) - first) // 2
  bounds = {'train': (0, first), 'validation': (first, second), 'test': (second, None)}
  return content[slice(*bounds[split])]
