"""What the processes of a run decide as one, so that none waits for another in vain."""

import contextlib
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from .errors import CheckpointError, in_few_words


@contextlib.contextmanager
def together() -> Iterator[None]:
  """Runs a block in all processes; where it fails in one, it fails in all, and alike.

  Raises:
    CheckpointError: with the reason, in a few words, of the first process that failed.
  """
  reason = ''
  try:
    yield
  except Exception as e:
    reason = in_few_words(e)
  if jax.process_count() > 1:
    line = np.zeros(256, np.uint8)
    text = np.frombuffer(reason.encode()[: line.size], np.uint8)
    line[: text.size] = text
    lines = multihost_utils.process_allgather(line)
    texts = [bytes(row).rstrip(b'\0').decode(errors='replace') for row in lines]
    reason = next((text for text in texts if text), '')
  if reason:
    raise CheckpointError(reason)


def as_process_0(numbers: list[int]) -> list[int]:
  """Returns the numbers that process 0 has, in every process."""
  if jax.process_count() == 1:
    return numbers
  count = int(multihost_utils.broadcast_one_to_all(np.int32(len(numbers))))
  padded = np.resize(np.array([*numbers, 0], np.int32), count)
  return [int(n) for n in multihost_utils.broadcast_one_to_all(padded)]
