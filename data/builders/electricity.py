"""What 321 clients use of electricity, by the hour."""

import os

import numpy as np

from ..archives import members
from ..dataset import Dataset
from ..download import File
from ..series import Series, open_series, read_numbers

# No official source gives a size or a checksum; gzip has one of what is in it.
FILES = (
  File(
    'electricity.txt.gz',
    'https://raw.githubusercontent.com/laiguokun/multivariate-time-series-data/master/electricity/electricity.txt.gz',
    0,
    '',
    200_000_000,
  ),
)


class Electricity(Series):
  """The kWh of 321 clients in 26,304 hours, from 2012 to 2014.

  As Lai et al., "Modeling Long- and Short-Term Temporal Patterns with Deep Neural
  Networks" (LSTNet), 2018, https://arxiv.org/abs/1703.07015, prepared the UCI
  repository's "ElectricityLoadDiagrams20112014" by A. Trindade, whose licence is CC BY
  4.0: without 2011 and without the clients that were not there from 2012 on.
  """

  LICENSE = 'CC BY 4.0'
  COLUMNS = tuple(f'client{i}' for i in range(321))
  ROWS = 26_304

  def read(self, folder: str) -> tuple[list[str], np.ndarray]:
    """See `Series`."""
    (file,) = FILES
    path = os.path.join(folder, file.name)
    for _, content in members(path, file.unpacked):
      lines = (line.decode('latin-1').strip().split(',') for line in content)
      values = read_numbers(lines, path, 1)
    return [f'client{i}' for i in range(values.shape[1])], values


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  length: int = 168,
  horizon: int = 24,
) -> Dataset:
  """Opens the electricity.

  The first 60 % of the hours are 'train', the next 20 % 'validation' and the rest
  'test', as in LSTNet's paper. Each client has the mean 0 and the standard deviation 1
  over 'train'.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    length: hours in a window.
    horizon: hours that follow it.

  Returns:
    A forecasting of all clients; for the windows see `series.window_starts`.

  Raises:
    ValueError: `length` is less than 2 or `horizon` than 1, or a part has no window.
  """
  return open_series(
    'electricity',
    Electricity,
    FILES,
    data_dir,
    targets=(),
    every=1,
    bounds=(0.6, 0.8),
    length=length,
    horizon=horizon,
  )
