"""A table of your own series, each with a label."""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from ..dataset import Dataset
from ..errors import DataError
from ..padding import padded
from ..partition import check_fraction, stratified
from ..problems import Problems
from ..scaling import mean_and_deviation
from ..tables import Table, read_table


@dataclasses.dataclass(frozen=True)
class _Series:
  """Where it begins in a table, its name, label and float64 `[steps, features]`."""

  where: str
  name: str
  label: str
  values: np.ndarray


class LabelledSeries:
  """Examples from series of several lengths, padded with 0 to that of the longest.

  Args:
    values: float32 `[steps, features]` each.
    labels: the class of each.
    length: steps that all are padded to.
    with_lengths: whether examples say how many of their steps are real.
  """

  def __init__(
    self,
    values: Sequence[np.ndarray],
    labels: Sequence[int],
    length: int,
    with_lengths: bool,
  ):
    self._values, self._labels = values, np.array(labels, np.int32)
    self._length, self._with_lengths = length, with_lengths

  def __len__(self) -> int:
    return len(self._values)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    values = self._values[index]
    return padded(values, self._labels[index], self._length, self._with_lengths)


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  path: str = '',
  test_path: str = '',
  label: str = 'label',
  columns: Sequence[str] = (),
  series: str = '',
  time: str = '',
  variable_length: bool = False,
  classes: Sequence[str] = (),
  test_fraction: float = 0.2,
  seed: int = 0,
  normalise: bool = True,
  delimiter: str = ',',
  encoding: str = 'utf-8',
  on_bad: str = 'error',
) -> Dataset:
  """Opens a CSV or Parquet file of series with a label each.

  Without `series` each row is one, its `columns` the values of one number step by
  step. With it, each row is a step, its `columns` the numbers of that step, and the
  rows of a series say its label all alike. Where series differ in length, examples have
  `lengths`, and are padded with 0.

  Which are for testing depends on the seed and, with `series`, on what that says, else
  on the number of the row; see `partition.stratified`. What normalises is computed from
  the training part.

  Args:
    data_dir: nothing is kept.
    path: the file; see `tables.read_table`.
    test_path: a file of the same columns that is the test split; '' takes it from
      `path`.
    label: the column of the labels.
    columns: those of the numbers; () is all columns but the other three.
    series: the column that says which series a row belongs to; '' is one a row.
    time: with `series`, the column by which its rows are sorted, as in
      `series_forecasting`; '' takes them as they come.
    variable_length: without `series`, cells that are missing at the end of a row are no
      steps of it; else they are bad.
    classes: the labels that there may be; () is those of `path`, sorted, as numbers if
      all are whole ones.
    test_fraction: the share for testing.
    seed: of the choice.
    normalise: subtract from each number its mean, and divide by its standard deviation
      (by 1 where it is 0), over all steps of the training part; without `series` all
      columns are one number.
    delimiter: what parts the cells of a CSV file.
    encoding: of a CSV file.
    on_bad: 'error'; or 'skip' to leave out, and count, series with a cell that is
      missing or no number, or another label than there may be.

  Returns:
    A classification of float32 `[steps, features]`. Its `names` are those of the series
    or, without `series`, their places in the file.

  Raises:
    ValueError: an option can't be used.
    DataError: a file can't be. A row without a series or a time can't be skipped.
  """
  del data_dir
  check_fraction(test_fraction)
  if time and not series:
    raise ValueError(f"time is {time!r}, but must be '' without series")
  if variable_length and series:
    raise ValueError(
      f'variable_length is True, but must be False with series {series!r}'
    )
  problems = Problems(path, on_bad)

  def read(
    file: str, columns: tuple[str, ...]
  ) -> tuple[list[_Series], tuple[str, ...]]:
    table = read_table(file, problems, delimiter=delimiter, encoding=encoding)
    table.check('label', [label])
    for option, name in [('series', series), ('time', time)]:
      table.check(option, [name] if name else [])
    columns = columns or table.others((label, series, time))
    table.check('columns', columns)
    if not columns:
      raise ValueError(f'columns is (), but {file} has none but the label and so on')
    if series:
      return _by_name(table, problems, label, columns, series, time), columns
    return _by_row(table, problems, label, columns, variable_length), columns

  train, columns = read(path, tuple(columns))
  names = tuple(map(str, classes)) or _sorted({one.label for one in train})
  train = _known(train, names, problems)
  if test_path:
    test = _known(read(test_path, columns)[0], names, problems)
  else:
    labels = [names.index(one.label) for one in train]
    chosen = stratified([one.name for one in train], labels, test_fraction, seed)
    test = [one for one, c in zip(train, chosen, strict=True) if c]
    train = [one for one, c in zip(train, chosen, strict=True) if not c]
  problems.report()
  if len(names) < 2 or not train or not test:
    raise DataError(
      f'{path}: {len(train)} series to train and {len(test)} to test, of '
      f'{len(names)} classes; expected 1, 1 and 2 or more'
    )
  mean, deviation = np.zeros(1), np.ones(1)
  if normalise:
    mean, deviation = mean_and_deviation(np.concatenate([s.values for s in train]))
  sizes = {len(one.values) for one in train + test}
  return Dataset(
    name='series_classification',
    task='classification',
    classes=names,
    splits={
      split: LabelledSeries(
        [((one.values - mean) / deviation).astype(np.float32) for one in found],
        [names.index(one.label) for one in found],
        max(sizes),
        len(sizes) > 1,
      )
      for split, found in [('train', train), ('test', test)]
    },
    names={
      split: [one.name if series else one.where for one in found]
      for split, found in [('train', train), ('test', test)]
    },
  )


