"""A table of numbers over time, kept whole and split by time into windows."""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from .dataset import Dataset
from .declared import Declared
from .download import File
from .errors import DataError
from .prepared import open_splits
from .scaling import Units, mean_and_deviation
from .windows import SeriesWindows

_ROWS = 4096  # of a record


class Series(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
  """Numbers over time; a subclass reads them.

  The one split, 'steps', has records of some rows each, in order. The metadata hold the
  names of the 'columns'.

  Attributes:
    LICENSE: the numbers'.
    COLUMNS: the names of the columns, and
    ROWS: how many rows there are, as they are published.
  """

  VERSION = tfds.core.Version('1.0.0')
  LICENSE: ClassVar[str] = ''
  COLUMNS: ClassVar[Sequence[str]]
  ROWS: ClassVar[int]

  def __init_subclass__(cls, **kwargs: Any) -> None:
    """Keeps subclasses too out of TFDS's registry."""
    super().__init_subclass__(skip_registration=True, **kwargs)

  def read(self, folder: str) -> tuple[list[str], np.ndarray]:
    """Returns the names of the columns, and float32 `[time, columns]`."""
    raise NotImplementedError

  def declare(self) -> Declared:
    """Returns the split as it is published, and fills in the metadata."""
    self.info.metadata.update(columns=list(self.COLUMNS))
    zero = np.zeros((), np.float32)
    shape = self.ROWS, len(self.COLUMNS)
    return {'steps': (1, {'values': np.broadcast_to(zero, shape)})}

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description=type(self).__doc__,
      license=self.LICENSE,
      features=tfds.features.FeaturesDict(
        {
          'values': tfds.features.Tensor(
            shape=(None, None),
            dtype=np.float32,
            encoding=tfds.features.Encoding.BYTES,
          )
        }
      ),
      metadata=tfds.core.MetadataDict(),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    columns, values = self.read(os.fspath(dl_manager.manual_dir))
    self.info.metadata.update(columns=columns)
    return {'steps': self._generate_examples(values)}

  def _generate_examples(
    self, values: np.ndarray
  ) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    for start in range(0, len(values), _ROWS):
      yield start, {'values': values[start : start + _ROWS]}


def read_numbers(
  rows: Iterable[Sequence[str]], path: str, first: int, columns: int = 0
) -> np.ndarray:
  """Returns rows of numbers as float32 `[rows, columns]`.

  Args:
    rows: their cells.
    path: the file's name, for messages.
    first: what the file calls the first of them, for messages.
    columns: how many numbers a row has; 0 is as many as the first.

  Raises:
    DataError: a cell is no finite number, or a row has more or fewer.

  >>> read_numbers([['1', '2.5']], 'a.csv', 1)
  array([[1. , 2.5]], dtype=float32)
  """
  found: list[np.ndarray] = []
  for row, cells in enumerate(rows, first):
    try:
      values = np.array(cells, np.float32)
    except ValueError as e:
      raise DataError(f'{path}, row {row}: {e}') from None
    if not np.isfinite(values).all():
      raise DataError(f'{path}, row {row}: {cells} has one that is not finite')
    columns = columns or len(values)
    if len(values) != columns:
      raise DataError(
        f'{path}, row {row}: {len(values)} numbers, but expected {columns}'
      )
    found.append(values)
  if not found:
    raise DataError(f'{path}: has no rows of numbers')
  return np.stack(found)


def window_starts(part: tuple[int, int], length: int, horizon: int) -> range:
  """Returns where windows begin whose next steps are of a part of a series.

  A window reaches back before the part, where there is something.

  Args:
    part: the part's first step, and the one after its last.
    length: steps in a window.
    horizon: steps that follow it.

  Raises:
    ValueError: the part has no window.

  >>> window_starts((10, 15), length=4, horizon=2)
  range(6, 10)
  """
  starts = range(max(0, part[0] - length), part[1] - length - horizon + 1)
  if not starts:
    raise ValueError(
      f'length is {length} and horizon {horizon}, but the steps from {part[0]} to '
      f'{part[1]} have no such window'
    )
  return starts


def open_series(
  name: str,
  builder_class: Any,
  files: Sequence[File],
  data_dir: str | os.PathLike[str] | None,
  *,
  targets: Sequence[str],
  every: int,
  bounds: tuple[float, float],
  length: int,
  horizon: int,
) -> Dataset:
  """Opens a series as a dataset for forecasting.

  Each column has the mean 0 and the standard deviation 1 over the steps to train on.

  Args:
    name: the dataset's.
    builder_class: a `Series`.
    files: what it is made of.
    data_dir: where prepared sets are kept; None is TFDS's own default.
    targets: the columns to foretell; () is all.
    every: of so many rows the last is a step.
    bounds: the shares of all steps after which 'train' ends, and then 'validation';
      the rest is 'test'.
    length: steps in a window.
    horizon: steps that follow it.

  Raises:
    ValueError: `every` is less than 1, `length` than 2 or `horizon` than 1; a part has
      no window; or a target is no column.
    DataError: see `open_splits`.
  """
  if every < 1 or length < 2 or horizon < 1:
    raise ValueError(
      f'every is {every}, length {length} and horizon {horizon}, but must be 1, 2 and '
      '1 or more'
    )
  info, records = open_splits(builder_class, data_dir, files)
  columns = tuple(info.metadata['columns'])
  targets = tuple(targets) or columns
  if unknown := [target for target in targets if target not in columns]:
    raise ValueError(f'target is {unknown[0]!r}, but must be one of {columns}')
  order = [*map(columns.index, targets)]
  order += [i for i in range(len(columns)) if i not in order]
  values = np.concatenate([record['values'] for record in records['steps']])
  values = values[every - 1 :: every, order].astype(np.float64)
  first, second = (int(len(values) * bound) for bound in bounds)
  mean, deviation = mean_and_deviation(values[:first])
  values = ((values - mean) / deviation).astype(np.float32)
  parts = {
    'train': (0, first),
    'validation': (first, second),
    'test': (second, len(values)),
  }
  starts = {split: window_starts(p, length, horizon) for split, p in parts.items()}
  count = len(targets)
  return Dataset(
    name=name,
    task='forecasting',
    classes=targets,
    splits={
      k: SeriesWindows(values, s, length, horizon, count) for k, s in starts.items()
    },
    units={
      k: Units(mean[None, :count], deviation[None, :count], np.zeros(len(s), int))
      for k, s in starts.items()
    },
    license=info.redistribution_info.license or '',
  )
