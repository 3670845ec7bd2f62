"""What a dataset is, as small tables of text."""

import textwrap
from collections.abc import Sequence

from .dataset import Dataset, Example
from .synthetic.stream import ENDLESS

_WIDTH = 88
_MAX_CLASSES = 20


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
  """Returns rows as lines, their columns aligned.

  Args:
    rows: the cells, as many in each.
    right: the columns that end in line; the others begin so.

  >>> print(aligned([('a', '1,000'), ('long', '7')], right=[1]))
  a     1,000
  long      7
  """
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  return '\n'.join(
    '  '.join(
      cell.rjust(width) if i in right else cell.ljust(width)
      for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ).rstrip()
    for row in rows
  )


def summary(dataset: Dataset) -> str:
  """Returns what a dataset is for, its classes, its license and its splits."""
  what = dataset.task.replace('_', ' ')
  many = len(dataset.classes)
  shown = ', '.join(
    name if name.isprintable() and name.strip() else repr(name)
    for name in dataset.classes[:_MAX_CLASSES]
  )
  more = f', and {many - _MAX_CLASSES:,} more' if many > _MAX_CLASSES else ''
  kind = {
    'language_model': 'tokens',
    'regression': 'outputs',
    'forecasting': 'outputs',
  }.get(dataset.task, 'classes')
  rows = [
    (
      split,
      'endless' if len(source) == ENDLESS else f'{len(source):,}',
      getattr(source, 'unit', 'examples'),
    )
    for split, source in dataset.splits.items()
  ]
  lines = [
    f'{dataset.name}: {what}',
    *textwrap.wrap(f'{many:,} {kind}: {shown}{more}', _WIDTH),
    *([f'license: {dataset.license}'] if dataset.license else []),
    aligned(rows, right=[1]),
  ]
  return '\n'.join(lines)


def arrays(batch: Example) -> str:
  """Returns the arrays of a batch's examples: dtype, shape, and their values."""
  rows: list[tuple[str, ...]]
  rows = [('array', 'dtype', 'shape', 'smallest', 'mean', 'largest')]
  for key, values in batch.items():
    if key != 'index':
      numbers = (float(x) for x in (values.min(), values.mean(), values.max()))
      shape = str(list(values.shape[1:]))
      rows.append((key, str(values.dtype), shape, *(f'{x:.4g}' for x in numbers)))
  return aligned(rows, right=[3, 4, 5])
