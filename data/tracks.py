"""A text in several tracks that are read side by side, window after window."""

import dataclasses

import numpy as np

from . import text


@dataclasses.dataclass(frozen=True)
class Tracks:
  """An order in which each batch goes on, row by row, where the one before it ended.

  The text is cut into `batch_size` tracks, one after the other, and a row reads its
  track from window to window. When they end, an epoch begins, in the same order. What
  is left over, less than a window a track and a step a row, is not read.

  Args:
    stream_length: how many positions the text has that a target follows.
    window: steps in a window.
    batch_size: how many tracks, over all processes.

  Raises:
    ValueError: a track has no whole window.

  >>> tracks = Tracks(stream_length=25, window=4, batch_size=2)
  >>> [tracks(start, start + 2).tolist() for start in (0, 2, 4, 6)]
  [[0, 12], [4, 16], [8, 20], [0, 12]]
  """

  stream_length: int
  window: int
  batch_size: int

  def __post_init__(self) -> None:
    if not self.windows:
      most = self.stream_length // self.window
      raise ValueError(
        f'batch_size is {self.batch_size}, but the text has only {most} windows of '
        f'{self.window} steps'
      )

  @property
  def windows(self) -> int:
    """How many a track has."""
    return self.stream_length // self.batch_size // self.window

  def __call__(self, start: int, stop: int) -> np.ndarray:
    """Returns where the windows drawn from `start` to `stop` begin, int64."""
    batch, row = np.divmod(np.arange(start, stop), self.batch_size)
    track = self.stream_length // self.batch_size
    return row * track + batch % self.windows * self.window

  def resets(self, batch: int, inputs: np.ndarray) -> np.ndarray:
    """Returns at which steps of a batch a text begins, bool `[rows, window]`.

    These are the starts of documents and, in an epoch's first batch, each row's own.
    """
    resets = inputs == text.START
    if batch % self.windows == 0:
      resets[:, 0] = True
    return resets
