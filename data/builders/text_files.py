"""Your own text, in a file or in a folder of them, for a language model."""

import fnmatch
import logging
import os
from typing import TypeAlias

import numpy as np

from .. import text
from ..dataset import Dataset
from ..errors import DataError
from ..partition import check_fraction, in_test
from ..problems import Problems
from ..text_encoding import decode_text
from ..tokenizer_files import open_tokenizer
from ..vocabulary import UNITS, Vocabulary

_log = logging.getLogger(__name__)
# The documents of each split by their files; bytes where these are the tokens.
_Parts: TypeAlias = dict[str, dict[str, str | bytes]]


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  path: str = '',
  tokens: str = 'char',
  vocab_size: int = 0,
  unknown: str = 'token',
  length: int = 256,
  pattern: str = '*.txt',
  test_fraction: float = 0.1,
  seed: int = 0,
  encoding: str = 'utf-8',
  on_bad: str = 'error',
) -> Dataset:
  r"""Opens a text.

  A folder's files, and those in folders within, are a document each. A document is for
  testing by its path in the folder and the seed alone: none changes sides when others
  come or go, but where they are so few that chance would have left one side without
  any; see `partition.in_test`. A single file is cut in two: its end is for testing,
  from the first line that begins after the share of its characters that is for training
  (or of its bytes, if `tokens` are these).

  Args:
    data_dir: nothing is kept.
    path: the file or folder.
    tokens: what the model reads: 'char', 'byte' or 'word' (see
      `vocabulary.Vocabulary`), the characters or words being those of the training
      part (a byte of 0 counts as the start of a document); or the path of a
      tokenizer.json of Hugging Face, or a .model of SentencePiece.
    vocab_size: the most characters or words, with '\x00' and '<unk>', the most
      frequent ones; 0 is all.
    unknown: what a character or word that is not among them is, or what a tokenizer
      file can't express: 'token', the token '<unk>' (or the file's own), which counts
      as any other, how often it is being logged; or 'error'.
    length: tokens in a window, 2 or more.
    pattern: which files of a folder are read; '*' is all.
    test_fraction: the share for testing.
    seed: of the choice among a folder's files.
    encoding: of the files; no matter for 'byte'. Line ends become '\n'.
    on_bad: 'error', or 'skip' to leave out, and count, files of a folder that are
      empty, in another encoding, or have a character '\x00'.

  Returns:
    A language model's dataset. 'train' has a window at every position
    (`text.StreamWindows`); 'test' counts every token of every document once
    (`text.DocumentWindows`).

  Raises:
    ValueError: an option can't be used.
    ImportError: the library that reads the tokenizer file is not installed.
    DataError: a file can't be used, or there are too few.
  """
  del data_dir
  check_fraction(test_fraction)
  if unknown not in ('token', 'error'):
    raise ValueError(f"unknown is {unknown!r}, but must be 'token' or 'error'")
  if tokens not in UNITS and not tokens.endswith(('.json', '.model')):
    raise ValueError(
      f'tokens is {tokens!r}, but must be one of {", ".join(UNITS)}, or the path of a '
      'tokenizer .json or .model file'
    )
  if not path:
    raise ValueError("path is '', but must be a text file, or a folder of them")
  if not os.path.exists(path):
    raise DataError(f'{path}: there is no such file or folder')

  problems = Problems(path, on_bad)
  if os.path.isdir(path):
    parts = _split_folder(
      path, pattern, problems, test_fraction, seed, tokens, encoding
    )
    problems.report()
  else:
    parts = _split_file(path, test_fraction, tokens, encoding)
  if tokens in UNITS:
    fitted = [c for c in parts['train'].values() if isinstance(c, str)]
    vocabulary = Vocabulary.fit(fitted, tokens, vocab_size)
    rest = None if tokens == 'byte' else vocabulary.tokens.index('<unk>')
  else:
    vocabulary = open_tokenizer(tokens)
    rest = vocabulary.unknown

  dtype = np.min_scalar_type(len(vocabulary))
  documents: dict[str, list[np.ndarray]] = {'train': [], 'test': []}
  for split, contents in parts.items():
    for file, content in contents.items():
      if isinstance(content, str):
        ids = vocabulary.encode(content)
        strange = np.flatnonzero(ids == rest)
        if unknown == 'error' and len(strange):
          before = vocabulary.decode(ids[: strange[0]][-20:])
          raise DataError(
            f'{file}: what follows {before!r} in the {split} part is none of the '
            f"{len(vocabulary)} tokens; expected all to be, or unknown='token'"
          )
      else:
        ids = np.frombuffer(content, np.uint8)
      documents[split].append(ids.astype(dtype))
    count = sum(int(np.sum(ids == rest)) for ids in documents[split])
    if rest is not None and count:
      total = sum(map(len, documents[split]))
      _log.info(
        '%s: %d of %d tokens to %s are %s',
        path, count, total, split, vocabulary.tokens[rest],
      )  # fmt: skip
  return Dataset(
    name='text_files',
    task='language_model',
    classes=vocabulary.tokens,
    splits={
      'train': text.StreamWindows(documents['train'], length),
      'test': text.DocumentWindows(documents['test'], length),
    },
    vocabulary=vocabulary,
  )


def _split_folder(
  path: str,
  pattern: str,
  problems: Problems,
  test_fraction: float,
  seed: int,
  tokens: str,
  encoding: str,
) -> _Parts:
  names, contents = [], []
  for folder, folders, files in os.walk(path):
    folders.sort()
    for name in sorted(fnmatch.filter(files, pattern)):
      file = os.path.join(folder, name)
      try:
        contents.append((file, _read(file, tokens, encoding)))
        names.append(os.path.relpath(file, path).replace(os.sep, '/'))
      except DataError as e:
        problems.add(file, str(e).removeprefix(file).lstrip(',: '))
  if len(names) < 2:
    raise DataError(
      f'{path}: {len(names)} files {pattern} that can be used; expected 2 or more, or '
      'the path of a single file'
    )
  chosen = in_test(names, test_fraction, seed)
  return {
    'train': dict(c for c, test in zip(contents, chosen, strict=True) if not test),
    'test': dict(c for c, test in zip(contents, chosen, strict=True) if test),
  }


def _split_file(path: str, test_fraction: float, tokens: str, encoding: str) -> _Parts:
  content = _read(path, tokens, encoding)
  cut = max(1, round(len(content) * (1 - test_fraction)))
  # From the next line on, if there is one.
  if isinstance(content, str):
    line = content.find('\n', cut - 1) + 1
  else:
    line = content.find(b'\n', cut - 1) + 1
  cut = line if 0 < line < len(content) else cut
  return {'train': {path: content[:cut]}, 'test': {path: content[cut:]}}


def _read(path: str, tokens: str, encoding: str) -> str | bytes:
  try:
    with open(path, 'rb') as f:
      content = f.read()
  except OSError as e:
    raise DataError(f'{path}: {e.strerror}') from e
  if not content.strip():
    raise DataError(f'{path}: it is empty; expected text')
  if tokens == 'byte':
    return content
  text = decode_text(content, path, encoding)
  string = text.replace('\r\n', '\n').replace('\r', '\n')
  if (at := string.find('\x00')) >= 0 and tokens in UNITS:
    raise DataError(
      f"{path}, line {string.count(chr(10), 0, at) + 1}: it has the character '\\x00', "
      'which stands for the start of a document; expected text without it'
    )
  return string
