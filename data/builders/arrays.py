"""Your own arrays, in an .npz file."""

import dataclasses
import math
import os
import zipfile
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from ..dataset import Dataset
from ..errors import DataError
from ..partition import check_fraction, in_test, stratified
from ..problems import Problems

# How many axes the targets of a task have; in all but the first there is a weight for
# each target, in the last two each is a row of numbers.
_AXES = {
  'classification': 1,
  'segmentation': 3,
  'tagging': 2,
  'regression': 2,
  'forecasting': 3,
}
_NUMBERS = ('regression', 'forecasting')
_ONE = ('inputs', 'targets')
_TWO = {'train': ('x_train', 'y_train'), 'test': ('x_test', 'y_test')}


@dataclasses.dataclass(frozen=True)
class Arrays:
  """Examples from arrays whose first axis is that of the examples.

  Attributes:
    inputs: those of all examples; of uint8 255 becomes 1.
    targets: likewise.
    rows: which of them these examples are.
    numbers: whether targets are rows of numbers, with a weight each.
  """

  inputs: np.ndarray
  targets: np.ndarray
  rows: np.ndarray
  numbers: bool

  def __len__(self) -> int:
    return len(self.rows)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    row = self.rows[index]
    inputs, targets = self.inputs[row], self.targets[row]
    if inputs.dtype == np.uint8:
      inputs = inputs.astype(np.float32) / np.float32(255)
    shape = targets.shape[:-1] if self.numbers else targets.shape
    return {'inputs': inputs, 'targets': targets, 'weights': np.ones(shape, np.float32)}


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  path: str = '',
  task: str = 'classification',
  classes: Sequence[str] = (),
  test_fraction: float = 0.2,
  seed: int = 0,
  on_bad: str = 'error',
) -> Dataset:
  """Opens arrays, as `numpy.savez` writes them.

  They are `inputs` and `targets`, of which some are chosen for testing by their number
  and the seed (see `partition`); or `x_train`, `y_train`, `x_test` and `y_test`. Inputs
  of uint8 are divided by 255; where they have three axes they are images, and get one
  of channels. Other integers become int32, such as numbers of characters, and other
  numbers float32. Integers `[examples, length]` of a tagging, uint8 too, are numbers of
  tokens, 0 or more.

  Args:
    data_dir: nothing is kept.
    path: the file.
    task: 'classification', with targets `[examples]` or `[examples, 1]`; 'segmentation'
      `[examples, height, width]`; 'tagging' `[examples, length]`; all these integers
      from 0. Or 'regression' `[examples, outputs]` or `[examples]`, and 'forecasting'
      `[examples, horizon, outputs]`, numbers.
    classes: their names, or those of the outputs; () numbers them, the classes up to
      the largest that the training part has.
    test_fraction: the share for testing; of a classification, of each class.
    seed: of the choice.
    on_bad: 'error', or 'skip' to leave out, and count, examples with a number that is
      not finite or a target that is no class.

  Returns:
    A dataset of that task.

  Raises:
    ValueError: an option can't be used.
    DataError: the file can't be: it is damaged, holds Python objects, or arrays that do
      not fit.
  """
  del data_dir
  check_fraction(test_fraction)
  if task not in _AXES:
    raise ValueError(f'task is {task!r}, but must be one of {", ".join(_AXES)}')
  if not path:
    raise ValueError("path is '', but must be an .npz file")
  problems = Problems(path, on_bad)
  arrays = _read(path)
  splits = _TWO if _TWO['train'][0] in arrays else {'train': _ONE}
  for x, y in splits.values():
    if not {x, y} <= arrays.keys():
      expected = f'{" and ".join(_ONE)}, or {", ".join(_TWO["train"] + _TWO["test"])}'
      there = ', '.join(arrays) or 'none of them'
      raise DataError(f'{path}: it has {there}; expected {expected}')
    arrays[x] = _inputs(f'{path}, {x}', arrays[x], task == 'tagging')
    arrays[y] = _targets(f'{path}, {y}', arrays[y], task)
    if len(arrays[x]) != len(arrays[y]):
      raise DataError(
        f'{path}: {len(arrays[x])} {x} and {len(arrays[y])} {y}; expected as many'
      )
  for i, what in enumerate(('inputs', 'targets')):
    shapes = [arrays[pair[i]].shape[1:] for pair in splits.values()]
    if shapes[0] != shapes[-1]:
      raise DataError(f'{path}: {what} of shapes {shapes[0]} and {shapes[1]}')

  targets = arrays[splits['train'][1]]
  if task in _NUMBERS:
    count = targets.shape[-1]
    if classes and len(classes) != count:
      raise ValueError(f'classes are {len(classes)}, but must be {count}, the outputs')
  else:
    count = len(classes) or int(targets.max(initial=0)) + 1
  rows = {
    split: _good(path, pair, arrays, task, count, problems)
    for split, pair in splits.items()
  }
  problems.report()
  if 'test' not in rows:
    names = [str(row) for row in rows['train']]
    if task == 'classification':
      chosen = stratified(names, targets[rows['train']], test_fraction, seed)
    else:
      chosen = in_test(names, test_fraction, seed)
    rows = {'train': rows['train'][~chosen], 'test': rows['train'][chosen]}
    splits = {'train': _ONE, 'test': _ONE}
  for split, found in rows.items():
    if not len(found):
      raise DataError(f'{path}: no examples to {split}')
  return Dataset(
    name='arrays',
    task=cast(Any, task),
    classes=tuple(map(str, classes or range(count))),
    splits={
      split: Arrays(arrays[x], arrays[y], rows[split], task in _NUMBERS)
      for split, (x, y) in splits.items()
    },
  )


