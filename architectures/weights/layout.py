"""How arrays hold blocks of numbers: what every weight map is made of.

Two libraries keep the same numbers in arrays of different names, orders and axes. A
`Layout` says of each array which blocks it holds. Two layouts of the same blocks are
a map in both directions: take one library's arrays apart, put the other's together.
"""

import itertools
from collections.abc import Container, Iterable, Mapping
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
  what: str,
  got: Mapping[str, Any],
  expected: Mapping[str, Any],
  layout: Layout,
  modules: Mapping[str, str] | None = None,
) -> None:
  """Refuses arrays that are not exactly those that are expected.

  Args:
    what: what the arrays are, for the error.
    got: the arrays.
    expected: arrays, or anything with a `shape`, of the shapes to expect.
    layout: what they are, for its notes; nothing where there are none.
    modules: the path of the module of each that is expected, where `allow_missing` may
      name it, for the hint.

  Raises:
    ValueError: a key is missing, is not expected, or has another shape. The message
      counts them, names all of them, one a line, and may end in a hint.
  """
  problems, counts = {}, {'missing': 0, 'unexpected': 0, 'of another shape': 0}
  for key in [*expected, *(key for key in got if key not in expected)]:
    if key not in got:
      kind, problem = 'missing', f'missing, expected shape {expected[key].shape}'
    elif key not in expected:
      kind, problem = 'unexpected', f'unexpected, got shape {tuple(np.shape(got[key]))}'
    elif (shape := tuple(np.shape(got[key]))) != expected[key].shape:
      note = f' ({layout[key].note})' if key in layout and layout[key].note else ''
      kind = 'of another shape'
      problem = f'got shape {shape}, expected {expected[key].shape}{note}'
    else:
      continue
    counts[kind] += 1
    problems[key] = f'{key}: {problem}'
  if problems:
    keys = len(expected.keys() | got.keys())
    kinds = ', '.join(f'{count} {kind}' for kind, count in counts.items() if count)
    first = f'{what}: {len(problems)} of {keys} keys do not fit: {kinds}'
    last = _hint(problems, got, expected, modules or {})
    raise ValueError('\n  '.join([first, *problems.values(), *last]))


def common_prefix(keys: Iterable[str]) -> str:
  """Returns the names that all of these keys begin with, up to a dot.

  >>> common_prefix(['module.bn1.bias', 'module.bn2.bias'])
  'module.'
  """
  levels = zip(*(key.split('.')[:-1] for key in keys), strict=False)
  common = itertools.takewhile(lambda names: len(set(names)) == 1, levels)
  return ''.join(f'{name}.' for name, *_ in common)


def _hint(
  problems: Iterable[str],
  got: Iterable[str],
  expected: Container[str],
  modules: Mapping[str, str],
) -> list[str]:
  prefix = common_prefix(got)
  if prefix and any(key.removeprefix(prefix) in expected for key in got):
    return [f'hint: every key begins with {prefix!r}; take the keys without it']
  if all('head' in modules.get(key, '').partition('/')[0] for key in problems):
    heads = tuple(dict.fromkeys(modules[key] for key in problems))
    return [f'hint: for another number of classes, allow_missing={heads!r}']
  return []


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
