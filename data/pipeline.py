"""From examples to batches, the same on any number of processes."""

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import grain
import numpy as np
from absl import flags
from grain.experimental import RngPool

from .buckets import Buckets, choose_limits, read_lengths
from .dataset import Dataset, Example, Source
from .order import Shuffled, derive_seed
from .reading import leave_out_padding, read, shorten, stack
from .skipping import log_skipped
from .text import StreamWindows
from .tracks import Tracks


def train_batches(
  dataset: Dataset,
  batch_size: int,
  seed: int,
  *,
  length_buckets: int = 0,
  carry_state: bool = False,
  process_index: int = 0,
  process_count: int = 1,
  num_threads: int = 4,
  num_workers: int = 0,
) -> 'TrainBatches':
  """Returns an endless iterator over shuffled, augmented training batches.

  The order, new in each epoch, and the augmentation of the n-th example drawn are
  functions of (seed, n). So `process_count` processes draw together the batches that
  one would, row by row, and a state from `get_state` resumes exactly, by `set_state`,
  in an iterator with any number of processes. Epochs follow each other without a gap: a
  batch may hold the end of one and the start of the next.

  Args:
    dataset: what to draw from: its split 'train'.
    batch_size: global, over all processes.
    seed: of order and augmentation.
    length_buckets: where not 0, a batch has examples of about the same length, and no
      more steps than the least of so many limits that holds them; see `buckets`.
    carry_state: whether each batch goes on, row by row, where the one before it ended,
      for a language model that keeps its state; see `tracks`. Batches have `resets`
      then, bool `[rows, steps]`: where a text begins. The seed changes nothing.
    process_index: which rows are wanted: the `process_index`-th of `process_count`
      equal blocks of each batch.
    process_count: how many processes share a batch.
    num_threads: how many batches are made ahead, each in a thread; 0 makes them
      when asked.
    num_workers: how many processes of its own make them, where threads wait for each
      other; 0 is none. The batches are the same.

  Returns:
    An iterator over dicts of numpy arrays: those of an example, and its position in
    the split, int32, as `index`; with a leading axis of `batch_size // process_count`.
    `get_state()` is a small JSON-able dict, the same in every process.

  Raises:
    ValueError: `batch_size` exceeds the split, or is no multiple of `process_count`;
      or the dataset has no lengths to sort by, or no stream to go on in.
  """
  _check_divides(batch_size, process_count)
  source = _source(dataset)
  if batch_size > len(source):
    raise ValueError(
      f'batch_size is {batch_size}, but the training split of {dataset.name} has '
      f'only {len(source)} examples'
    )
  if num_workers and not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()  # its worker processes read absl's flags
  order: Shuffled | Buckets | Tracks = Shuffled(len(source), seed)
  if length_buckets:
    if length_buckets < 0 or carry_state:
      raise ValueError(
        f'length_buckets is {length_buckets} and carry_state {carry_state}, but must '
        'be 0 or more, and one of them 0 or False'
      )
    lengths = read_lengths(source)
    limits = choose_limits(lengths, length_buckets)
    order = Buckets(lengths, limits, batch_size, seed)
  if carry_state:
    if not isinstance(source, StreamWindows):
      raise ValueError(f'carry_state is True, but {dataset.name} has no stream of text')
    order = Tracks(len(source) + source.length - 1, source.length, batch_size)
  rows = batch_size // process_count
  make: Callable[[int], Example] = _Batches(
    dataset=dataset,
    order=order,
    batch_size=batch_size,
    rows=range(process_index * rows, (process_index + 1) * rows),
    # Their seeds are those of Grain's `.seed(seed).shuffle().repeat().random_map(...)`.
    generators=tuple(
      RngPool(derive_seed(seed, steps)) for steps in range(3, 3 + len(dataset.augment))
    ),
  )
  finish = dataset.finish
  if finish is not None and not num_workers:
    # In the threads that make batches.
    make, finish = functools.partial(_finished, make, finish), None
  return TrainBatches(make, source, batch_size, num_threads, num_workers, finish)


def _finished(
  make: Callable[[int], Example], finish: Callable[[Example], Example], number: int
) -> Example:
  return finish(make(number))


def _source(dataset: Dataset) -> Source:
  return dataset.splits['train'] if dataset.raw is None else dataset.raw


