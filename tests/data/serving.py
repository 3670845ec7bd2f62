"""Files of the true formats, served from this machine."""

import contextlib
import functools
import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from convscan.data.download import File

# What is served here is asked for directly, whatever proxy there is.
os.environ['no_proxy'] = '127.0.0.1'


class Handler(http.server.SimpleHTTPRequestHandler):
  """Serves a folder in silence, and the rest of a file to who asks for that."""

  def log_message(self, format, *args):
    pass

  def do_GET(self):
    asked = self.headers.get('Range', '')
    path = Path(self.translate_path(self.path))
    if not asked or not path.is_file():
      super().do_GET()
      return
    start = int(asked.removeprefix('bytes=').removesuffix('-'))
    content = path.read_bytes()
    self.send_response(http.HTTPStatus.PARTIAL_CONTENT)
    self.send_header('Content-Length', str(len(content) - start))
    self.send_header(
      'Content-Range', f'bytes {start}-{len(content) - 1}/{len(content)}'
    )
    self.end_headers()
    self.wfile.write(content[start:])


@contextlib.contextmanager
def serve(folder, handler=Handler) -> Iterator[str]:
  """Serves the files in a folder: yields the address of the folder, without a slash."""
  make = functools.partial(handler, directory=str(folder))
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), make) as server:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
      yield f'http://127.0.0.1:{server.server_port}'
    finally:
      server.shutdown()
      thread.join()


def file_of(path, url: str, unpacked: int = 10**7) -> File:
  """Returns a `File` with the size and checksum that the file at `path` has.

  Args:
    path: the file.
    url: where it is served: what `serve` yields.
    unpacked: the most bytes that it may unpack to.
  """
  path = Path(path)
  content = path.read_bytes()
  return File(
    path.name,
    f'{url}/{path.name}',
    len(content),
    hashlib.sha256(content).hexdigest(),
    unpacked,
  )


@contextlib.contextmanager
def offered(folder, monkeypatch, files, key, contents) -> Iterator[None]:
  """Serves files in place of a set's own.

  Args:
    folder: where they are written; made here.
    monkeypatch: pytest's.
    files: a module's `FILES`, a dict.
    key: which of its values is replaced: a `File`, or a tuple of them.
    contents: what each of those files holds, by name.
  """
  folder.mkdir()
  for name, content in contents.items():
    (folder / name).write_bytes(content)
  with serve(folder) as url:
    wanted = files[key]
    if isinstance(wanted, File):
      made = file_of(folder / wanted.name, url)
    else:
      made = tuple(file_of(folder / file.name, url) for file in wanted)
    monkeypatch.setitem(files, key, made)
    yield
