"""Examples that can't be read, left out of a run and counted."""

import dataclasses
import logging

import numpy as np

from .dataset import Dataset, Example, Source
from .errors import BadExample, DataError
from .reading import read, stack
from .text import StreamWindows

_log = logging.getLogger(__name__)
_TRIED = 32  # examples of a split, before the start


def skip_bad(dataset: Dataset) -> Dataset:
  """Returns the dataset with a stand-in for each example that can't be read.

  That is one whose reading raises a `DataError`, such as a record whose checksum
  differs, or a truncated image. Its stand-in is another example of the split, with
  weights 0: it counts in no loss and no metric, though batch norms see it. Which
  examples are skipped follows from the files alone, so batches stay functions of (seed,
  n), and none is drawn in the place of another. Where the split's `lengths` are known
  without reading, a stand-in is no longer than what it stands for.

  All examples have an array `skipped` more, float32 `[]`: 1 for a stand-in, else 0.
  Those of a batch are logged, each once, by the process that uses the batch.

  What was read whole when the set was opened, such as a stream of text, has no such
  examples, and stays as it is.

  Raises:
    DataError: of 32 examples of a split, evenly apart, more than half can't be read.

  >>> class Odd:
  ...   def __len__(self):
  ...     return 8
  ...
  ...   def __getitem__(self, index):
  ...     if index == 5:
  ...       raise DataError('odd.jpg: truncated')
  ...     return {'inputs': np.ones(3), 'weights': np.array(1, np.float32)}
  >>> dataset = Dataset('odd', 'classification', ('a',), {'train': Odd()})
  >>> example = skip_bad(dataset).splits['train'][5]
  >>> example['inputs'], float(example['weights']), float(example['skipped'])
  (array([1., 1., 1.]), 0.0, 1.0)
  """

  def skipping(split: str, source: Source) -> Source:
    if isinstance(source, StreamWindows):
      return source
    return Skipping(source, f'{dataset.name}, {split}')

  return dataclasses.replace(
    dataset,
    splits={split: skipping(split, source) for split, source in dataset.splits.items()},
    raw=None if dataset.raw is None else skipping('train', dataset.raw),
  )


class Skipping:
  """A source with stand-ins; see `skip_bad`.

  Args:
    source: the source.
    name: the dataset and the split, for messages.
  """

  def __init__(self, source: Source, name: str):
    self._source, self._name = source, name
    self._logged: set[int] = set()
    self._stand_in = self._choose()
    self.lengths = getattr(source, 'lengths', None)
    self.unit = getattr(source, 'unit', 'examples')

  def _choose(self) -> Example:
    """Returns the stand-in: the first that can be read of some examples."""
    count = len(self._source)
    tried = np.unique(np.linspace(0, count - 1, min(_TRIED, count)).astype(int))
    good, bad = None, []
    for position in tried.tolist():
      try:
        example = self._source[position]
        good = good or example
      except DataError as e:
        bad.append(e)
    if good is None or 2 * len(bad) > len(tried):
      first = f', such as {_why(bad[0])}' if bad else ''
      raise DataError(
        f"{self._name}: {len(bad)} of {len(tried)} examples can't be read; expected "
        f'half or more to be good{first}'
      )
    zero = np.zeros_like(good['weights'])
    return {**good, 'weights': zero, 'skipped': np.array(1, np.float32)}

  def __len__(self) -> int:
    return len(self._source)

  def __getitem__(self, index: int) -> Example:
    try:
      return {**self._source[index], 'skipped': np.array(0, np.float32)}
    except DataError:
      example = dict(self._stand_in)
      if self.lengths is not None and 'lengths' in example:
        # No longer than it was sorted by: its batch may have no more steps.
        length = min(example['lengths'], self.lengths[index])
        example['lengths'] = np.array(length, np.int32)
      return example

  def get_batch(self, indices: np.ndarray) -> Example:
    """Returns the examples at `indices [batch]`, stacked."""
    try:
      batch = read(self._source, indices)
    except DataError:
      return stack([self[int(index)] for index in indices], indices)
    return {**batch, 'skipped': np.zeros(len(indices), np.float32)}

  def log(self, indices: np.ndarray) -> None:
    """Logs why each of these, stand-ins of a batch, is left out, unless it was."""
    for index in sorted(set(indices.tolist()) - self._logged):
      self._logged.add(index)
      try:
        self._source[index]
      except DataError as e:
        _log.warning('%s: left out example %d: %s', self._name, index, _why(e))


def _why(error: DataError) -> str:
  return error.reason if isinstance(error, BadExample) else str(error)


def log_skipped(source: Source, batch: Example, positions: np.ndarray) -> None:
  """Logs which examples of a batch, from these positions, are stand-ins."""
  if 'skipped' in batch and isinstance(source, Skipping):
    source.log(positions[np.asarray(batch['skipped']) > 0])
