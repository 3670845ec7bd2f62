"""The .ts files of the UCR and UEA archives."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from .errors import DataError


@dataclasses.dataclass(frozen=True)
class TsFile:
  """What a .ts file holds.

  Attributes:
    classes: the labels that the header announces.
    series: each float32 `[time, channels]`, with NaN where a value is missing.
    labels: the position in `classes` of each one's.
  """

  classes: tuple[str, ...]
  series: list[np.ndarray]
  labels: list[int]


def read_ts(lines: Iterable[str], path: str) -> TsFile:
  """Reads a .ts file of labelled series, as sktime and aeon specify it.

  Comments begin with # or %, and the header's lines with @; of these, `@classLabel`
  must be `true` with the labels, `@timeStamps` not `true`, `@equalLength` is kept, and
  what the others say is seen in the data. After `@data` a series is a line: its
  channels, separated by a colon, and its label. Values are separated by commas; one
  that is missing is ? or NaN.

  Args:
    lines: the file's.
    path: its name, for messages.

  Raises:
    DataError: the file is not that: which row, and why.

  >>> found = read_ts(
  ...   ['@classLabel true cat dog', '@data', '1,2,?:4,5,6:dog'], 'pets.ts'
  ... )
  >>> found.series[0].tolist(), found.labels
  ([[1.0, 4.0], [2.0, 5.0], [nan, 6.0]], [1])
  """
  header: dict[str, list[str]] = {}
  series: list[np.ndarray] = []
  labels: list[int] = []
  classes: tuple[str, ...] = ()
  equal_length = False
  for row, line in enumerate(map(str.strip, lines), 1):
    if not line or line.startswith(('#', '%')):
      continue
    try:
      if 'data' in header:
        values, label = _case(line, classes)
        if series:
          _check_like(values, series[0], equal_length)
        series.append(values)
        labels.append(label)
      else:
        tag, *words = line.split()
        if not tag.startswith('@'):
          raise ValueError(f'{line[:20]!r} comes before @data')
        header[tag[1:].lower()] = words
        if tag.lower() == '@data':
          classes = _classes(header)
          equal_length = _first(header, 'equallength') == 'true'
    except ValueError as e:
      raise DataError(f'{path}, row {row}: {e}') from None
  if not series:
    raise DataError(f'{path}: has no series after @data')
  return TsFile(classes, series, labels)


def _classes(header: dict[str, list[str]]) -> tuple[str, ...]:
  if _first(header, 'timestamps') == 'true':
    raise ValueError('series with time stamps are not read')
  classes = header.get('classlabel', [])[1:]
  if _first(header, 'classlabel') != 'true' or not classes:
    raise ValueError('no @classLabel true with labels before @data: no classification')
  return tuple(classes)


def _first(header: dict[str, list[str]], tag: str) -> str:
  return ''.join(header.get(tag, [])[:1]).lower()


def _case(line: str, classes: tuple[str, ...]) -> tuple[np.ndarray, int]:
  *channels, label = line.split(':')
  if label.strip() not in classes:
    raise ValueError(
      f'the label is {label.strip()[:20]!r}, but must be one of {", ".join(classes)}'
    )
  if not channels:
    raise ValueError('a label without a series')
  values = [np.array(c.replace('?', 'nan').split(','), np.float32) for c in channels]
  lengths = {len(v) for v in values}
  if len(lengths) > 1:
    raise ValueError(f'channels of {sorted(lengths)} values, but must be as long')
  if np.isinf(values).any():
    raise ValueError('a value is infinite')
  return np.stack(values, axis=1), classes.index(label.strip())


def _check_like(values: np.ndarray, first: np.ndarray, equal_length: bool) -> None:
  if values.shape[1] != first.shape[1]:
    raise ValueError(f'{values.shape[1]} channels, but the first has {first.shape[1]}')
  if equal_length and len(values) != len(first):
    raise ValueError(
      f'{len(values)} values, but the first has {len(first)} and @equalLength is true'
    )
