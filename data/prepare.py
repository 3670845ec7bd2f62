"""Prepares and opens TFDS builders, without TensorFlow."""

import contextlib
import fcntl
import functools
import io
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow_datasets as tfds
from absl import logging


def open_splits(
  builder_class: Callable[..., Any],
  data_dir: str | os.PathLike[str] | None,
) -> tuple[tfds.core.DatasetInfo, dict[str, Sequence[dict[str, Any]]]]:
  """Opens a builder's splits, after preparing them the first time.

  Any number of processes may ask at once: one prepares, the others wait for it. A
  preparation that was killed leaves nothing that counts as prepared.

  Args:
    builder_class: the builder; its records are kept as array_record files.
    data_dir: where prepared sets are kept; None is TFDS's own default.

  Returns:
    The builder's info, and the records of each split by position, in the order in
    which they are stored.
  """
  make: Callable[[], Any] = functools.partial(
    builder_class, data_dir=data_dir, file_format='array_record'
  )
  with _quiet():
    path = make().data_path
    if not path.exists():
      with _lock(f'{path}.lock'):
        # TFDS writes to a folder of its own and renames that when complete, and
        # does nothing if another process did so while we waited.
        make().download_and_prepare()
    builder = make()  # anew: a builder made before the data knows nothing of them
    return builder.info, builder.as_data_source()


@contextlib.contextmanager
def _lock(path: str) -> Iterator[None]:
  """Holds an exclusive lock, which the system releases even if we are killed."""
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with open(path, 'w') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Silences TFDS's log lines, printed lines and progress bars; keeps warnings."""
  verbosity = logging.get_verbosity()
  logging.set_verbosity(min(verbosity, logging.WARNING))
  tfds.disable_progress_bar()
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      yield
  finally:
    logging.set_verbosity(verbosity)
