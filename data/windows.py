"""Windows of series, and the steps that follow each."""

from collections.abc import Sequence

import numpy as np


class SeriesWindows:
  """Windows of one or more series, and the steps that follow each.

  Args:
    values: float32 `[rows, features]`, of which the first `num_targets` are foretold.
    starts: the rows at which windows begin: a range, or int64 `[windows]`.
    length: steps in a window.
    horizon: steps that follow it.
    num_targets: how many numbers are foretold.

  >>> windows = SeriesWindows(
  ...   np.arange(6, dtype=np.float32)[:, None], range(2, 4), 2, 1, 1
  ... )
  >>> len(windows), windows[0]['inputs'].ravel(), windows[0]['targets'].ravel()
  (2, array([2., 3.], dtype=float32), array([4.], dtype=float32))
  """

  def __init__(
    self,
    values: np.ndarray,
    starts: Sequence[int] | np.ndarray,
    length: int,
    horizon: int,
    num_targets: int,
  ):
    self._values, self._starts = values, np.asarray(starts, np.int64)
    self._length, self._horizon, self._num_targets = length, horizon, num_targets
    self.unit = f'windows of {length} steps, with the {horizon} that follow'

  def __len__(self) -> int:
    return len(self._starts)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    start = self._starts[index]
    end = start + self._length
    return {
      'inputs': self._values[start:end],
      'targets': self._values[end : end + self._horizon, : self._num_targets],
      'weights': np.ones(self._horizon, np.float32),
    }

  def get_batch(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the windows at `indices [batch]`, stacked."""
    starts = self._starts[indices][:, None]
    after = starts + np.arange(self._length, self._length + self._horizon)
    return {
      'inputs': self._values[starts + np.arange(self._length)],
      'targets': self._values[after][..., : self._num_targets],
      'weights': np.ones((len(indices), self._horizon), np.float32),
    }
