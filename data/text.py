"""Documents as windows of tokens."""

from collections.abc import Sequence

import numpy as np

START = 0  # the token before each document


class StreamWindows:
  """Every window of a stream, for training.

  The stream is each document preceded by `START`. Example i is the window that
  begins at position i, wherever that is: `inputs = stream[i : i + length]`, and
  `targets` the same one position on. A target that is `START` has weight 0, since
  nothing foretells where a document ends.

  Args:
    documents: integers `[tokens]` each, without `START`.
    length: positions in a window; an attribute, too.

  Raises:
    ValueError: the stream has no window of that length.
  """

  def __init__(self, documents: Sequence[np.ndarray], length: int):
    # In the documents' own dtype, which for 100 MB of bytes is a quarter of int32.
    # At once: of 100 million words each copy is 0.4 GB.
    starts = [np.array([START], ids.dtype) for ids in documents]
    pieces = zip(starts, documents, strict=True)
    self._stream = np.concatenate([part for pair in pieces for part in pair])
    self.length = length
    if not 1 <= length < len(self._stream):
      raise ValueError(
        f'length is {length}, but must be from 1 to {len(self._stream) - 1}, the '
        'targets in the training text'
      )

  def __len__(self) -> int:
    return len(self._stream) - self.length

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    start = range(len(self))[index]
    return _example(self._stream[start : start + self.length + 1])

  def get_batch(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the windows at `indices [batch]`, stacked."""
    return _example(self._stream[indices[:, None] + np.arange(self.length + 1)])


class DocumentWindows:
  """Each document cut into windows that count every token once, for testing.

  Windows advance by `length // 2`. A document's first window counts all its
  targets; the later ones give weight 0 to those that the window before them has
  counted, and which are the context of the rest. The last window is padded with
  weight 0. So a token is predicted from at least `length // 2` tokens
  before it, or from all that its document has.

  Args:
    documents: integers `[tokens]` each, without `START`.
    length: positions in a window, 2 or more.

  Raises:
    ValueError: `length` is less than 2.
  """

  def __init__(self, documents: Sequence[np.ndarray], length: int):
    if length < 2:
      raise ValueError(f'length is {length}, but must be 2 or more')
    self._length = length
    self._stride = length // 2
    self._windows = [
      (document, start)
      for document in map(_started, documents)
      # While the window before this one, if any, ends short of the document.
      for start in range(
        0, max(1, len(document) - 1 - length + self._stride), self._stride
      )
    ]

  def __len__(self) -> int:
    return len(self._windows)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    document, start = self._windows[index]
    window = document[start : start + self._length + 1]
    padding = self._length + 1 - len(window)
    example = _example(np.pad(window, (0, padding), constant_values=START))
    if start:
      example['weights'][: self._length - self._stride] = 0
    return example


def _started(ids: np.ndarray) -> np.ndarray:
  return np.concatenate([np.array([START], ids.dtype), ids])


def _example(window: np.ndarray) -> dict[str, np.ndarray]:
  """Splits `[..., length + 1]` tokens into inputs and targets; counts no `START`."""
  window = window.astype(np.int32)
  targets = window[..., 1:]
  return {
    'inputs': window[..., :-1],
    'targets': targets,
    'weights': (targets != START).astype(np.float32),
  }
