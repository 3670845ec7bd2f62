"""The Penn Treebank's Wall Street Journal as Mikolov prepared it, from your files."""

import io
import os
from collections.abc import Iterator
from functools import partial
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from ..corpus import Corpus, lines, open_corpus
from ..dataset import Dataset
from ..download import File
from ..vocabulary import Vocabulary, check_unit

UNITS = ('word', 'char')
_PAGE = 'https://catalog.ldc.upenn.edu/LDC99T42 (or data/ in simple-examples.tgz)'

# The text is the Linguistic Data Consortium's, so that everyone brings their own. Sizes
# and checksums are those of Hugging Face's `datasets`.
FILES = (
  File(
    'ptb.train.txt',
    '',
    5101618,
    'fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf',
    page=_PAGE,
  ),
  File(
    'ptb.valid.txt',
    '',
    399782,
    'c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2',
    page=_PAGE,
  ),
  File(
    'ptb.test.txt',
    '',
    449945,
    'dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0',
    page=_PAGE,
  ),
)


class PennTreebank(Corpus):
  """A million words of the Wall Street Journal of 1989, a sentence a line.

  Words are in lower case, numbers are 'N', and of 10,000 different ones '<unk>' is one
  and '<eos>', the end of a line, another: 929,589 'train', 73,760 'validation' and
  82,430 'test'. Or its characters, about 50, without the spaces around a line:
  5,017,482, 393,042 and 442,423.

  Source: M. Marcus et al., "Building a Large Annotated Corpus of English", 1993; T.
  Mikolov et al., "Recurrent neural network based language model", 2010. Licence: the
  LDC's user agreement.
  """

  LICENSE = 'LDC User Agreement'
  DTYPE = np.uint16
  # The token that starts a document is one more than there are words. Characters are 50
  # with the end of a line; that token and '<unk>' come to them.
  SIZES: ClassVar = {
    'word': (10_001, 929_589, 73_760, 82_430),
    'char': (52, 5_017_482, 393_042, 442_423),
  }
  BUILDER_CONFIGS: ClassVar = [tfds.core.BuilderConfig(name=unit) for unit in UNITS]

  def vocabulary(self, folder: str) -> Vocabulary:
    """See `Corpus`."""
    return Vocabulary.fit(self.pieces(folder, 'train'), self.builder_config.name)

  def pieces(self, folder: str, split: str) -> Iterator[str]:
    """See `Corpus`."""
    path = os.path.join(folder, f'ptb.{split.removesuffix("ation")}.txt')
    with open(path, 'rb') as file:
      for piece in lines(file, path):
        yield ''.join(line.strip() + '\n' for line in io.StringIO(piece))


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  unit: str = 'word',
  length: int = 64,
) -> Dataset:
  """Opens the Penn Treebank, once its three files are in `downloads/penn_treebank`.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    unit: what a token is: 'word' or 'char'.
    length: tokens in a window, 2 or more.

  Returns:
    A language model's dataset; for the splits see `corpus.open_corpus`.

  Raises:
    ValueError: an unknown unit; or `length` is less than 2, or more than the training
      text has.
  """
  check_unit(unit, UNITS)
  return open_corpus(
    'penn_treebank', partial(PennTreebank, config=unit), FILES, data_dir, length
  )
