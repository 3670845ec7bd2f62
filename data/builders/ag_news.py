"""Reports of news by topic."""

import csv
import io
import os
from collections.abc import Iterator

from ..corpus import lines
from ..dataset import Dataset
from ..download import File
from ..errors import DataError
from ..labelled_texts import LabelledTexts, open_texts

_URL = (
  'https://raw.githubusercontent.com/mhjabreel/CharCnn_Keras/master/data/ag_news_csv/'
)

# The files that torchtext reads; sizes and checksums are Hugging Face's `datasets`'.
FILES = (
  File(
    'train.csv',
    _URL + 'train.csv',
    29470338,
    '76a0a2d2f92b286371fe4d4044640910a04a803fdd2538e0f3f29a5c6f6b672e',
  ),
  File(
    'test.csv',
    _URL + 'test.csv',
    1857427,
    '521465c2428ed7f02f8d6db6ffdd4b5447c1c701962353eb2c40d548c3c85699',
  ),
)


class AgNews(LabelledTexts):
  """120,000 reports to train on and 7,600 to test, as many of each of four topics.

  A text is the title and the description, with a space between.

  Source: X. Zhang et al., "Character-level Convolutional Networks for Text
  Classification", 2015, https://arxiv.org/abs/1509.01626, of A. Gulli's corpus.
  Licence: for any activity that is not commercial.
  """

  LABELS = 'World', 'Sports', 'Business', 'Sci/Tech'
  LICENSE = 'non-commercial'
  COUNTS = 120_000, 7_600
  WORDS = 20_000

  def texts(self, folder: str, split: str) -> Iterator[tuple[str, str]]:
    """See `LabelledTexts`."""
    path = os.path.join(folder, f'{split}.csv')
    with open(path, 'rb') as file:
      rows = csv.reader(
        (line for piece in lines(file, path) for line in io.StringIO(piece)),
        strict=True,
      )
      try:
        for row in rows:
          if len(row) != 3 or row[0] not in ('1', '2', '3', '4'):
            raise csv.Error(f'{len(row)} cells, the first {row[:1]}')
          text = f'{row[1]} {row[2]}'.replace('\\', ' ')  # one stands for a new line
          yield text, self.LABELS[int(row[0]) - 1]
      except csv.Error as e:
        raise DataError(
          f'{path}, row {rows.line_num}: {e}; expected three quoted cells, the first '
          'from 1 to 4'
        ) from e


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  unit: str = 'word',
  vocab_size: int = 20000,
  length: int = 64,
) -> Dataset:
  """Opens the reports.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    unit: see `labelled_texts.open_texts`, as for the next two.
    vocab_size: a model needs as many.
    length: the tokens of an example.

  Returns:
    A classification of tokens, int32 `[length]`, with their `lengths`.

  Raises:
    ValueError: an unknown `unit`, a `vocab_size` of 1 or 2, or a `length` below 1.
  """
  return open_texts('ag_news', AgNews, FILES, data_dir, unit, vocab_size, length)
