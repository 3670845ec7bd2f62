"""WikiText-2 and WikiText-103, word by word."""

import os
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from ..archives import opened
from ..corpus import Corpus, lines, open_corpus
from ..dataset import Dataset
from ..download import File
from ..vocabulary import Vocabulary

# The archives as they were published, from their first author's own site, since the
# company that had them took them down. Sizes and checksums are those of Hugging Face's
# `datasets`, taken when they were there.
FILES = {
  'wikitext2': (
    File(
      'wikitext-2-v1.zip',
      'https://wikitext.smerity.com/wikitext-2-v1.zip',
      4475746,
      '92675f1d63015c1c8b51f1656a52d5bdbc33aafa60cc47a218a66e7ee817488c',
      20_000_000,
    ),
  ),
  'wikitext103': (
    File(
      'wikitext-103-v1.zip',
      'https://wikitext.smerity.com/wikitext-103-v1.zip',
      190229076,
      '242ba0f20b329cfdf1ccc61e9e9e5b59becf189db7f7a81cd2a0e2fc31539590',
      600_000_000,
    ),
  ),
}
_NAMES = {'train': 'train', 'validation': 'valid', 'test': 'test'}


class Wikitext2(Corpus):
  """2.1 million words of good and featured articles of Wikipedia.

  Words are as published, rare ones replaced by '<unk>', with '<eos>' at the end of each
  line: 2,088,628 'train', 217,646 'validation' and 245,569 'test', of 33,278 different.

  Source: S. Merity et al., "Pointer Sentinel Mixture Models", 2016,
  https://arxiv.org/abs/1609.07843. Licence: CC BY-SA 4.0.
  """

  LICENSE = 'CC BY-SA 4.0'
  DTYPE = np.int32
  SET: ClassVar[str] = 'wikitext2'
  # One token more than there are words: the one that starts a document.
  SIZES: ClassVar = {'word': (33_279, 2_088_628, 217_646, 245_569)}

  def vocabulary(self, folder: str) -> Vocabulary:
    """See `Corpus`."""
    return Vocabulary.fit(self.pieces(folder, 'train'), 'word')

  def pieces(self, folder: str, split: str) -> Iterator[str]:
    """See `Corpus`."""
    (file,) = FILES[self.SET]
    path, name = os.path.join(folder, file.name), f'wiki.{_NAMES[split]}.tokens'
    with opened(path, file.unpacked, name) as content:
      yield from lines(content, f'{path}: {name}')


class Wikitext103(Wikitext2):
  """103 million words of good and featured articles of Wikipedia.

  As `Wikitext2`: 103,227,021 'train' and the same 'validation' and 'test', whose words
  are those of the larger vocabulary, of 267,735 different.
  """

  SET = 'wikitext103'
  SIZES: ClassVar = {'word': (267_736, 103_227_021, 217_646, 245_569)}


def wikitext2(
  *, data_dir: str | os.PathLike[str] | None = None, length: int = 64
) -> Dataset:
  """Opens WikiText-2.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    length: words in a window, 2 or more.

  Returns:
    A language model's dataset; for the splits see `corpus.open_corpus`. Its classes are
    the token that starts a document and the words, the most frequent first.

  Raises:
    ValueError: `length` is less than 2, or more than the training text has.
  """
  return open_corpus('wikitext2', Wikitext2, FILES['wikitext2'], data_dir, length)


def wikitext103(
  *, data_dir: str | os.PathLike[str] | None = None, length: int = 64
) -> Dataset:
  """Opens WikiText-103; see `wikitext2`."""
  return open_corpus('wikitext103', Wikitext103, FILES['wikitext103'], data_dir, length)
