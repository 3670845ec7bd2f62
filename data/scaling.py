"""What normalises numbers."""

import numpy as np


def mean_and_deviation(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns what to subtract from columns of numbers, and to divide them by then.

  Args:
    values: float64 `[rows, columns]`.

  Returns:
    Their means, and their standard deviations or, where all rows are the same or there
    is none, 1; float64 `[columns]` both.

  >>> mean_and_deviation(np.array([[1.0, 5.0], [3.0, 5.0]]))
  (array([2., 5.]), array([1., 1.]))
  """
  if not len(values):
    return np.zeros(values.shape[1]), np.ones(values.shape[1])
  varies = values.max(axis=0) > values.min(axis=0)  # rounding gives others a deviation
  return values.mean(axis=0), np.where(varies, values.std(axis=0), 1)
