"""Wikipedia's first 100 MB, byte by byte."""

import os
from collections.abc import Iterator
from typing import ClassVar

from ..archives import opened
from ..corpus import Corpus, megabytes, nine_tenths, open_corpus
from ..dataset import Dataset
from ..download import File
from ..vocabulary import Vocabulary

# Size and checksum are those of Hugging Face's `datasets`.
FILES = (
  File(
    'enwik8.zip',
    'http://mattmahoney.net/dc/enwik8.zip',
    36445475,
    '547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc',
    100_000_000,
  ),
)


class Enwik8(Corpus):
  """100,000,000 bytes of English Wikipedia as XML, of which 205 are different.

  The first 90 million are 'train', the next 5 million 'validation' and the last 5
  million 'test', as Graves 2013 and all after him have it.

  Source: M. Mahoney, "Large Text Compression Benchmark", 2006. Licence: GFDL, that of
  Wikipedia then.
  """

  LICENSE = 'GNU Free Documentation License'
  SIZES: ClassVar = {'byte': (256, 90_000_000, 5_000_000, 5_000_000)}

  def vocabulary(self, folder: str) -> Vocabulary:
    """See `Corpus`."""
    return Vocabulary.fit([], 'byte')

  def pieces(self, folder: str, split: str) -> Iterator[bytes]:
    """See `Corpus`."""
    file = FILES[0]
    with opened(os.path.join(folder, file.name), file.unpacked, 'enwik8') as content:
      yield from megabytes(nine_tenths(content.read(), split))


def load(
  *, data_dir: str | os.PathLike[str] | None = None, length: int = 256
) -> Dataset:
  """Opens enwik8.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    length: bytes in a window, 2 or more.

  Returns:
    A language model's dataset of 256 bytes by their values; for the splits see
    `corpus.open_corpus`.

  Raises:
    ValueError: `length` is less than 2, or more than the training text has.
  """
  return open_corpus('enwik8', Enwik8, FILES, data_dir, length)
