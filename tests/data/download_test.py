"""Downloads that succeed, stop short, lie, or can not be."""

import concurrent.futures
import contextlib
import hashlib
import http.server
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from serving import Handler, file_of, serve

from convscan.data.download import File, fetch
from convscan.data.errors import DataError

CONTENT = bytes(range(256)) * 4096  # 1 MiB


class Breaking(Handler):
  """Announces all of a file, and ends the connection in its middle."""

  def do_GET(self):
    content = CONTENT[: len(CONTENT) // 2]
    self.send_response(200)
    self.send_header('Content-Length', str(len(CONTENT)))
    self.end_headers()
    self.wfile.write(content)


class Endless(Handler):
  """Sends without an end."""

  def do_GET(self):
    self.send_response(200)
    self.end_headers()
    # Ends when the other side has closed.
    with contextlib.suppress(ConnectionError):
      while True:
        self.wfile.write(bytes(1 << 16))


class BreakingChunks(Handler):
  """Sends half of a file in chunks, and not the last of them."""

  protocol_version = 'HTTP/1.1'

  def do_GET(self):
    content = CONTENT[: len(CONTENT) // 2]
    self.send_response(200)
    self.send_header('Transfer-Encoding', 'chunked')
    self.end_headers()
    self.wfile.write(f'{len(content):x}\r\n'.encode() + content + b'\r\n')
    self.close_connection = True


@pytest.fixture
def original(tmp_path):
  (tmp_path / 'served').mkdir()
  path = tmp_path / 'served' / 'a.bin'
  path.write_bytes(CONTENT)
  return path


@pytest.fixture
def folder(tmp_path):
  return tmp_path / 'got'


def names(folder):
  return sorted(path.name for path in folder.iterdir() if path.name != '.lock')


def test_a_file_comes_whole_and_is_not_asked_for_again(original, folder):
  with serve(original.parent) as url:
    file = file_of(original, url)
    fetch([file], folder)
  assert (folder / 'a.bin').read_bytes() == CONTENT
  assert names(folder) == ['a.bin']
  fetch([file], folder)  # the server is gone


def test_where_a_connection_ended_the_next_call_goes_on(original, folder):
  with serve(original.parent, Breaking) as url:
    file = file_of(original, url)
    with pytest.raises(
      DataError, match=r'after 524288 of 1048576 bytes\. They are kept'
    ):
      fetch([file], folder)
  assert names(folder) == ['a.bin.part']
  # It asks for the rest alone: the first half is kept as it is, even wrong.
  part = folder / 'a.bin.part'
  part.write_bytes(bytes(len(CONTENT) // 2))
  with serve(original.parent) as url:
    with pytest.raises(DataError, match='has the SHA-256'):
      fetch([file_of(original, url)], folder)
    assert (folder / 'a.bin.wrong').read_bytes()[524288:] == CONTENT[524288:]
    part.write_bytes(CONTENT[: len(CONTENT) // 2])
    fetch([file_of(original, url)], folder)
  assert (folder / 'a.bin').read_bytes() == CONTENT


class Simple(http.server.SimpleHTTPRequestHandler):
  """Sends all of a file, whatever part is asked for."""

  def log_message(self, format, *args):
    pass


def test_who_sends_all_instead_of_the_rest_is_understood(original, folder):
  folder.mkdir()
  (folder / 'a.bin.part').write_bytes(CONTENT[:1000])
  with serve(original.parent, Simple) as url:
    fetch([file_of(original, url)], folder)
  assert (folder / 'a.bin').read_bytes() == CONTENT


FETCH = """
import sys
from convscan.data.download import File, fetch
fetch([File('a.bin', sys.argv[1], int(sys.argv[2]), sys.argv[3])], sys.argv[4])
"""


class Slow(Handler):
  """Sends half, and then nothing for longer than the test takes."""

  def do_GET(self):
    self.send_response(200)
    self.send_header('Content-Length', str(len(CONTENT)))
    self.end_headers()
    self.wfile.write(CONTENT[: len(CONTENT) // 2])
    self.wfile.flush()
    with contextlib.suppress(ConnectionError):
      self.connection.recv(1)  # until the other side has gone


def test_a_killed_download_is_never_taken_for_a_file(original, folder):
  with serve(original.parent, Slow) as url:
    file = file_of(original, url)
    process = subprocess.Popen(
      [sys.executable, '-c', FETCH, file.url, str(file.size), file.sha256, str(folder)]
    )
    part = folder / 'a.bin.part'
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
      if part.exists() and part.stat().st_size:
        break
      time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
  assert names(folder) == ['a.bin.part']
  with serve(original.parent) as url:
    fetch([file_of(original, url)], folder)
  assert (folder / 'a.bin').read_bytes() == CONTENT
  assert names(folder) == ['a.bin']


def test_a_wrong_file_that_came_is_kept_aside(original, folder):
  with serve(original.parent) as url:
    file = file_of(original, url)
    original.write_bytes(CONTENT[::-1])
    with pytest.raises(DataError, match=r'a\.bin has the SHA-256 \w+, but should have'):
      fetch([file], folder)
    assert names(folder) == ['a.bin.wrong']
    assert (folder / 'a.bin.wrong').read_bytes() == CONTENT[::-1]


def test_no_more_than_was_announced_is_read(original, folder):
  with serve(original.parent, Endless) as url:
    file = file_of(original, url)
    with pytest.raises(DataError, match='bytes, but should have 1048576'):
      fetch([file], folder)
  assert (folder / 'a.bin.wrong').stat().st_size <= len(CONTENT) + (1 << 20)


@pytest.mark.parametrize('content', [CONTENT[:-1], CONTENT[::-1]])
def test_a_wrong_file_that_was_there_is_left_alone(original, folder, content):
  folder.mkdir()
  (folder / 'a.bin').write_bytes(content)
  file = file_of(original, 'http://127.0.0.1')
  with pytest.raises(DataError, match=r'a\.bin has .* but should have .* move it'):
    fetch([file], folder)
  assert names(folder) == ['a.bin']
  assert (folder / 'a.bin').read_bytes() == content


def test_what_a_server_refuses(original, folder):
  with serve(original.parent) as url:
    file = File('b.bin', f'{url}/b.bin', 1, '')
    with pytest.raises(DataError, match=r'b\.bin can not be downloaded: 404'):
      fetch([file], folder)
  assert names(folder) == []


def _unused_port():
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    return s.getsockname()[1]


@pytest.mark.parametrize(
  'host',
  [f'127.0.0.1:{_unused_port()}', 'no-such-host.invalid'],
  ids=['closed port', 'no such host'],
)
def test_without_a_network_it_says_at_once_what_to_do(host, original, folder):
  original.with_name('b.bin').write_bytes(b'')
  files = [file_of(original, f'http://{host}'), File('b', f'http://{host}/c', 2000, '')]
  start = time.monotonic()
  with pytest.raises(DataError) as error:
    fetch(files, folder, 'python -m this')
  assert time.monotonic() - start < 5
  first, *rest = str(error.value).splitlines()
  assert first.startswith(f'http://{host}/a.bin can not be downloaded: ')
  assert rest == [
    'Download',
    f'  http://{host}/a.bin (1.0 MB)',
    f'  http://{host}/c (2.0 kB) as b',
    'into the folder',
    f'  {folder}',
    'and run',
    '  python -m this',
  ]
  assert names(folder) == []


def test_a_server_that_does_not_answer(folder, monkeypatch):
  monkeypatch.setattr('convscan.data.download._ANSWER_SECONDS', 0.2)
  with socket.socket() as silent:
    silent.bind(('127.0.0.1', 0))
    silent.listen()
    url = f'http://127.0.0.1:{silent.getsockname()[1]}/a'
    start = time.monotonic()
    with pytest.raises(DataError, match=r'no answer in 0\.2 seconds'):
      fetch([File('a', url, 1, '')], folder)
    assert time.monotonic() - start < 5


def test_what_only_a_person_can_get(folder):
  file = File('a.tar', '', 147897477120, '', page='https://example.org/')
  with pytest.raises(
    DataError, match=r'a\.tar from https://example\.org/ \(147\.9 GB\)'
  ):
    fetch([file], folder)
  assert not folder.exists()


def test_who_asks_at_once_fetches_once(original, folder):
  asked = []

  class Counting(Handler):
    def do_GET(self):
      asked.append(self.path)
      super().do_GET()

  with serve(original.parent, Counting) as url:
    file = file_of(original, url)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
      for done in [pool.submit(fetch, [file], folder) for _ in range(4)]:
        done.result()
  assert len(asked) == 1
  assert (folder / 'a.bin').read_bytes() == CONTENT


def test_a_size_that_no_source_tells(original, folder):
  with serve(original.parent) as url:
    fetch([File('x', f'{url}/a.bin', 0, hashlib.sha256(CONTENT).hexdigest())], folder)
  assert os.path.getsize(folder / 'x') == len(CONTENT)


@pytest.mark.parametrize('handler', [Breaking, BreakingChunks])
def test_a_part_of_a_file_of_unknown_size_is_not_taken_for_it(
  handler, original, folder
):
  with serve(original.parent, handler) as url:
    message = r'a\.bin: the connection ended after 524288 bytes, before .* begins anew'
    with pytest.raises(DataError, match=message):
      fetch([File('a.bin', f'{url}/a.bin', 0, '')], folder)
  assert names(folder) == ['a.bin.part']
  with serve(original.parent) as url:
    fetch([File('a.bin', f'{url}/a.bin', 0, '')], folder)
  assert (folder / 'a.bin').read_bytes() == CONTENT
  assert names(folder) == ['a.bin']
