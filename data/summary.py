"""What a dataset is, as small tables of text."""

import textwrap
from collections.abc import Sequence

import numpy as np

from .dataset import Dataset
from .synthetic.stream import ENDLESS

_WIDTH = 88
_MAX_CLASSES = 20
_SAMPLE = 256  # examples that values are taken from


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
    (split, 'endless' if len(source) == ENDLESS else f'{len(source):,}', 'examples')
    for split, source in dataset.splits.items()
  ]
  lines = [
    f'{dataset.name}: {what}',
    *textwrap.wrap(f'{many:,} {kind}: {shown}{more}', _WIDTH),
    *([f'license: {dataset.license}'] if dataset.license else []),
    aligned(rows, right=[1]),
  ]
  return '\n'.join(lines)


def arrays(dataset: Dataset) -> str:
  """Returns the arrays of an example: dtype, shape, and values in some examples."""
  source = dataset.splits['train']
  # Spread over all: a set may be in the order of its classes.
  indices = np.linspace(0, len(source) - 1, min(_SAMPLE, len(source))).astype(int)
  examples = [source[int(i)] for i in indices]
  rows: list[tuple[str, ...]]
  rows = [('array', 'dtype', 'shape', 'smallest', 'mean', 'largest')]
  for key in examples[0]:
    values = np.stack([example[key] for example in examples])
    numbers = (values.min(), values.mean(), values.max())
    shape = list(examples[0][key].shape)
    rows.append((key, str(values.dtype), str(shape), *(f'{x:.4g}' for x in numbers)))
  return aligned(rows, right=[3, 4, 5])
