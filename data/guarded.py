"""Sources that say which example of which split can't be used, and why."""

import dataclasses

import numpy as np

from .dataset import Dataset, Example, Source
from .errors import BadExample, DataError
from .reading import BY_STEP, stack
from .text import StreamWindows


def guard(dataset: Dataset) -> Dataset:
  """Returns the dataset with sources that name an example which can't be used.

  What its reading raises becomes a `BadExample`, if it is a `DataError`, or has a note
  of where it was raised. A target that counts and is no class is one, too; of those
  that do not, having weight 0 or lying past their example's length, each that is no
  class becomes class 0, which a loss times 0 needs.

  Windows of a stream, whose tokens come from a vocabulary, stay as they are.

  >>> example = {'inputs': np.ones(3), 'targets': np.array(2, np.int32)}
  >>> example['weights'] = np.array(1, np.float32)
  >>> dataset = Dataset('odd', 'classification', ('a', 'b'), {'train': [example]})
  >>> guard(dataset).splits['train'][0]
  Traceback (most recent call last):
  convscan.data.errors.BadExample: odd, train: example 0: target 2; expected 0 to 1. \
config.on_bad_example=skip leaves such out
  """

  by_step = dataset.task in BY_STEP

  def guarded(split: str, source: Source) -> Source:
    if isinstance(source, StreamWindows):
      return source
    return Guarded(source, dataset.name, split, len(dataset.classes), by_step)

  return dataclasses.replace(
    dataset,
    splits={split: guarded(split, source) for split, source in dataset.splits.items()},
    raw=None if dataset.raw is None else guarded('train', dataset.raw),
  )


def add_note(error: Exception, index: int, split: str, name: str) -> None:
  """Notes on an error, unless it is noted, which example was read."""
  if not hasattr(error, '__notes__'):
    error.add_note(f'while reading example {index} of {split!r} of {name}')


class Guarded:
  """A source whose examples are looked at as they are read; see `guard`.

  Args:
    source: the source.
    name: the dataset's.
    split: its name.
    count: how many classes there are, of which targets of integers are.
    by_step: whether each step of the inputs has a target.
  """

  def __init__(self, source: Source, name: str, split: str, count: int, by_step: bool):
    self._source, self._name, self._split = source, name, split
    self._count, self._by_step = count, by_step

  @property
  def lengths(self) -> np.ndarray | None:
    """The lengths of all examples, if the source has them at hand."""
    return getattr(self._source, 'lengths', None)

  @property
  def unit(self) -> str:
    """What a person is told that its examples are."""
    return getattr(self._source, 'unit', 'examples')

  def __len__(self) -> int:
    return len(self._source)

  def __getitem__(self, index: int) -> Example:
    return self._checked(self._read(index), index)

  def _read(self, index: int) -> Example:
    try:
      return self._source[index]
    except BadExample:  # of a source that this one is made of
      raise
    except DataError as e:
      raise BadExample(self._where(index), str(e)) from e
    except Exception as e:
      add_note(e, index, self._split, self._name)
      raise

  def get_batch(self, indices: np.ndarray) -> Example:
    """Returns the examples at `indices [batch]`, stacked."""
    get_batch = getattr(self._source, 'get_batch', None)
    if get_batch is None:
      batch = stack([self._read(int(index)) for index in indices], indices)
      return self._checked(batch, indices)  # once, which is faster than one by one
    try:
      batch = get_batch(indices)
    except Exception:
      for index in indices:
        self._read(int(index))  # raises what says which and why
      raise
    return self._checked(batch, indices)

  def _where(self, index: int) -> str:
    return f'{self._name}, {self._split}: example {index}'

  def _checked(self, examples: Example, indices: int | np.ndarray) -> Example:
    """Returns examples of one position or several, once their targets are classes."""
    targets = np.asarray(examples.get('targets', 0.0))
    if targets.dtype.kind not in 'iu':
      return examples
    if targets.min() >= 0 and targets.max() < self._count:
      return examples
    wrong = (targets < 0) | (targets >= self._count)
    counted = wrong & (examples['weights'] > 0)
    if 'lengths' in examples and self._by_step:
      steps = np.arange(targets.shape[-1])
      counted &= steps < examples['lengths'][..., None]
    for place in np.argwhere(counted):
      index = indices if isinstance(indices, int) else int(indices[place[0]])
      raise BadExample(
        self._where(index),
        f'target {targets[tuple(place)]}; expected 0 to {self._count - 1}',
      )
    return examples | {'targets': np.where(wrong, 0, targets).astype(targets.dtype)}
