"""Prepares and opens TFDS builders, without TensorFlow."""

import contextlib
import functools
import io
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow_datasets as tfds
from absl import logging
from google.protobuf import json_format

from .declared import Repeated, is_declaring
from .download import File, fetch
from .errors import DamagedRecord, DataError
from .locks import lock

# The folders of the sets that were opened, for the command that says where they are.
opened: dict[str, None] = {}


def open_splits(
  builder_class: Callable[..., Any],
  data_dir: str | os.PathLike[str] | None,
  files: Sequence[File] = (),
  name: str = '',
) -> tuple[tfds.core.DatasetInfo, dict[str, Sequence[dict[str, Any]]]]:
  """Opens a builder's splits, after preparing them the first time.

  Any number of processes may ask at once: one prepares, the others wait for it. A
  preparation that was killed leaves nothing that counts as prepared.

  Within `declared.declaring`, a set that is made of files and not prepared is not
  fetched: its splits are what the builder's method `declare` says, which fills in the
  metadata, too.

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
    DataError: a file can't be had, or what it holds is not what it should be; or what
      it holds is known from it alone, where it should be declared.
  """
  make: Callable[[], Any] = _quiet()(
    functools.partial(builder_class, data_dir=data_dir, file_format='array_record')
  )
  with readable(_folder(builder_class, data_dir)):
    builder = make()
  path = builder.data_path
  how = command(name or builder.name, data_dir)
  if not path.exists() and files and is_declaring():
    try:
      splits = builder.declare()
    except DataError as e:
      raise DataError(f'{builder.name}: {e}. Prepare it: {how}') from None
    return builder.info, {k: Repeated(*split) for k, split in splits.items()}
  if not path.exists():
    with lock(f'{path}.lock'):
      # TFDS writes to a folder of its own and renames that when complete, and
      # does nothing if another process did so while we waited.
      _prepare(make(), files, how)
  with _quiet():
    # Anew: a builder made before the data knows nothing of them.
    return open_prepared(make())


def open_prepared(
  builder: tfds.core.DatasetBuilder,
) -> tuple[tfds.core.DatasetInfo, dict[str, Sequence[dict[str, Any]]]]:
  """Opens what a builder prepared before: see `open_splits`.

  Images that are stored as files, `tfds.features.Image`, stay encoded: bytes.
  """
  raw = {
    name: tfds.decode.SkipDecoding()
    for name, feature in builder.info.features.items()
    if isinstance(feature, tfds.features.Image)
  }
  try:
    sources = builder.as_data_source(decoders=raw or None)
  except RuntimeError as e:
    raise DataError(_damaged(f'{builder.data_path}: it', e)) from e
  folder = str(builder.data_path)
  opened[folder] = None
  return builder.info, {k: _Records(source, folder, k) for k, source in sources.items()}


class _Records(Sequence[dict[str, Any]]):
  """The records of a split, whose stored checksums are compared when one is read."""

  def __init__(self, source: Sequence[dict[str, Any]], folder: str, split: str):
    self._source, self._folder, self._split = source, folder, split

  def __len__(self) -> int:
    return len(self._source)

  def __getitem__(self, index: Any) -> Any:
    index = range(len(self))[index]
    try:
      return self._source[index]
    except RuntimeError as e:
      raise DamagedRecord(_damaged(self.where(index), e)) from e

  def where(self, index: int) -> str:
    """Says where a record lies, for messages."""
    return f'{self._folder}: record {index} of {self._split!r}'


def _damaged(where: str, error: object) -> str:
  return (
    f'{where} is damaged or missing: {error}. Remove that folder, and the set is '
    'prepared anew'
  )


@contextlib.contextmanager
def readable(folder: str | os.PathLike[str]) -> Iterator[None]:
  """Says that what TFDS can't read, of a builder it makes, is in this folder."""
  try:
    yield
  except (
    json_format.ParseError,
    json.JSONDecodeError,
    UnicodeDecodeError,
    AssertionError,  # another set's, or nobody's
  ) as e:
    what = ' '.join(str(e).split()).rstrip('.')
    raise DataError(_damaged(f'{folder}: dataset_info.json', what)) from e


def _folder(
  builder_class: Callable[..., Any], data_dir: str | os.PathLike[str] | None
) -> str:
  """Returns where TFDS keeps what a builder makes, which it reads to make one."""
  made: Any = functools.partial(builder_class)
  config = made.keywords.get('config')
  names = [made.func.name, *([getattr(config, 'name', config)] if config else [])]
  return os.path.join(root(data_dir), *names, str(made.func.VERSION))


def root(data_dir: str | os.PathLike[str] | None) -> str:
  """Returns the folder of prepared sets; of None, TFDS's own default.

  >>> root('/data')
  '/data'
  """
  return os.path.expanduser(
    tfds.core.constants.DATA_DIR if data_dir is None else data_dir
  )


def downloads(name: str, data_dir: str | os.PathLike[str] | None) -> str:
  """Returns the folder of a set's files as they were downloaded.

  Args:
    name: the set's.
    data_dir: where prepared sets are kept; None is TFDS's own default.

  >>> downloads('mnist', '/data')
  '/data/downloads/mnist'
  """
  return os.path.join(root(data_dir), 'downloads', name)


def command(name: str, data_dir: str | os.PathLike[str] | None) -> str:
  """Returns what prepares a set.

  >>> command('uea --problem=GunPoint', '/data')
  'python -m convscan.data.prepare uea --problem=GunPoint --data_dir=/data'
  """
  where = '' if data_dir is None else f' --data_dir={shlex.quote(os.fspath(data_dir))}'
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
  # What is made of files may take hours.
  with _quiet(bars=bool(files) and sys.stderr.isatty()):
    builder.download_and_prepare(download_config=config)


@contextlib.contextmanager
def _quiet(bars: bool = False) -> Iterator[None]:
  """Silences TFDS: its log but for errors, its prints and, without `bars`, its bars."""
  verbosity = logging.get_verbosity()
  logging.set_verbosity(min(verbosity, logging.ERROR))
  (tfds.enable_progress_bar if bars else tfds.disable_progress_bar)()
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      yield
  finally:
    logging.set_verbosity(verbosity)
