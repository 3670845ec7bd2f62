"""Several examples of a source as one batch of arrays."""

from collections.abc import Sequence

import numpy as np

from .dataset import Dataset, Example, Source
from .errors import DataError

# The tasks that have a target for each step of the inputs.
BY_STEP = ('tagging', 'language_model')


def read(source: Source, positions: np.ndarray) -> Example:
  """Returns the examples at these positions, stacked along a new first axis.

  By the source's own `get_batch`, if it has one.
  """
  get_batch = getattr(source, 'get_batch', None)
  if get_batch is not None:
    batch: Example = get_batch(positions)
    return batch
  return stack([source[int(position)] for position in positions], positions)


def stack(
  examples: Sequence[Example], positions: Sequence[int] | np.ndarray
) -> Example:
  """Stacks each array of the examples along a new first axis.

  Args:
    examples: one or more.
    positions: where in their split they are, for messages.

  Raises:
    DataError: one has other arrays than the first, or one of another shape.

  >>> stack([{'inputs': np.ones(2)}, {'inputs': np.ones(3)}], [4, 7])
  Traceback (most recent call last):
  convscan.data.errors.DataError: example 7: inputs are [3]; expected [2], as in \
example 4
  """
  try:
    return {
      name: np.stack([example[name] for example in examples]) for name in examples[0]
    }
  except (KeyError, ValueError):
    first = examples[0]
    for position, example in zip(positions, examples, strict=True):
      for name in first:
        shapes = [
          list(np.shape(e[name])) if name in e else None for e in (first, example)
        ]
        if shapes[0] != shapes[1]:
          raise DataError(
            f'example {position}: {name} are {shapes[1]}; expected {shapes[0]}, as in '
            f'example {positions[0]}'
          ) from None
    raise


def leave_out_padding(dataset: Dataset, batch: Example, positions: np.ndarray) -> None:
  """Sets the weights of targets past their example's length to 0.

  Args:
    dataset: whose task says whether each step has a target.
    batch: a batch of it; without `lengths` it stays as it is.
    positions: where its examples were.

  Raises:
    ValueError: a length is not from 1 to the number of steps.
  """
  if 'lengths' not in batch:
    return
  lengths, steps = batch['lengths'], batch['inputs'].shape[1]
  wrong = np.flatnonzero((lengths < 1) | (lengths > steps))
  if wrong.size:
    raise ValueError(
      f'example {positions[wrong[0]]} of {dataset.name} has a length of '
      f'{lengths[wrong[0]]}, but must have 1 to {steps}, the steps of its inputs'
    )
  if dataset.task in BY_STEP:
    batch['weights'] = batch['weights'] * (np.arange(steps) < lengths[:, None])


def shorten(dataset: Dataset, batch: Example, steps: int) -> Example:
  """Returns the batch with no more steps than these, which hold all of its lengths."""
  by_step = ('inputs', 'targets', 'weights') if dataset.task in BY_STEP else ('inputs',)
  return {
    name: array[:, :steps] if name in by_step else array
    for name, array in batch.items()
  }
