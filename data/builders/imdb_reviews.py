"""Reviews of films, liked or not."""

import os
import re
from collections.abc import Iterator

from ..archives import members
from ..dataset import Dataset
from ..download import File
from ..errors import DataError
from ..labelled_texts import LabelledTexts, open_texts

# As tensorflow_datasets has it.
FILES = (
  File(
    'aclImdb_v1.tar.gz',
    'http://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz',
    84125825,
    'c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe',
    1_000_000_000,
  ),
)


class ImdbReviews(LabelledTexts):
  """25,000 reviews of films to train on and 25,000 to test, half of each negative.

  The 50,000 without a label are left out. Tags that break lines are read as spaces.

  Source: A. Maas et al., "Learning Word Vectors for Sentiment Analysis", 2011. It comes
  without a licence, and asks to be cited.
  """

  LABELS = 'neg', 'pos'
  LICENSE = 'None is named; its makers ask to be cited'
  COUNTS = 25_000, 25_000
  WORDS = 70_000

  def texts(self, folder: str, split: str) -> Iterator[tuple[str, str]]:
    """See `LabelledTexts`."""
    file = FILES[0]
    path = os.path.join(folder, file.name)
    for name, content in members(path, file.unpacked):
      if found := re.fullmatch(rf'aclImdb/{split}/(neg|pos)/\d+_\d+\.txt', name):
        try:
          text = content.read().decode()
        except UnicodeDecodeError as e:
          raise DataError(f'{path}: {name}: is no UTF-8 text: {e}') from e
        yield re.sub(r'<br\s*/?>', ' ', text), found[1]


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  unit: str = 'word',
  vocab_size: int = 20000,
  length: int = 256,
) -> Dataset:
  """Opens the reviews.

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
  return open_texts(
    'imdb_reviews', ImdbReviews, FILES, data_dir, unit, vocab_size, length
  )