@dataclasses.dataclass(frozen=True)
class _Batches:
  """Makes the rows of a process of any batch, given the batch's number."""

  dataset: Dataset
  order: Shuffled | Buckets | Tracks
  batch_size: int
  rows: range
  generators: tuple[RngPool, ...]

  def __call__(self, number: int) -> Example:
    first = number * self.batch_size
    drawn = self.order(first, first + self.batch_size)
    positions = drawn[self.rows.start : self.rows.stop]
    source = _source(self.dataset)
    if self.generators:
      pairs = zip(self.rows, positions, strict=True)
      examples = [self._augment(source[int(i)], first + row) for row, i in pairs]
      batch = stack(examples, positions)
    else:
      batch = read(source, positions)
    leave_out_padding(self.dataset, batch, positions)
    if isinstance(self.order, Buckets):
      batch = shorten(self.dataset, batch, self.order.steps(drawn))
    if isinstance(self.order, Tracks):
      batch['resets'] = self.order.resets(number, batch['inputs'])
    return {**batch, 'index': positions.astype(np.int32)}

  def _augment(self, example: Example, draw: int) -> Example:
    for transform, pool in zip(self.dataset.augment, self.generators, strict=True):
      generator = pool.acquire_rng(draw)
      example = transform.random_map(example, generator)
      pool.release_rng(generator)
    return example


class TrainBatches(Iterator[Example]):
  """An iterator over numbered batches that can be moved to any of them.

  Its state is the number of examples drawn by all processes together.
  """

  def __init__(
    self,
    make: Callable[[int], Example],
    source: Source,
    batch_size: int,
    num_threads: int,
    num_workers: int,
    finish: Callable[[Example], Example] | None = None,
  ) -> None:
    self._make, self._source = make, source
    self._batch_size = batch_size
    self._read_options = grain.ReadOptions(
      num_threads, prefetch_buffer_size=num_threads
    )
    self._workers = grain.MultiprocessingOptions(num_workers)
    self._finish = finish
    self._next = 0  # the batch
    self._iterator: Any = None

  def __next__(self) -> Example:
    if self._iterator is None:
      numbers = grain.MapDataset.range(self._next, sys.maxsize)
      rest = numbers.map(self._make).to_iter_dataset(self._read_options)
      rest = rest.mp_prefetch(self._workers)
      if self._finish is not None:
        # Here, since its floats would take four times as long to come over; ahead.
        rest = grain.experimental.ThreadPrefetchIterDataset(
          rest.map(self._finish), prefetch_buffer_size=1
        )
      self._iterator = iter(rest)
    batch = next(self._iterator)
    self._next += 1
    log_skipped(self._source, batch, batch['index'])
    return batch

  def get_state(self) -> dict[str, int]:
    """Returns where it is, as JSON can hold it; the same in every process."""
    return {'global_next_index': self._next * self._batch_size}

  def set_state(self, state: dict[str, int]) -> None:
    """Goes where an iterator with this batch size was, among any number of processes.

    Raises:
      ValueError: it had another batch size.
    """
    batch, rest = divmod(state['global_next_index'], self._batch_size)
    if rest:
      raise ValueError(
        f'global_next_index is {state["global_next_index"]}, but must be a multiple of '
        f'batch_size, {self._batch_size}'
      )
    self.close()
    self._next = batch

  def close(self) -> None:
    """Ends its threads and processes."""
    if self._iterator is not None:
      self._iterator.close()
      self._iterator = None


def eval_batches(
  dataset: Dataset,
  split: str,
  batch_size: int,
  *,
  process_index: int = 0,
  process_count: int = 1,
) -> Iterator[Example]:
  """Returns an iterator over a split's examples: each once, in order, as they are.

  All batches have one shape: the last is filled up with copies of the last example,
  with weights 0.

  Args:
    dataset: what to read from.
    split: one of the dataset's.
    batch_size: global, over all processes.
    process_index: which rows are wanted: the `process_index`-th of `process_count`
      equal blocks of each batch.
    process_count: how many processes share a batch.

  Returns:
    An iterator over dicts of numpy arrays: those of an example, with a leading axis
    of `batch_size // process_count`.

  Raises:
    ValueError: an unknown split, or `batch_size` is no multiple of `process_count`.
  """
  _check_divides(batch_size, process_count)
  if split not in dataset.splits:
    raise ValueError(f'unknown split: {split!r}. Known: {", ".join(dataset.splits)}')
  source = dataset.splits[split]
  rows = batch_size // process_count
  first = process_index * rows

  def batch(start: int) -> Example:
    indices = np.arange(start + first, start + first + rows)
    positions = np.minimum(indices, len(source) - 1)
    arrays = read(source, positions)
    leave_out_padding(dataset, arrays, positions)
    for name in {'weights', 'skipped'} & arrays.keys():
      arrays[name][indices >= len(source)] = 0
    log_skipped(source, arrays, positions)
    return arrays

  return map(batch, range(0, len(source), batch_size))


def _check_divides(batch_size: int, process_count: int) -> None:
  if batch_size < 1 or batch_size % process_count:
    raise ValueError(
      f'batch_size is {batch_size}, but must be a positive multiple of the number of '
      f'processes, {process_count}'
    )
