"""Wikipedia's first 100 MB in 27 characters."""

import os
import string
from collections.abc import Iterator
from typing import ClassVar

from ..archives import opened
from ..corpus import Corpus, megabytes, nine_tenths, open_corpus
from ..dataset import Dataset
from ..declared import Declared
from ..download import File
from ..vocabulary import Vocabulary

# The size is that in TensorFlow's word2vec tutorial; nobody gives a checksum, but the
# archive has one of what is in it.
FILES = (
  File('text8.zip', 'http://mattmahoney.net/dc/text8.zip', 31344016, '', 100_000_000),
)


class Text8(Corpus):
  """100,000,000 characters of English: a to z and space.

  The first 90 million are 'train', the next 5 million 'validation' and the last 5
  million 'test', as Mikolov et al. 2012 and all after them have it.

  Source: M. Mahoney, "About the test data", 2006, of Wikipedia's articles of 3 March
  2006. Licence: GFDL, that of Wikipedia then.
  """

  LICENSE = 'GNU Free Documentation License'
  SIZES: ClassVar = {'char': (28, 90_000_000, 5_000_000, 5_000_000)}

  def vocabulary(self, folder: str) -> Vocabulary:
    """See `Corpus`."""
    return Vocabulary(('\x00', ' ', *string.ascii_lowercase))

  def declare(self) -> Declared:
    """See `Corpus`; its tokens are known."""
    splits = super().declare()
    self.info.metadata.update(tokens=list(self.vocabulary('').tokens))
    return splits

  def pieces(self, folder: str, split: str) -> Iterator[str]:
    """See `Corpus`."""
    file = FILES[0]
    with opened(os.path.join(folder, file.name), file.unpacked, 'text8') as content:
      for piece in megabytes(nine_tenths(content.read(), split)):
        yield piece.decode('latin-1')  # what is no ASCII is outside of the alphabet


def load(
  *, data_dir: str | os.PathLike[str] | None = None, length: int = 256
) -> Dataset:
  """Opens text8.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    length: characters in a window, 2 or more.

  Returns:
    A language model's dataset; for the splits see `corpus.open_corpus`.

  Raises:
    ValueError: `length` is less than 2, or more than the training text has.
  """
  return open_corpus('text8', Text8, FILES, data_dir, length)
