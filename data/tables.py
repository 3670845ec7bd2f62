"""CSV and Parquet files as columns, and where in them what is wrong."""

import contextlib
import csv
import dataclasses
import io
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from .errors import DataError
from .problems import Problems
from .text_encoding import decode_text

_TIME = 'expected a number or a time as 2000-12-31 23:59:59, as in the rows above'
_PARQUET = ('.parquet', '.pq')
_TIMES = [pa.int64(), pa.float64(), pa.timestamp('us'), pa.timestamp('us', 'UTC')]
_NUMBER = r'^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$'


@dataclasses.dataclass(frozen=True)
class Table:
  """Named columns, all of one length.

  Attributes:
    path: the file.
    columns: them. Of a CSV file all are strings.
  """

  path: str
  columns: pa.Table

  def __len__(self) -> int:
    return self.columns.num_rows

  def where(self, row: int) -> str:
    """Says where a row is: its line in a CSV file, its number from 1 in Parquet."""
    if self.path.endswith(_PARQUET):
      return f'{self.path}, row {row + 1}'
    return f'{self.path}, line {row + 2}'

  def others(self, names: Iterable[str]) -> tuple[str, ...]:
    """Returns the names of all columns but some."""
    return tuple(n for n in self.columns.column_names if n not in set(names))

  def check(self, option: str, names: Iterable[str]) -> None:
    """Raises a ValueError unless all these names, of an option, are columns."""
    for name in names:
      if name not in self.columns.column_names:
        raise ValueError(
          f'{option} is {name!r}, but {self.path} has the columns '
          f'{", ".join(self.columns.column_names)}'
        )

  def numbers(self, name: str) -> np.ndarray:
    """Returns a column as float64 `[rows]`; what is no finite number is NaN."""
    column = self.columns[name]
    if pa.types.is_string(column.type):
      number = pc.match_substring_regex(column, _NUMBER)
      column = pc.if_else(number, column, pa.scalar(None, pa.string()))
    try:
      values = column.cast(pa.float64(), safe=False)
    except pa.ArrowException as e:
      raise DataError(
        f'{self.path}: column {name!r} is {column.type}; expected numbers'
      ) from e
    found = values.to_numpy()
    return np.where(np.isfinite(found), found, np.nan)

  def matrix(self, names: Iterable[str]) -> np.ndarray:
    """Returns columns of numbers as float64 `[rows, columns]`."""
    return np.stack([self.numbers(name) for name in names], axis=1)

  def missing(self, name: str) -> np.ndarray:
    """Returns where a column has nothing, bool `[rows]`."""
    column = self.columns[name]
    nothing = pc.is_null(column, nan_is_null=True)
    if pa.types.is_string(column.type):
      nothing = pc.or_(nothing, pc.equal(pc.fill_null(column, ''), ''))
    return nothing.to_numpy()

  def texts(self, name: str, required: bool = False) -> list[str]:
    """Returns a column as text, with '' for what is missing.

    Raises:
      DataError: a cell is missing and `required`.
    """
    for row in np.flatnonzero(self.missing(name) & required).tolist():
      raise DataError(f'{self.where(row)}: {self.cell(row, name)}')
    return pc.fill_null(self.columns[name].cast(pa.string()), '').to_pylist()

  def times(self, name: str) -> np.ndarray:
    """Returns a column as numbers in the order of time, `[rows]`.

    Numbers, or dates and times as in ISO 8601, all with a zone or none.

    Raises:
      DataError: a cell is missing, or something else.
    """
    column = self.columns[name]
    for row in np.flatnonzero(self.missing(name)).tolist():
      raise DataError(f'{self.where(row)}: {self.cell(row, name)}')
    kinds = _TIMES if pa.types.is_string(column.type) else [column.type]
    for kind in kinds:
      with contextlib.suppress(pa.ArrowException):
        found = column.cast(kind)
        if pa.types.is_date(kind):
          found = found.cast(pa.timestamp('us'))
        if pa.types.is_temporal(kind):
          found = found.cast(pa.int64())
        times = found.to_numpy()
        for row in np.flatnonzero(~np.isfinite(times)).tolist():
          raise DataError(f'{self.where(row)}: {self.cell(row, name)}; {_TIME}')
        return times
    for row, cell in enumerate(column):
      kinds = [kind for kind in kinds if _casts(cell, kind)]
      if not kinds:
        raise DataError(f'{self.where(row)}: {self.cell(row, name)}; {_TIME}')
    raise DataError(f'{self.path}: column {name!r} is {column.type}; expected times')

  def cell(self, row: int, name: str) -> str:
    """Says what a cell holds."""
    value = self.columns[name][row].as_py()
    nothing = value is None or value == '' or value != value
    return f'column {name!r} is {"empty" if nothing else repr(value)}'


