"""The weather in Jena."""

import csv
import io
import os

import numpy as np

from ..archives import opened
from ..dataset import Dataset
from ..download import File
from ..errors import DataError
from ..series import Series, open_series, read_numbers

# The size is what TensorFlow's tutorial shows; no official source gives a checksum, but
# the archive has one of what is in it.
FILES = (
  File(
    'jena_climate_2009_2016.csv.zip',
    'https://storage.googleapis.com/tensorflow/tf-keras-datasets/jena_climate_2009_2016.csv.zip',
    13568290,
    '',
    100_000_000,
  ),
)
_MISSING = -9999.0  # of the wind's speed


class JenaClimate(Series):
  """14 quantities of the weather every 10 minutes from 2009 to 2016, 420,551 times.

  A speed of the wind that is missing, and noted as -9999, is 0, as in TensorFlow's
  tutorial.

  Source: the weather station of the Max Planck Institute for Biogeochemistry in Jena,
  as F. Chollet prepared it for "Deep Learning with Python", 2017. It comes without a
  licence.
  """

  LICENSE = 'None is named'
  COLUMNS = (
    'p (mbar)', 'T (degC)', 'Tpot (K)', 'Tdew (degC)', 'rh (%)', 'VPmax (mbar)',
    'VPact (mbar)', 'VPdef (mbar)', 'sh (g/kg)', 'H2OC (mmol/mol)', 'rho (g/m**3)',
    'wv (m/s)', 'max. wv (m/s)', 'wd (deg)',
  )  # fmt: skip
  ROWS = 420_551

  def read(self, folder: str) -> tuple[list[str], np.ndarray]:
    """See `Series`."""
    (file,) = FILES
    path = os.path.join(folder, file.name)
    name = file.name.removesuffix('.zip')
    with opened(path, file.unpacked, name) as content:
      rows = csv.reader(io.TextIOWrapper(content, 'utf-8', errors='backslashreplace'))
      time, *columns = next(rows, [''])
      if time != 'Date Time' or not columns:
        raise DataError(
          f'{path}: {name}, row 1: begins with {time!r}, but the first column should '
          "be 'Date Time'"
        )
      cells = (row[1:] for row in rows)
      values = read_numbers(cells, f'{path}: {name}', 2, len(columns))
    return columns, np.where(values == _MISSING, 0, values)


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  target: str = 'T (degC)',
  every: int = 6,
  length: int = 120,
  horizon: int = 12,
) -> Dataset:
  """Opens the weather.

  The first 70 % of the steps are 'train', the next 20 % 'validation' and the rest
  'test', as in TensorFlow's tutorial. Each column has the mean 0 and the standard
  deviation 1 over 'train'.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    target: the column to foretell, by default the temperature; it is the first of the
      14 features of a window.
    every: a step is so many times 10 minutes, by default an hour.
    length: steps in a window.
    horizon: steps that follow it.

  Returns:
    A forecasting of one number; for the windows see `series.window_starts`.

  Raises:
    ValueError: `target` is no column; `every` is less than 1, `length` than 2 or
      `horizon` than 1; or a part has no window.
  """
  return open_series(
    'jena_climate',
    JenaClimate,
    FILES,
    data_dir,
    targets=(target,),
    every=every,
    bounds=(0.7, 0.9),
    length=length,
    horizon=horizon,
  )
