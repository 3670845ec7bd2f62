"""One process at a time."""

import contextlib
import fcntl
import os
from collections.abc import Iterator


@contextlib.contextmanager
def lock(path: str | os.PathLike[str]) -> Iterator[None]:
  """Holds an exclusive lock, which the system releases even if we are killed.

  Args:
    path: a file that is made for it, and its folder, and left there.
  """
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with open(path, 'w') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield
