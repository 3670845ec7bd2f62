"""How arrays hold blocks of numbers: what every weight map is made of.

Two libraries keep the same numbers in arrays of different names, orders and axes. A
`Layout` says of each array which blocks it holds. Two layouts of the same blocks are
a map in both directions: take one library's arrays apart, put the other's together.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np


class Packed(NamedTuple):
  """What one array holds.

  Attributes:
    blocks: names of blocks, side by side on the last axis and of equal size; rows of
      them that are stacked on a new first axis are parted by `|`.
    axes: the array's axes are these of the blocks', as in `numpy.transpose`.
    note: what to add to the error when the array's shape is another.
    prefix: what the names begin with.
  """

  blocks: str
  axes: tuple[int, ...] | None = None
  note: str = ''
  prefix: str = ''

  @property
  def rows(self) -> list[list[str]]:
    """The names, by row."""
    return [[self.prefix + b for b in r.split()] for r in self.blocks.split('|')]


Layout: TypeAlias = Mapping[str, Packed]


def convert(
  arrays: Mapping[str, np.ndarray], source: Layout, target: Layout
) -> dict[str, np.ndarray]:
  """Arranges the numbers of `arrays`, laid out as `source`, as `target`.

  A block that lies in several places of a layout is the sum of what is there. It is
  written to the first of them, and zeros to the others.

  Args:
    arrays: the arrays of `source`, in any order.
    source: their layout.
    target: a layout of the same blocks.

  Returns:
    The arrays of `target`, in its order.

  >>> torch = {'weight': Packed('i f', (1, 0))}
  >>> keras = {'kernel': Packed('f i')}
  >>> convert({'weight': np.array([[1, 2], [3, 4]])}, torch, keras)
  {'kernel': array([[3, 1], [4, 2]])}
  """
  return _pack(target, _unpack(source, arrays))


def check(
  what: str, got: Mapping[str, Any], expected: Mapping[str, Any], layout: Layout
) -> None:
  """Refuses arrays that are not exactly those that are expected.

  Args:
    what: what the arrays are, for the error.
    got: the arrays.
    expected: arrays, or anything with a `shape`, of the shapes to expect.
    layout: what they are, for its notes; nothing where there are none.

  Raises:
    ValueError: a key is missing, is not expected, or has another shape. The message
      names all of them, one a line.
  """
  problems = []
  for key in [*expected, *(key for key in got if key not in expected)]:
    if key not in got:
      problems.append(f'{key}: missing, expected shape {expected[key].shape}')
    elif key not in expected:
      problems.append(f'{key}: unexpected, got shape {tuple(np.shape(got[key]))}')
    elif (shape := tuple(np.shape(got[key]))) != expected[key].shape:
      note = f' ({layout[key].note})' if key in layout and layout[key].note else ''
      problems.append(f'{key}: got shape {shape}, expected {expected[key].shape}{note}')
  if problems:
    keys = len(expected.keys() | got.keys())
    raise ValueError(
      '\n  '.join([f'{what}: {len(problems)} of {keys} keys do not fit:', *problems])
    )


def to_numpy(array: Any) -> np.ndarray:
  """Makes a numpy array of an array or a tensor."""
  # A torch tensor: a double holds any of its floats, and numpy has no bfloat16.
  return np.asarray(
    array.detach().cpu().double() if hasattr(array, 'detach') else array
  )


def _unpack(layout: Layout, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  blocks: dict[str, np.ndarray] = {}
  for key, packed in layout.items():
    array = arrays[key]
    if packed.axes is not None:
      array = np.transpose(array, np.argsort(packed.axes))
    rows = [array] if len(packed.rows) == 1 else array
    for names, row in zip(packed.rows, rows, strict=True):
      for name, block in zip(names, np.split(row, len(names), axis=-1), strict=True):
        blocks[name] = blocks[name] + block if name in blocks else block
  return blocks


def _pack(layout: Layout, blocks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  unwritten = dict(blocks)
  arrays = {}
  for key, packed in layout.items():
    rows = [
      np.concatenate([unwritten.pop(n, np.zeros_like(blocks[n])) for n in names], -1)
      for names in packed.rows
    ]
    array = rows[0] if len(rows) == 1 else np.stack(rows)
    arrays[key] = array if packed.axes is None else np.transpose(array, packed.axes)
  return arrays
