"""A table of your own, whose numbers are to be foretold."""

import os
from collections.abc import Sequence

import numpy as np

from ..dataset import Dataset
from ..errors import DataError
from ..partition import check_fraction
from ..problems import Problems
from ..scaling import Units, mean_and_deviation
from ..tables import Table, read_table
from ..windows import SeriesWindows


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  path: str = '',
  columns: Sequence[str] = (),
  features: Sequence[str] = (),
  series: str = '',
  time: str = '',
  length: int = 96,
  horizon: int = 24,
  test_fraction: float = 0.2,
  normalise: bool = True,
  delimiter: str = ',',
  encoding: str = 'utf-8',
  on_bad: str = 'error',
) -> Dataset:
  """Opens a CSV or Parquet file with a row for each step of one or more series.

  The last steps are for testing: with `time`, those from one moment on, the same for
  all series, at which that share of the moments that occur is left; else that share of
  the rows of each series. No window has steps of both parts, and nothing of the test
  part is in the training part: what normalises a series is computed from its training
  rows. A row is taken for a step: gaps between times are not looked for.

  Args:
    data_dir: nothing is kept.
    path: the file; see `tables.read_table`.
    columns: what to foretell; () is all columns but those named below.
    features: further columns of numbers that a window shows, but that are not foretold.
    series: the column that says which series a row belongs to; '' is one series.
    time: the column by which rows are sorted: numbers, or dates and times as in
      ISO 8601. '' takes them as they come.
    length: steps in a window.
    horizon: steps that follow it.
    test_fraction: the share for testing.
    normalise: subtract from each series' columns their mean, and divide by their
      standard deviation (by 1 where it is 0), over its training rows.
    delimiter: what parts the cells of a CSV file.
    encoding: of a CSV file.
    on_bad: 'error'; or 'skip' to use no window that has a row with a cell that is
      missing or no number, and no series one of whose parts is shorter than a window
      and what follows it, and count both.

  Returns:
    A forecasting, with a window at each row where there is one. Its `units` say what
    normalised each series; of the test part `names` say at which row of the file a
    forecast begins.

  Raises:
    ValueError: an option can't be used.
    DataError: the file can't be. A row without a series or a time can't be skipped,
      since it isn't known whose steps it parts.
  """
  del data_dir
  check_fraction(test_fraction)
  if length < 2 or horizon < 1:
    raise ValueError(
      f'length is {length} and horizon {horizon}, but must be 2 or more and 1 or more'
    )
  problems = Problems(path, on_bad)
  table = read_table(path, problems, delimiter=delimiter, encoding=encoding)
  for option, name in [('series', series), ('time', time)]:
    table.check(option, [name] if name else [])
  columns = tuple(columns) or table.others((series, time, *features))
  names = (*columns, *features)
  table.check('columns', columns)
  table.check('features', features)
  used = [*names, *filter(None, (series, time))]
  if not columns or len(set(used)) < len(used):
    raise ValueError(
      f'columns are {columns}, features {tuple(features)}, series {series!r} and time '
      f'{time!r}, but must be different ones, and columns one or more'
    )

  values = table.matrix(names)
  for name, found in zip(names, values.T, strict=True):
    if np.isnan(found).all():
      raise DataError(
        f'{path}: column {name!r} has no numbers; give its name as `time` or `series` '
        'if that is what it has, or those of the others as `columns`'
      )
  bad = np.isnan(values).any(axis=1)
  for row in np.flatnonzero(bad).tolist():
    what = table.cell(row, names[int(np.argmax(np.isnan(values[row])))])
    problems.add(table.where(row), f'{what}; expected a number')
  times = table.times(time) if time else np.arange(len(table))
  groups, order = _in_order(table, series, time, times)
  values, bad, times = values[order], bad[order], times[order]
  test = _test_rows(times if time else None, groups, test_fraction)

  mean, deviation = (
    np.zeros((len(groups), len(names))),
    np.ones((len(groups), len(names))),
  )
  starts: dict[str, list[np.ndarray]] = {'train': [], 'test': []}
  for group, (name, rows) in enumerate(groups.items()):
    cut = rows.start + int(np.sum(~test[rows]))
    parts = {'train': slice(rows.start, cut), 'test': slice(cut, rows.stop)}
    sizes = {split: part.stop - part.start for split, part in parts.items()}
    if min(sizes.values()) < length + horizon:
      where = f'{path}, series {name!r}' if series else path
      problems.add(
        where,
        f'{sizes["train"]} rows to train and {sizes["test"]} to test; expected '
        f'{length + horizon} or more in both, a window of length {length} and its '
        f'horizon of {horizon}',
      )
      continue
    if normalise:
      train = values[parts['train']][~bad[parts['train']]]
      mean[group], deviation[group] = mean_and_deviation(train)
      values[rows] = (values[rows] - mean[group]) / deviation[group]
    for split, part in parts.items():
      starts[split].append(_starts(bad[part], length + horizon) + part.start)
  problems.report()
  found = {split: np.concatenate([*s, np.zeros(0, int)]) for split, s in starts.items()}
  for split, windows in found.items():
    if not len(windows):
      raise DataError(f'{path}: no window to {split} is free of bad rows')
  values = values.astype(np.float32)
  count, ends = len(columns), [rows.stop for rows in groups.values()]
  return Dataset(
    name='series_forecasting',
    task='forecasting',
    classes=columns,
    splits={
      split: SeriesWindows(values, windows, length, horizon, count)
      for split, windows in found.items()
    },
    names={
      'test': [table.where(row) for row in order[found['test'] + length].tolist()]
    },
    units={
      split: Units(
        mean[:, :count], deviation[:, :count], np.searchsorted(ends, windows, 'right')
      )
      for split, windows in found.items()
    },
  )


def _in_order(
  table: Table, series: str, time: str, times: np.ndarray
) -> tuple[dict[str, slice], np.ndarray]:
  """Returns where each series lies among the rows once sorted, and that order.

  Raises:
    DataError: a series has the same time twice.
  """
  ids = table.texts(series, required=True) if series else [''] * len(table)
  names, codes = np.unique(ids, return_inverse=True)
  order = np.lexsort((times, codes))
  same = (np.diff(codes[order]) == 0) & (np.diff(times[order]) == 0)
  for i in np.flatnonzero(same):
    first, again = order[i : i + 2].tolist()
    raise DataError(
      f'{table.where(again)}: {table.cell(again, time)}, as in {table.where(first)}; '
      'expected each time of a series once'
    )
  ends = np.cumsum(np.bincount(codes))
  groups = {
    str(name): slice(end - size, end)
    for name, end, size in zip(names, ends, np.bincount(codes), strict=True)
  }
  return groups, order


def _test_rows(
  times: np.ndarray | None, groups: dict[str, slice], test_fraction: float
) -> np.ndarray:
  """Returns which of the sorted rows are for testing, bool `[rows]`."""
  if times is not None:
    moments = np.unique(times)
    return times >= moments[-max(1, round(test_fraction * len(moments)))]
  test = np.zeros(max(rows.stop for rows in groups.values()), bool)
  for rows in groups.values():
    size = max(1, round(test_fraction * (rows.stop - rows.start)))
    test[rows.stop - size : rows.stop] = True
  return test


def _starts(bad: np.ndarray, steps: int) -> np.ndarray:
  """Returns where so many rows follow each other of which none is bad."""
  count = np.concatenate([[0], np.cumsum(bad)])
  return np.flatnonzero(count[steps:] == count[:-steps])
