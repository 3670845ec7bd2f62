"""Archives read as streams, whose members never touch the disk."""

import bz2
import contextlib
import gzip
import io
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any

from .errors import DataError, damaged

_SUFFIXES = ('.tar', '.tar.gz', '.tgz', '.tar.bz2', '.tar.xz', '.zip', '.gz')
_DECOMPRESS: dict[str, Any] = {'gz': gzip.open, 'bz2': bz2.open, 'xz': lzma.open}
_DAMAGED = (
  EOFError,
  OSError,  # gzip's and bz2's: not of their format
  RuntimeError,  # zipfile's: encrypted
  NotImplementedError,  # zipfile's: a method that it lacks
  lzma.LZMAError,
  tarfile.TarError,
  zipfile.BadZipFile,
  zlib.error,
)


def members(
  path: str | os.PathLike[str], max_bytes: int, file: IO[bytes] | None = None
) -> Iterator[tuple[str, IO[bytes]]]:
  """Iterates over the files in an archive, in its order.

  Args:
    path: a file that ends in .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz, .zip or .gz, which
      tells its kind. A .gz has one member, named by what precedes that ending.
    max_bytes: the most that it may unpack to, a tar's own headers included.
    file: read this instead, such as a member that is an archive itself. For all but
      .zip it need not be seekable.

  Yields:
    The member's name and its content, a buffered binary file to be read before the next
    member is asked for. Folders are passed over.

  Raises:
    ValueError: `path` has another ending.
    DataError: the archive is damaged; it would unpack to more; a member's name is
      absolute or leaves the folder by '..'; or a member is a link or a device. Reading
      a member may raise it, too.

  >>> packed = io.BytesIO(gzip.compress(b'some text'))
  >>> [(name, f.read()) for name, f in members('a.txt.gz', 100, packed)]
  [('a.txt', b'some text')]
  """
  path = os.fspath(path)
  if not path.endswith(_SUFFIXES):
    raise ValueError(f'path is {path!r}, but must end in one of {", ".join(_SUFFIXES)}')
  if file is None:
    with open(path, 'rb') as opened:
      yield from _members(path, max_bytes, opened)
  else:
    yield from _members(path, max_bytes, file)


@contextlib.contextmanager
def opened(
  path: str | os.PathLike[str], max_bytes: int, name: str
) -> Iterator[IO[bytes]]:
  """Opens the first file called `name` in an archive, in whatever folder there.

  Args:
    path: see `members`.
    max_bytes: see `members`.
    name: without folders.

  Raises:
    DataError: there is none; and see `members`.
  """
  for found, content in members(path, max_bytes):
    if os.path.basename(found) == name:
      yield content
      return
  raise DataError(f'{os.fspath(path)}: has no file {name!r}')


def _members(
  path: str, max_bytes: int, file: IO[bytes]
) -> Iterator[tuple[str, IO[bytes]]]:
  if path.endswith('.zip'):
    yield from _zip(path, max_bytes, file)
    return
  for ending, decompress in _DECOMPRESS.items():
    if path.endswith(ending):
      file = decompress(file)
  checked = _checked(file, path, max_bytes)
  if path.endswith(('.tar', '.tgz')) or '.tar.' in os.path.basename(path):
    yield from _tar(path, max_bytes, checked)
  else:
    yield os.path.basename(path).removesuffix('.gz'), checked


def _tar(
  path: str, max_bytes: int, stream: IO[bytes]
) -> Iterator[tuple[str, IO[bytes]]]:
  left = max_bytes  # a sparse file unpacks to more than the stream holds
  try:
    tar = tarfile.open(fileobj=stream, mode='r|')  # noqa: SIM115
  except _DAMAGED as e:
    raise damaged(path, e) from e
  while True:
    try:
      member = tar.next()
    except _DAMAGED as e:
      raise damaged(path, e) from e
    if member is None:
      return
    _check_name(path, member.name)
    if member.isfile():
      left -= member.size
      if left < 0:
        raise _too_much(path, max_bytes)
      yield member.name, _checked(tar.extractfile(member), path, member.size)
    elif not member.isdir():
      raise DataError(f'{path}: {member.name!r} is a link or a device; it is refused')
    # Or all headers stay in memory.
    tar.members.clear()  # type: ignore[attr-defined]


def _zip(path: str, max_bytes: int, file: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
  try:
    archive = zipfile.ZipFile(file)
  except _DAMAGED as e:
    raise damaged(path, e) from e
  # What a member's own header says is as much as zipfile reads of it.
  if sum(info.file_size for info in archive.infolist()) > max_bytes:
    raise _too_much(path, max_bytes)
  for info in archive.infolist():
    _check_name(path, info.filename)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.is_dir():
      continue
    if kind not in (0, stat.S_IFREG):
      raise DataError(f'{path}: {info.filename!r} is a link or a device; it is refused')
    try:
      content = archive.open(info)
    except _DAMAGED as e:
      raise damaged(path, e) from e
    with content:
      yield info.filename, _checked(content, path, info.file_size)


def _check_name(path: str, name: str) -> None:
  parts = re.split(r'[/\\]', name)
  if parts[0] == '' or parts[0].endswith(':') or '..' in parts:
    raise DataError(f'{path}: {name!r} would be outside of its folder; it is refused')


def _too_much(path: str, max_bytes: int) -> DataError:
  return DataError(f'{path} unpacks to more than {max_bytes} bytes; it is refused')


def _checked(stream: IO[bytes] | None, path: str, max_bytes: int) -> IO[bytes]:
  assert stream is not None
  return io.BufferedReader(_Checked(stream, path, max_bytes), 1 << 16)


class _Checked(io.RawIOBase):
  """Reads a stream up to a size, and says which archive is damaged."""

  def __init__(self, stream: IO[bytes], path: str, max_bytes: int):
    self._stream, self._path, self._max_bytes = stream, path, max_bytes
    self._left = max_bytes

  def readable(self) -> bool:
    return True

  def readinto(self, buffer: Any) -> int:
    try:
      data = self._stream.read(len(buffer))
    except _DAMAGED as e:
      raise damaged(self._path, e) from e
    self._left -= len(data)
    if self._left < 0:
      raise _too_much(self._path, self._max_bytes)
    buffer[: len(data)] = data
    return len(data)
