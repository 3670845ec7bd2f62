"""The Mackey-Glass series, a published benchmark of forecasting."""

import os

import numpy as np

from ..dataset import Dataset
from ..windows import SeriesWindows

_TRAIN, _TEST = 4000, 1000


def series(steps: int) -> np.ndarray:
  r"""Integrates the equation, a value a unit of time.

  .. math:: \dot x(t) = \frac{0.2 \, x(t - 17)}{1 + x(t - 17)^{10}} - 0.1 \, x(t)

  Mackey and Glass 1977, with the delay of 17 at which the series is chaotic; by the
  fourth-order Runge-Kutta method in steps of 0.1, with the delayed value between two
  steps interpolated linearly, from 1.2 and the 1,000 units before the first left out.

  Args:
    steps: how many values.

  Returns:
    float64 `[steps]`.
  """
  skip, inner, h = 1000, 10, 0.1
  delay = 17 * inner
  x = np.zeros(delay + 1 + (skip + steps) * inner)
  x[: delay + 1] = 1.2

  def slope(value: float, delayed: float) -> float:
    return 0.2 * delayed / (1 + delayed**10) - 0.1 * value

  for i in range(delay, len(x) - 1):
    now, first, last = float(x[i]), float(x[i - delay]), float(x[i - delay + 1])
    middle = (first + last) / 2
    k1 = slope(now, first)
    k2 = slope(now + h / 2 * k1, middle)
    k3 = slope(now + h / 2 * k2, middle)
    k4 = slope(now + h * k3, last)
    x[i + 1] = now + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
  return x[delay + 1 + skip * inner :: inner]


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  length: int = 64,
  horizon: int = 32,
) -> Dataset:
  """Computes the series: 4,000 values for training, the 1,000 after them to test.

  Args:
    data_dir: nothing is kept.
    length: steps in a window.
    horizon: steps that follow it.

  Returns:
    A forecasting of one number, less 0.93, about its mean.

  Raises:
    ValueError: `length` is less than 2 or `horizon` than 1, or together they exceed the
      test's values.
  """
  del data_dir
  if length < 2 or horizon < 1 or length + horizon > _TEST:
    raise ValueError(
      f'length is {length} and horizon {horizon}, but must be 2 or more, 1 or more and '
      f'together up to {_TEST}'
    )
  values = (series(_TRAIN + _TEST)[:, None] - 0.93).astype(np.float32)
  steps = length + horizon
  return Dataset(
    name='mackey_glass',
    task='forecasting',
    classes=('x',),
    splits={
      split: SeriesWindows(values, range(first, end - steps + 1), length, horizon, 1)
      for split, first, end in [
        ('train', 0, _TRAIN),
        ('test', _TRAIN, _TRAIN + _TEST),
      ]
    },
  )
