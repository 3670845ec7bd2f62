"""What the processes of a run decide as one, so that none waits for another in vain."""

import contextlib
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from .errors import CheckpointError, Damaged, in_few_words


@contextlib.contextmanager
def together() -> Iterator[None]:
  """Runs a block in all processes; where it fails in one, it fails in all, and alike.

  Raises:
    Damaged: with its reason, in a few words, where all that failed found damage.
    CheckpointError: likewise, where anything else failed.
  """
  reason, damage = '', False
  try:
    yield
  except Exception as e:
    reason, damage = in_few_words(e), isinstance(e, Damaged)
  if jax.process_count() > 1:
    line = np.zeros(256, np.uint8)
    text = np.frombuffer(reason.encode()[: line.size - 1], np.uint8)
    line[0], line[1 : text.size + 1] = damage, text
    lines = multihost_utils.process_allgather(line)
    failed = [
      (bool(row[0]), bytes(row[1:]).rstrip(b'\0').decode(errors='replace'))
      for row in lines
      if row[1]
    ]
    damage, reason = min(failed, key=lambda failure: failure[0], default=(False, ''))
  if reason:
    raise Damaged(reason) if damage else CheckpointError(reason)


def as_process_0(numbers: list[int]) -> list[int]:
  """Returns the numbers that process 0 has, in every process."""
  if jax.process_count() == 1:
    return numbers
  count = int(multihost_utils.broadcast_one_to_all(np.int32(len(numbers))))
  padded = np.resize(np.array([*numbers, 0], np.int32), count)
  return [int(n) for n in multihost_utils.broadcast_one_to_all(padded)]
