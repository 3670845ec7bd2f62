"""Prepares and opens TFDS builders, without TensorFlow."""

import contextlib
import functools
import io
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow_datasets as tfds
from absl import logging

from .download import File, fetch
from .locks import lock


def open_splits(
  builder_class: Callable[..., Any],
  data_dir: str | os.PathLike[str] | None,
  files: Sequence[File] = (),
  name: str = '',
) -> tuple[tfds.core.DatasetInfo, dict[str, Sequence[dict[str, Any]]]]:
  """Opens a builder's splits, after preparing them the first time.

  Any number of processes may ask at once: one prepares, the others wait for it. A
  preparation that was killed leaves nothing that counts as prepared.

  Args:
    builder_class: the builder; its records are kept as array_record files. Its version
      should be none that TFDS's own builder of that name has, if there is one, since
      both may keep theirs in the same folder. It finds `files` in
      `dl_manager.manual_dir`.
    data_dir: where prepared sets are kept; None is TFDS's own default.
    files: what it is made from. They are fetched to `downloads/BUILDER` in `data_dir`
      if the set is not prepared yet.
    name: the command line, after `python -m convscan.data.prepare`, that a person is
      told where a file can't be had; '' is the builder's name.

  Returns:
    The builder's info, and the records of each split by position, in the order in
    which they are stored.

  Raises:
    DataError: a file can't be had, or what it holds is not what it should be.
  """
  make: Callable[[], Any] = functools.partial(
    builder_class, data_dir=data_dir, file_format='array_record'
  )
  with _quiet():
    builder = make()
  path = builder.data_path
  if not path.exists():
    with lock(f'{path}.lock'):
      # TFDS writes to a folder of its own and renames that when complete, and
      # does nothing if another process did so while we waited.
      _prepare(make(), files, _command(name or builder.name, data_dir))
  with _quiet():
    builder = make()  # anew: a builder made before the data knows nothing of them
    return builder.info, builder.as_data_source()


def downloads(name: str, data_dir: str | os.PathLike[str] | None) -> str:
  """Returns the folder of a set's files as they were downloaded.

  Args:
    name: the set's.
    data_dir: where prepared sets are kept; None is TFDS's own default.

  >>> downloads('mnist', '/data')
  '/data/downloads/mnist'
  """
  root = tfds.core.constants.DATA_DIR if data_dir is None else data_dir
  return os.path.join(os.path.expanduser(root), 'downloads', name)


def _command(name: str, data_dir: str | os.PathLike[str] | None) -> str:
  where = '' if data_dir is None else f' --data_dir={data_dir}'
  return f'python -m convscan.data.prepare {name}{where}'


def _prepare(builder: Any, files: Sequence[File], command: str) -> None:
  if builder.data_path.exists():
    return
  config = None
  if files:
    folder = downloads(builder.name, builder.data_dir_root)
    fetch(files, folder, command)
    config = tfds.download.DownloadConfig(manual_dir=folder)
    # Without one TFDS tells a builder of no such folder.
    builder.MANUAL_DOWNLOAD_INSTRUCTIONS = command
  with _quiet():
    builder.download_and_prepare(download_config=config)


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