def _read(path: str) -> dict[str, np.ndarray]:
  """Reads the arrays that have one of the names.

  Raises:
    DataError: the file can't be read.
  """
  if not os.path.isfile(path):
    raise DataError(f'{path}: there is no such file')
  arrays, where = {}, path
  try:
    with zipfile.ZipFile(path) as archive:
      for name in (*_ONE, *_TWO['train'], *_TWO['test']):
        if f'{name}.npy' not in archive.namelist():
          continue
        where = f'{path}, {name}'
        with archive.open(f'{name}.npy') as member:
          # Objects in a file would run the code of whoever wrote it.
          arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
          # At the end the checksum is compared.
          if member.read(1):
            raise ValueError('it is longer than its header says')
  except Exception as e:  # zipfile and numpy raise anything on damaged files
    raise DataError(f'{where}: it is no .npz file, or damaged: {e}') from e
  return arrays


def _inputs(where: str, array: np.ndarray, tokens: bool) -> np.ndarray:
  if array.ndim < 2:
    raise DataError(f'{where}: shape {array.shape}; expected an axis of examples first')
  if array.dtype == np.uint8 and not (tokens and array.ndim == 2):
    return array[..., None] if array.ndim == 3 else array
  if array.dtype.kind not in 'biuf':
    raise DataError(f'{where}: {array.dtype}; expected numbers')
  return _narrow(where, array, np.float32 if array.dtype.kind == 'f' else np.int32)


def _targets(where: str, array: np.ndarray, task: str) -> np.ndarray:
  if task == 'classification' and array.shape[1:] == (1,):
    array = array[:, 0]
  if task == 'regression' and array.ndim == 1:
    array = array[:, None]
  if array.ndim != _AXES[task]:
    raise DataError(
      f'{where}: shape {array.shape}; expected {_AXES[task]} axes for {task}'
    )
  kinds = 'biuf' if task in _NUMBERS else 'biu'
  if array.dtype.kind not in kinds:
    what = 'numbers' if task in _NUMBERS else 'integers'
    raise DataError(f'{where}: {array.dtype}; expected {what} for {task}')
  return _narrow(where, array, np.float32 if task in _NUMBERS else np.int32)


def _narrow(where: str, array: np.ndarray, dtype: Any) -> np.ndarray:
  with np.errstate(over='ignore'):  # what is too large becomes infinite, and is found
    narrow = array.astype(dtype)
  if dtype == np.int32 and not np.array_equal(narrow, array):
    raise DataError(f'{where}: {np.abs(array).max()}; expected what int32 can hold')
  return narrow


def _good(
  path: str,
  pair: tuple[str, str],
  arrays: dict[str, np.ndarray],
  task: str,
  num_classes: int,
  problems: Problems,
) -> np.ndarray:
  """Returns the rows that can be used, int64."""
  x, y = pair
  targets = arrays[y]
  if task in _NUMBERS:
    legal, expected = np.isfinite(targets), 'a finite number'
  else:
    legal = (targets >= 0) & (targets < num_classes)
    expected = f'a class, 0 to {num_classes - 1}'
  bad = np.zeros(len(targets), bool)
  readable, what_is = np.isfinite(arrays[x]), 'a finite number'
  if task == 'tagging' and arrays[x].dtype == np.int32:
    readable, what_is = arrays[x] >= 0, "a token's number, 0 or more"
  for name, good, what in [(x, readable, what_is), (y, legal, expected)]:
    wrong = ~good.reshape(len(good), math.prod(good.shape[1:]))
    for row in np.flatnonzero(wrong.any(axis=1) & ~bad):
      value = arrays[name][row].reshape(-1)[np.argmax(wrong[row])]
      problems.add(f'{path}, {name}[{row}]', f'{value}; expected {what}')
    bad |= wrong.any(axis=1)
  return np.flatnonzero(~bad)
