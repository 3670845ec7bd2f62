"""Whether a dataset is as `Dataset` says, as far as one example of each split tells."""

import typing
from typing import Any

import numpy as np

from .dataset import Dataset, Example
from .errors import DataError
from .guarded import add_note

# How many axes the targets of a task have. In the last two the last one is of numbers.
_AXES = {
  'classification': 0,
  'segmentation': 2,
  'tagging': 1,
  'language_model': 1,
  'regression': 1,
  'forecasting': 2,
}
_NUMBERS = ('regression', 'forecasting')


def check(dataset: Dataset) -> Dataset:
  """Returns a dataset whose task, splits, classes and first examples fit together.

  An example that can't be read is passed over: it is an error, or skipped, when its
  turn comes.

  Raises:
    ValueError: one is not what `Dataset` says; the message names it, and what is
      expected.

  >>> example = {'inputs': np.zeros(3, np.float32), 'targets': np.array(2, np.int32)}
  >>> example['weights'] = np.array(1, np.float32)
  >>> check(Dataset('x', 'classification', ('a',), {'train': [example], 'test': []}))
  Traceback (most recent call last):
  ValueError: dataset 'x', example 0 of 'train': targets are 2; expected a class, 0 to 0
  """
  name = f'dataset {dataset.name!r}'
  tasks = typing.get_args(typing.get_type_hints(Dataset)['task'])
  if dataset.task not in tasks:
    raise ValueError(
      f'{name}: task is {dataset.task!r}; expected one of {", ".join(tasks)}'
    )
  if not dataset.classes or not all(isinstance(c, str) for c in dataset.classes):
    raise ValueError(
      f'{name}: classes are {dataset.classes!r}; expected a name for each class or '
      'output'
    )
  if 'train' not in dataset.splits or len(dataset.splits) < 2:
    raise ValueError(
      f"{name}: splits are {', '.join(dataset.splits) or 'none'}; expected 'train' and "
      "'test'"
    )
  first: Example = {}
  for split, source in dataset.splits.items():
    where = f'{name}, example 0 of {split!r}'
    if not len(source):
      raise ValueError(f'{name}: {split!r} has no examples; expected one or more')
    try:
      example = source[0]
    except DataError:
      continue
    except Exception as e:
      add_note(e, 0, split, dataset.name)
      raise
    _check_example(where, dataset, example)
    first = first or example
    names = dataset.names.get(split)
    if names is not None and len(names) != len(source):
      raise ValueError(
        f'{name}: names of {split!r} are {len(names)}; expected {len(source)}, as many '
        'as there are examples'
      )
    for key in example.keys() | first.keys():
      here, there = (_form(e[key]) if key in e else 'none' for e in (example, first))
      if _kind(example, key) != _kind(first, key):
        raise ValueError(
          f'{where}: {key} are {here}; expected the like of other splits, {there}'
        )
  return dataset


def _kind(example: Example, key: str) -> Any:
  """Returns what splits have in common, where one may have longer examples."""
  if key not in example:
    return None
  array = example[key]
  return array.dtype, array.ndim, array.shape[1:][-1:]


def _form(array: Any) -> str:
  return f'{array.dtype} {list(array.shape)}'


def _check_example(where: str, dataset: Dataset, example: Example) -> None:
  def expect(legal: bool, key: str, expected: str) -> None:
    if not legal:
      raise ValueError(f'{where}: {key} are {_form(example[key])}; expected {expected}')

  if not isinstance(example, dict) or not {'inputs', 'targets', 'weights'} <= {
    *example
  }:
    has = ', '.join(example) if isinstance(example, dict) else type(example).__name__
    raise ValueError(f'{where}: {has}; expected inputs, targets and weights')
  for key, array in example.items():
    if not isinstance(array, np.ndarray | np.generic):
      raise ValueError(
        f'{where}: {key} are a {type(array).__name__}; expected a numpy array'
      )
  inputs, targets, weights = (example[k] for k in ('inputs', 'targets', 'weights'))
  expect(
    inputs.ndim > 0 and inputs.dtype in (np.float32, np.int32),
    'inputs',
    'numbers, float32, or tokens, int32, with one axis or more',
  )
  task, count = dataset.task, len(dataset.classes)
  shares = task == 'classification' and targets.ndim == 1
  if task in _NUMBERS or shares:
    axes = _AXES[task] + shares
    what = 'a number for each output' if task in _NUMBERS else 'a share of each class'
    legal = targets.ndim == axes and targets.shape[-1:] == (count,)
    form = '[horizon, {}]' if task == 'forecasting' else '[{}]'
    expect(
      legal and targets.dtype == np.float32,
      'targets',
      f'{what}, float32 {form.format(count)}',
    )
    shape = targets.shape[:-1]
  else:
    axes = _AXES[task]
    shape = inputs.shape[:axes]
    expect(
      targets.dtype == np.int32 and targets.shape == shape,
      'targets',
      f'a class, int32 {list(shape)}'
      + (', for each of the inputs' if axes else ' for a classification'),
    )
  expect(
    weights.dtype == np.float32 and weights.shape == shape,
    'weights',
    f'one for each target, float32 {list(shape)}',
  )
  if targets.dtype == np.int32:
    wrong = targets[((targets < 0) | (targets >= count)) & (weights > 0)]
    if wrong.size:
      raise ValueError(
        f'{where}: targets are {wrong.flat[0]}; expected a class, 0 to {count - 1}'
      )
  if task == 'forecasting':
    expect(
      inputs.ndim == 2 and inputs.shape[1] >= count,
      'inputs',
      f'[length, features], and the first {count} of the features what is foretold',
    )
  if 'lengths' in example:
    lengths = example['lengths']
    expect(
      lengths.dtype == np.int32 and lengths.shape == (),
      'lengths',
      'how many steps are real, int32 []',
    )
    if not 1 <= lengths <= len(inputs):
      raise ValueError(
        f'{where}: lengths are {lengths}; expected 1 to {len(inputs)}, the steps of '
        'inputs'
      )