def read_table(
  path: str, problems: Problems, *, delimiter: str = ',', encoding: str = 'utf-8'
) -> Table:
  """Reads a table.

  Args:
    path: a Parquet file if it ends in .parquet or .pq, else CSV: its first line names
      the columns, and each other one is a row.
    problems: told of rows of CSV with too many cells or too few. If it goes on, these
      rows are there with all cells missing.
    delimiter: what parts the cells of CSV.
    encoding: of CSV.

  Raises:
    ValueError: an option can't be used.
    DataError: the file can't be.
  """
  if not path:
    raise ValueError("path is '', but must be a .csv or .parquet file")
  try:
    if path.endswith(_PARQUET):
      columns = _plain(pa.parquet.read_table(path))
    else:
      with open(path, 'rb') as f:
        text = decode_text(f.read(), path, encoding)
      columns = _read_csv(text, path, problems, delimiter)
  except (pa.ArrowException, OSError) as e:
    what = getattr(e, 'strerror', None) or ' '.join(str(e).split())
    raise DataError(f'{path}: can not be read: {what}') from e
  names = columns.column_names
  if twice := sorted({name for name in names if names.count(name) > 1}):
    raise DataError(f'{path}: it has two columns {twice[0]!r}; expected one of a name')
  if not columns.num_rows:
    raise DataError(f'{path}: it has no rows')
  return Table(path, columns)


def _read_csv(text: str, path: str, problems: Problems, delimiter: str) -> pa.Table:
  if len(delimiter) != 1:
    raise ValueError(f'delimiter is {delimiter!r}, but must be one character')
  text = text.rstrip('\r\n') + '\n'
  names = next(csv.reader([text.partition('\n')[0]], delimiter=delimiter), [])
  ragged: list[Any] = []

  def note(row: Any) -> str:
    ragged.append(row)
    return 'skip'

  columns = pa.csv.read_csv(
    io.BytesIO(text.encode()),
    pa.csv.ReadOptions(use_threads=False),  # with threads rows have no numbers
    pa.csv.ParseOptions(
      delimiter=delimiter, invalid_row_handler=note, ignore_empty_lines=False
    ),
    pa.csv.ConvertOptions(column_types={name: pa.string() for name in names}),
  )
  nothing = pa.table({name: pa.nulls(1, pa.string()) for name in columns.column_names})
  for row in ragged:
    problems.add(
      f'{path}, line {row.number}',
      f'{row.actual_columns} cells; expected {row.expected_columns}, parted by '
      f'{delimiter!r}',
    )
    at = row.number - 2  # the header is line 1
    columns = pa.concat_tables([columns.slice(0, at), nothing, columns.slice(at)])
  return columns


def _plain(columns: pa.Table) -> pa.Table:
  """Makes all kinds of strings one."""
  for i, field in enumerate(columns.schema):
    kind = field.type
    if pa.types.is_dictionary(kind):
      kind = kind.value_type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
      kind = pa.string()
    columns = columns.set_column(i, field.name, columns[i].cast(kind))
  return columns


def _casts(cell: pa.Scalar, kind: pa.DataType) -> bool:
  try:
    cell.cast(kind)
  except pa.ArrowException:
    return False
  return True
