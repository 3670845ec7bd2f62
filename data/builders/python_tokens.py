"""Python's own source, each character with the kind of token that it belongs to."""

import io
import keyword
import os
import sysconfig
import tokenize

import numpy as np

from ..dataset import Dataset

# What is read: modules of the standard library, the last ones to test.
MODULES = (
  'abc', 'argparse', 'ast', 'bisect', 'calendar', 'cmd', 'code', 'codecs',
  'collections', 'configparser', 'contextlib', 'copy', 'csv', 'dataclasses', 'difflib',
  'enum', 'fileinput', 'fnmatch', 'fractions', 'ftplib', 'functools', 'getopt',
  'gettext', 'glob', 'gzip', 'hashlib', 'heapq', 'imaplib', 'inspect', 'ipaddress',
)  # fmt: skip
TEST_MODULES = ('random', 'sched', 'shlex', 'statistics', 'string', 'textwrap')

CLASSES = ('space', 'name', 'keyword', 'number', 'string', 'operator', 'comment')
_KINDS = {
  tokenize.NUMBER: 'number',
  tokenize.STRING: 'string',
  tokenize.OP: 'operator',
  tokenize.COMMENT: 'comment',
}


def tags(source: str) -> np.ndarray:
  """Returns the position in `CLASSES` of each character's kind, int32 `[characters]`.

  By the standard library's `tokenize`; an f-string is a string throughout.

  >>> [CLASSES[tag] for tag in tags('if x: 1')]
  ['keyword', 'keyword', 'space', 'name', 'operator', 'space', 'number']
  """
  starts = np.cumsum([0, *map(len, source.splitlines(keepends=True))])
  found = np.zeros(len(source), np.int32)
  inside: list[int] = []  # where the f-strings began that are open, from Python 3.12
  for token in tokenize.generate_tokens(io.StringIO(source).readline):
    begin, end = (int(starts[row - 1]) + at for row, at in (token.start, token.end))
    name = tokenize.tok_name[token.type]
    if name == 'FSTRING_START':
      inside.append(begin)
    elif name == 'FSTRING_END':
      found[inside.pop() : end] = CLASSES.index('string')
    elif token.type == tokenize.NAME:
      kind = 'keyword' if keyword.iskeyword(token.string) else 'name'
      found[begin:end] = CLASSES.index(kind)
    elif token.type in _KINDS:
      found[begin:end] = CLASSES.index(_KINDS[token.type])
  return found


class _Windows:
  """Windows of a text, one every so many characters; the last is padded."""

  def __init__(self, text: np.ndarray, tags: np.ndarray, length: int, stride: int):
    self._text, self._tags = text, tags
    self._length, self._stride = length, stride
    self.unit = f'windows of {length} characters, one every {stride}'

  def __len__(self) -> int:
    return -(-len(self._text) // self._stride)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    start = range(len(self))[index] * self._stride
    text, tags = (a[start : start + self._length] for a in (self._text, self._tags))
    padding = self._length - len(text)
    return {
      'inputs': np.pad(text, (0, padding)),
      'targets': np.pad(tags, (0, padding)),
      'weights': np.pad(np.ones(len(text), np.float32), (0, padding)),
    }

  def get_batch(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    places = indices[:, None] * self._stride + np.arange(self._length)
    within = places < len(self._text)
    places = np.minimum(places, len(self._text) - 1)
    return {
      'inputs': np.where(within, self._text[places], 0),
      'targets': np.where(within, self._tags[places], 0),
      'weights': within.astype(np.float32),
    }


def load(
  *, data_dir: str | os.PathLike[str] | None = None, length: int = 128
) -> Dataset:
  """Opens the source of this Python's standard library.

  It differs between Python's versions.

  Args:
    data_dir: nothing is kept.
    length: characters in a window, 2 or more.

  Returns:
    A tagging of characters by their codes, 0 to 127, of which 0 is one that is not
    ASCII. In training a window begins at every 16th character; to test, each character
    is in one.

  Raises:
    ValueError: `length` is less than 2.
    OSError: this Python has no such source.
  """
  del data_dir
  if length < 2:
    raise ValueError(f'length is {length}, but must be 2 or more')
  splits = {}
  for split, modules in [('train', MODULES), ('test', TEST_MODULES)]:
    sources = [_source(module) for module in modules]
    codes = np.frombuffer(''.join(sources).encode('utf-32-le'), np.int32)
    text = np.where(codes < 128, codes, 0).astype(np.int32)
    stride = 16 if split == 'train' else length
    splits[split] = _Windows(
      text, np.concatenate([*map(tags, sources)]), length, stride
    )
  return Dataset(name='python_tokens', task='tagging', classes=CLASSES, splits=splits)


def _source(module: str) -> str:
  # Not importlib's word for it, which for some of them is 'frozen'.
  path = os.path.join(sysconfig.get_path('stdlib'), module)
  path = os.path.join(path, '__init__.py') if os.path.isdir(path) else path + '.py'
  with tokenize.open(path) as f:
    return f.read()
