"""What normalises numbers, and how they become what they were."""

import dataclasses

import numpy as np


def mean_and_deviation(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns what to subtract from columns of numbers, and to divide them by then.

  Args:
    values: float64 `[rows, columns]`, NaN where one is missing.

  Returns:
    Their means, and their standard deviations or, where all rows are the same or there
    is none, 1; float64 `[columns]` both.

  >>> mean_and_deviation(np.array([[1.0, 5.0], [3.0, 5.0]]))
  (array([2., 5.]), array([1., 1.]))
  >>> mean_and_deviation(np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, np.nan]]))
  (array([2., 0.]), array([1., 1.]))
  """
  if not len(values):
    return np.zeros(values.shape[1]), np.ones(values.shape[1])
  there = np.ma.masked_invalid(values)
  varies = there.max(axis=0) > there.min(axis=0)  # rounding gives others a deviation
  deviation = np.where(
    np.ma.filled(varies, False), np.ma.filled(there.std(axis=0), 1), 1
  )
  return np.ma.filled(there.mean(axis=0), 0), deviation


@dataclasses.dataclass(frozen=True, eq=False)
class Units:
  """What the targets of a split's examples were normalised by.

  Attributes:
    mean: what was subtracted from the outputs of each series, float64
      `[series, outputs]`.
    deviation: what they were then divided by, likewise.
    series: of which series each example is, int `[examples]`.

  >>> units = Units(np.array([[20.0]]), np.array([[5.0]]), np.zeros(9, int))
  >>> units.restore(np.array([[[-1.0], [2.0]]]), np.array([8])).ravel()
  array([15., 30.])
  """

  mean: np.ndarray
  deviation: np.ndarray
  series: np.ndarray

  def restore(self, values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Returns numbers in the data's own units, float64.

    Args:
      values: normalised, `[examples, ..., outputs]`.
      positions: where these examples are in the split, int `[examples]`.
    """
    series = self.series[positions]
    rest = (1,) * (values.ndim - 2)
    shape = (len(series), *rest, self.mean.shape[1])
    mean, deviation = (x[series].reshape(shape) for x in (self.mean, self.deviation))
    return values * deviation + mean