def _by_row(
  table: Table,
  problems: Problems,
  label: str,
  columns: Sequence[str],
  variable_length: bool,
) -> list[_Series]:
  values = table.matrix(columns)
  missing = np.stack([table.missing(name) for name in columns], axis=1)
  sizes = np.full(len(table), len(columns))
  if variable_length:
    sizes -= np.argmin(np.pad(missing[:, ::-1], ((0, 0), (0, 1))), axis=1)
  labels = table.texts(label)
  found = []
  for row, (size, name) in enumerate(zip(sizes, labels, strict=True)):
    bad = np.flatnonzero(np.isnan(values[row, : max(size, 1)]))
    if not name:
      problems.add(table.where(row), f'{table.cell(row, label)}; expected a label')
    elif len(bad):
      what = table.cell(row, columns[bad[0]])
      problems.add(table.where(row), f'{what}; expected a number')
    else:
      steps = values[row, :size, None]
      found.append(_Series(table.where(row), str(row), name, steps))
  return found


def _by_name(
  table: Table,
  problems: Problems,
  label: str,
  columns: Sequence[str],
  series: str,
  time: str,
) -> list[_Series]:
  values, labels = table.matrix(columns), np.array(table.texts(label), object)
  times = table.times(time) if time else np.arange(len(table))
  names, first, codes = np.unique(
    table.texts(series, required=True), return_index=True, return_inverse=True
  )
  order = np.lexsort((times, codes))
  parts = np.split(order, np.cumsum(np.bincount(codes))[:-1])
  found = []
  for group in np.argsort(first):  # as they come in the file
    rows = parts[group]
    bad = rows[np.isnan(values[rows]).any(axis=1)]
    own = labels[rows[0]]
    other = rows[labels[rows] != own]
    if len(bad):
      row = bad[0]
      what = table.cell(row, columns[int(np.argmax(np.isnan(values[row])))])
      problems.add(table.where(row), f'{what}; expected a number')
    elif not own or len(other):
      row = other[0] if len(other) else rows[0]
      what = f'{table.cell(row, label)}; expected one label for series'
      problems.add(table.where(row), f'{what} {str(names[group])!r}')
    else:
      found.append(_Series(table.where(rows[0]), str(names[group]), own, values[rows]))
  return found


def _known(
  found: Sequence[_Series], classes: Sequence[str], problems: Problems
) -> list[_Series]:
  """Returns those whose label is a class."""
  good = []
  for one in found:
    if one.label in classes:
      good.append(one)
    else:
      few = ', '.join(classes[:10]) + (', ...' if len(classes) > 10 else '')
      problems.add(one.where, f'the label is {one.label!r}; expected one of {few}')
  return good


def _sorted(labels: set[str]) -> tuple[str, ...]:
  """Sorts labels, as numbers if they are.

  >>> _sorted({'10', '9', '-1'}), _sorted({'b', 'a', '9'})
  (('-1', '9', '10'), ('9', 'a', 'b'))
  """
  try:
    return tuple(sorted(labels, key=lambda label: (int(label), label)))
  except ValueError:
    return tuple(sorted(labels))
