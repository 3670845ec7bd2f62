"""Files from the network or, where there is none, what to do about it."""

import concurrent.futures
import dataclasses
import hashlib
import http.client
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import IO

from tqdm import tqdm

from .errors import DataError
from .locks import lock

_ANSWER_SECONDS = 10  # until a server has answered, its name's look-up included
_READ_SECONDS = 30  # without a byte
_CHUNK = 1 << 20
_UNREACHABLE = (
  ConnectionError,
  TimeoutError,
  http.client.HTTPException,
  urllib.error.URLError,
)


@dataclasses.dataclass(frozen=True)
class File:
  """A file that a dataset is made of.

  Attributes:
    name: what it is called on disk.
    url: where it comes from; '' if only from `page`.
    size: in bytes; 0 where no official source tells.
    sha256: of its bytes, in hexadecimal; '' where no official source tells.
    unpacked: the most bytes that it may unpack to, headers of an archive included.
    page: where a person gets it by hand, who must agree to something there.
  """

  name: str
  url: str
  size: int
  sha256: str
  unpacked: int = 0
  page: str = ''


def fetch(
  files: Sequence[File], folder: str | os.PathLike[str], command: str = ''
) -> None:
  """Downloads the files that are not in a folder yet, and checks all of them.

  A file has its name once it is complete and right. Until then it is NAME.part, from
  the end of which a later call goes on. Nothing is tried twice: without a network this
  fails within seconds. Any number of processes may ask at once.

  Args:
    files: what is wanted.
    folder: where they are kept; made when something is to be downloaded.
    command: what a person runs once they have put the files there themselves.

  Raises:
    DataError: a file can't be had, and what to do; or one that is there, or came, has
      another size or checksum. What was there before is never changed or removed.
  """
  missing = []
  for file in files:
    path = os.path.join(folder, file.name)
    if not os.path.exists(path):
      missing.append(file)
    elif wrong := _wrong(file, path):
      raise DataError(
        f'{path} {wrong}: move it away, and the right one is fetched'
        + (f' from {file.url or file.page}')
      )
  if not missing:
    return
  if any(not file.url for file in missing):
    raise DataError(_by_hand('files are missing', missing, folder, command))
  with lock(os.path.join(folder, '.lock')):
    while missing:
      file = missing[0]
      path = os.path.join(folder, file.name)
      if not os.path.exists(path):  # another process may have brought it
        try:
          _download(file, path)
        except _UNREACHABLE as e:
          reason = f'{file.url} can not be downloaded: {_in_words(e)}'
          raise DataError(_by_hand(reason, missing, folder, command)) from e
      missing = missing[1:]


def _by_hand(
  reason: str, files: Sequence[File], folder: str | os.PathLike[str], command: str
) -> str:
  lines = [reason, 'Download']
  for file in files:
    size = f' ({_readable(file.size)})' if file.size else ''
    source = file.url or f'{file.name} from {file.page}'
    renamed = file.url and not file.url.endswith('/' + file.name)
    lines.append(f'  {source}{size}' + (f' as {file.name}' if renamed else ''))
  lines += ['into the folder', f'  {os.path.abspath(folder)}']
  if command:
    lines += ['and run', f'  {command}']
  return '\n'.join(lines)


def _in_words(error: Exception) -> str:
  if isinstance(error, urllib.error.HTTPError):
    error.close()
    return f'{error.code} {error.reason}'
  reason = getattr(error, 'reason', error)
  return getattr(reason, 'strerror', None) or str(reason)


def _readable(size: float) -> str:
  """Returns a size in bytes in few digits.

  >>> _readable(137), _readable(9912422), _readable(147897477120)
  ('137 B', '9.9 MB', '147.9 GB')
  """
  for unit in ('B', 'kB', 'MB', 'GB'):
    if size < 1000 or unit == 'GB':
      return f'{size:.0f} B' if unit == 'B' else f'{size:.1f} {unit}'
    size /= 1000
  raise AssertionError


def _wrong(file: File, path: str) -> str:
  """Returns what is wrong with a file on disk, or ''."""
  size = os.path.getsize(path)
  if file.size and size != file.size:
    return f'has {size} bytes, but should have {file.size}'
  if file.sha256:
    with open(path, 'rb') as f:
      found = hashlib.file_digest(f, 'sha256').hexdigest()
    if found != file.sha256:
      return f'has the SHA-256 {found}, but should have {file.sha256}'
  return ''


def _download(file: File, path: str) -> None:
  part = path + '.part'
  # Where its size is unknown, so is whether it is complete.
  start = os.path.getsize(part) if file.size and os.path.exists(part) else 0
  whole = True
  if not file.size or start < file.size:
    with _open(file.url, start) as response, open(part, 'ab', 0) as out:
      whole = _append(file, response, out)
      os.fsync(out.fileno())
  got = os.path.getsize(part)
  if not whole and not file.size:
    raise DataError(
      f'{file.url}: the connection ended after {got} bytes, before the file did. Run '
      'the same again, and it begins anew'
    )
  if got < file.size:
    raise DataError(
      f'{file.url}: the connection ended after {got} of {file.size} bytes. They are '
      f'kept in {part}: run the same again, and it goes on from there'
    )
  if wrong := _wrong(file, part):
    kept = path + '.wrong'
    os.replace(part, kept)
    raise DataError(f'{file.url} {wrong}. What came is kept in {kept}')
  os.replace(part, path)


def _append(file: File, response: http.client.HTTPResponse, out: IO[bytes]) -> bool:
  """Writes what comes; returns whether that is as much as the server announced."""
  if response.status != http.client.PARTIAL_CONTENT:
    out.truncate(0)  # it sends all of it
  with tqdm(
    desc=file.name,
    initial=out.tell(),
    total=file.size or response.length,
    unit='B',
    unit_scale=True,
    disable=None,  # where no one watches
  ) as progress:
    try:
      # What there is: `read` would wait, and lose it.
      while data := response.read1(_CHUNK):
        out.write(data)
        progress.update(len(data))
        if file.size and out.tell() > file.size:
          break  # more than there should be: the sizes will not agree
    except (http.client.IncompleteRead, TimeoutError, ConnectionError):
      return False  # what came is kept
  return not response.length  # how much is left, where it was announced


def _open(url: str, start: int) -> http.client.HTTPResponse:
  request = urllib.request.Request(url, headers={'User-Agent': 'convscan'})
  if start:
    request.add_header('Range', f'bytes={start}-')
  answer: concurrent.futures.Future[http.client.HTTPResponse]
  answer = concurrent.futures.Future()

  def ask() -> None:
    try:
      answer.set_result(urllib.request.urlopen(request, timeout=_READ_SECONDS))
    except Exception as e:
      answer.set_exception(e)

  # In a thread, since no timeout of a socket covers the look-up of a name.
  threading.Thread(target=ask, daemon=True).start()
  try:
    return answer.result(_ANSWER_SECONDS)
  except concurrent.futures.TimeoutError:
    raise TimeoutError(f'no answer in {_ANSWER_SECONDS} seconds') from None
