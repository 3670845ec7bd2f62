"""Vocabularies that a tokenizer file holds, with what makes text of them."""

import dataclasses
import importlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .errors import DataError
from .text import START
from .vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pieces(Vocabulary):
  """The pieces of words that a library cuts a text into.

  A piece's number is the library's plus 1, since 0 starts a document.

  Attributes:
    to_ids: the library's numbers of a text.
    to_text: the text of the library's numbers.
    unknown: this vocabulary's number of what is no piece, or None.
  """

  unit: str = 'token'
  to_ids: Callable[[str], Sequence[int]]
  to_text: Callable[[list[int]], str]
  unknown: int | None = None

  def encode(self, string: str) -> np.ndarray:
    """Returns the numbers of a text's pieces, int32 `[tokens]`."""
    return np.array(self.to_ids(string), np.int32) + 1

  def decode(self, ids: Sequence[int] | np.ndarray) -> str:
    """Returns the text of numbers `[tokens]`."""
    array = np.asarray(ids, np.int32)
    documents = np.split(array, np.flatnonzero(array == START))
    return self.tokens[START].join(
      self.to_text([int(i) - 1 for i in part if i != START]) for part in documents
    )


def open_tokenizer(path: str) -> Pieces:
  """Opens a tokenizer.json of Hugging Face, or a .model of SentencePiece.

  No special tokens are added to a text, and nothing is cut off or filled up. What a
  piece can't be found for is what the file says: its unknown piece, bytes, or nothing.

  Args:
    path: the file.

  Raises:
    ImportError: the library `tokenizers` or `sentencepiece` is not installed.
    DataError: the file is missing or damaged.
  """
  if not os.path.isfile(path):
    raise DataError(f'{path}: there is no such tokenizer file')
  return _hugging_face(path) if path.endswith('.json') else _sentence_piece(path)


def _hugging_face(path: str) -> Pieces:
  library = _library('tokenizers')
  try:
    tokenizer = library.Tokenizer.from_file(path)
  except Exception as e:  # it raises no other
    raise DataError(f'{path}: it is no tokenizer.json: {_line(e)}') from e
  # What a model's input was cut or filled to, a corpus must not be.
  tokenizer.no_truncation()
  tokenizer.no_padding()
  ids = tokenizer.get_vocab(with_added_tokens=True)
  names = {i: name for name, i in ids.items()}
  unknown = ids.get(getattr(tokenizer.model, 'unk_token', None))
  return Pieces(
    ('\x00', *(names.get(i, f'[{i}]') for i in range(max(names) + 1))),
    to_ids=lambda string: tokenizer.encode(string, add_special_tokens=False).ids,
    to_text=lambda ids: tokenizer.decode(ids, skip_special_tokens=False),
    unknown=None if unknown is None else unknown + 1,
  )


def _sentence_piece(path: str) -> Pieces:
  library = _library('sentencepiece')
  try:
    processor = library.SentencePieceProcessor(model_file=path)
  except (RuntimeError, OSError) as e:
    raise DataError(f'{path}: it is no SentencePiece model: {_line(e)}') from e
  names = map(processor.id_to_piece, range(processor.get_piece_size()))
  return Pieces(
    ('\x00', *names),
    to_ids=processor.encode,
    to_text=processor.decode,
    unknown=processor.unk_id() + 1,
  )


def _library(name: str) -> Any:
  try:
    return importlib.import_module(name)
  except ImportError as e:
    raise ImportError(
      f'{name} is not installed, which reads tokenizer files: it comes with the extra '
      "'text', as by pip install 'convscan[text]'"
    ) from e


def _line(error: Exception) -> str:
  return ' '.join(str(error).split())
