"""What a text is made of, and its numbers."""

import dataclasses
import functools
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

UNITS = ('char', 'byte', 'word')
_START, _UNKNOWN, _END = '\x00', '<unk>', '<eos>'


@dataclasses.dataclass(frozen=True)
class Vocabulary:
  r"""The tokens that a text is made of, and their numbers.

  A 'char' is a Unicode character, and a 'byte' one of the text's UTF-8 encoding, whose
  number is its value. A 'word' is what stands between white space, and each end of a
  line is the word '<eos>'; `spaced` prepares a text that was not written so.

  Attributes:
    tokens: every token by number. The first, '\x00', starts a document. If '<unk>' is
      among them it stands for all that are not.
    unit: what a token is, one of `UNITS`.

  >>> vocabulary = Vocabulary.fit(['a rose is\na rose'], 'word')
  >>> vocabulary.tokens
  ('\x00', '<unk>', 'a', 'rose', '<eos>', 'is')
  >>> vocabulary.encode('a tree is')
  array([2, 1, 5], dtype=int32)
  >>> vocabulary.decode([2, 3, 4, 2])
  'a rose\na'
  """

  tokens: tuple[str, ...]
  unit: str = 'char'

  @classmethod
  def fit(cls, texts: Iterable[str], unit: str, size: int = 0) -> 'Vocabulary':
    """Returns the vocabulary of some texts, the most frequent token first.

    Args:
      texts: those to train on.
      unit: one of `UNITS`; all 256 bytes are always there.
      size: how many tokens there are at most, with '\x00' and '<unk>', which are the
        first two; 0 for all that the texts have.

    Raises:
      ValueError: an unknown unit, or a size from 1 to 2.
    """
    check_unit(unit, UNITS)
    check_size(size)
    if unit == 'byte':
      return cls(tuple(map(chr, range(256))), unit)
    counts: Counter[str] = Counter()
    for string in texts:
      counts.update(_words(string) if unit == 'word' else string)
    for token in (_START, _UNKNOWN):
      counts.pop(token, None)
    found = sorted(counts, key=lambda token: (-counts[token], token))
    return cls((_START, _UNKNOWN, *found[: size - 2 if size else None]), unit)

  def __len__(self) -> int:
    return len(self.tokens)

  @functools.cached_property
  def _ids(self) -> dict[str, int]:
    return {token: index for index, token in enumerate(self.tokens)}

  def encode(self, string: str) -> np.ndarray:
    """Returns the numbers of a text's tokens, int32 `[tokens]`.

    Raises:
      ValueError: the text has another token, and there is no '<unk>'.
    """
    if self.unit == 'byte':
      return np.frombuffer(string.encode(), np.uint8).astype(np.int32)
    tokens = _words(string) if self.unit == 'word' else string
    ids = self._ids
    if (unknown := ids.get(_UNKNOWN)) is not None:
      return np.array([ids.get(token, unknown) for token in tokens], np.int32)
    try:
      return np.fromiter(map(ids.__getitem__, tokens), np.int32, len(tokens))
    except KeyError:
      outside = sorted(set(tokens) - ids.keys())
      raise ValueError(f'{self.unit}s outside the alphabet: {outside}') from None

  def decode(self, ids: Sequence[int] | np.ndarray) -> str:
    """Returns the text of numbers `[tokens]`; what is no UTF-8 shows as U+FFFD."""
    if self.unit == 'byte':
      return bytes(np.asarray(ids, np.uint8)).decode(errors='replace')
    tokens = [self.tokens[i] for i in ids]
    if self.unit == 'char':
      return ''.join(tokens)
    return re.sub(f' ?{_END} ?', '\n', ' '.join(tokens))


def check_unit(unit: str, legal: Sequence[str]) -> None:
  """Checks an option.

  Raises:
    ValueError: the unit is not among the legal ones.
  """
  if unit not in legal:
    raise ValueError(f'unit is {unit!r}, but must be one of {", ".join(legal)}')


def check_size(vocab_size: int) -> None:
  """Checks an option.

  Raises:
    ValueError: so many tokens leave none but the first two.
  """
  if vocab_size < 0 or 0 < vocab_size < 3:
    raise ValueError(f'vocab_size is {vocab_size}, but must be 3 or more, or 0 for all')


def _words(string: str) -> list[str]:
  return string.replace('\n', f' {_END} ').split()


def spaced(string: str) -> str:
  """Returns a text in lower case, with a space between words and other marks.

  >>> spaced("It's good, isn't it?")
  "it ' s good , isn ' t it ?"
  """
  return ' '.join(re.findall(r'\w+|[^\w\s]', string.lower()))
