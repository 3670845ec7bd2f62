"""40,000 lines of Shakespeare."""

import io
import os
from collections.abc import Iterator
from functools import partial
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from ..corpus import Corpus, lines, nine_tenths, open_corpus
from ..dataset import Dataset
from ..download import File
from ..vocabulary import UNITS, Vocabulary, check_unit

# As tensorflow_datasets has it.
FILES = (
  File(
    'input.txt',
    'https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt',
    1115394,
    '86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed',
  ),
)


class TinyShakespeare(Corpus):
  """1,115,394 characters of Shakespeare's plays, 65 different.

  As tensorflow_datasets has it, the first 90 % are 'train' (1,003,854), the next 5 %
  'validation' and the rest 'test' (55,770 each). The tokens are those of 'train', and
  one for any other.

  Source: A. Karpathy, "The Unreasonable Effectiveness of Recurrent Neural Networks",
  2015. Licence: the plays are in the public domain; the file comes without one.
  """

  LICENSE = 'public domain'
  DTYPE = np.uint16
  # The token that starts a document and '<unk>' come to its characters and words.
  SIZES: ClassVar = {
    'char': (67, 1_003_854, 55_770, 55_770),
    'byte': (256, 1_003_854, 55_770, 55_770),
    'word': (23_844, 218_024, 12_322, 12_307),
  }
  BUILDER_CONFIGS: ClassVar = [tfds.core.BuilderConfig(name=unit) for unit in UNITS]

  def vocabulary(self, folder: str) -> Vocabulary:
    """See `Corpus`."""
    return Vocabulary.fit(self.pieces(folder, 'train'), self.builder_config.name)

  def pieces(self, folder: str, split: str) -> Iterator[str]:
    """See `Corpus`."""
    path = os.path.join(folder, FILES[0].name)
    with open(path, 'rb') as file:
      part = nine_tenths(file.read(), split)
    yield from lines(io.BytesIO(part), f'{path}: {split}')


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  unit: str = 'char',
  length: int = 128,
) -> Dataset:
  """Opens tiny Shakespeare.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    unit: what a token is: 'char', 'byte' or 'word', which white space separates.
    length: tokens in a window, 2 or more.

  Returns:
    A language model's dataset; for the splits see `corpus.open_corpus`.

  Raises:
    ValueError: an unknown unit; or `length` is less than 2, or more than the training
      text has.
  """
  check_unit(unit, UNITS)
  return open_corpus(
    'tiny_shakespeare', partial(TinyShakespeare, config=unit), FILES, data_dir, length
  )
