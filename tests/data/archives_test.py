"""Archives, honest and hostile."""

import bz2
import gzip
import io
import lzma
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pytest

from convscan.data.archives import members
from convscan.data.errors import DataError

FILES = {'d/a.txt': b'first\nsecond\n', 'd/b.bin': bytes(1000), 'empty': b''}


def read(path, max_bytes=10**6):
  for _, file in members(path, max_bytes):
    while file.read(1 << 16):
      pass


def write_tar(path, mode='w'):
  with tarfile.open(path, mode) as tar:
    folder = tarfile.TarInfo('d')
    folder.type = tarfile.DIRTYPE
    tar.addfile(folder)
    for name, content in FILES.items():
      info = tarfile.TarInfo(name)
      info.size = len(content)
      tar.addfile(info, io.BytesIO(content))


def write_zip(path):
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    archive.mkdir('d')
    for name, content in FILES.items():
      archive.writestr(name, content)


@pytest.mark.parametrize(
  ('name', 'write'),
  [
    ('x.tar', write_tar),
    ('x.tar.gz', lambda path: write_tar(path, 'w:gz')),
    ('x.tgz', lambda path: write_tar(path, 'w:gz')),
    ('x.tar.bz2', lambda path: write_tar(path, 'w:bz2')),
    ('x.tar.xz', lambda path: write_tar(path, 'w:xz')),
    ('x.zip', write_zip),
  ],
)
def test_members_are_read_in_order(tmp_path, name, write):
  write(tmp_path / name)
  assert {n: f.read() for n, f in members(tmp_path / name, 10**5)} == FILES
  assert [n for n, _ in members(tmp_path / name, 10**5)] == list(FILES)
  lines = [list(f) for n, f in members(tmp_path / name, 10**5) if n == 'd/a.txt']
  assert lines == [[b'first\n', b'second\n']]


def test_one_compressed_file(tmp_path):
  (tmp_path / 'a.txt.gz').write_bytes(gzip.compress(b'text'))
  assert [(n, f.read()) for n, f in members(tmp_path / 'a.txt.gz', 9)] == [
    ('a.txt', b'text')
  ]


def test_a_tar_of_tars(tmp_path):
  write_tar(tmp_path / 'inner.tar')
  with tarfile.open(tmp_path / 'outer.tar.gz', 'w:gz') as tar:
    tar.add(tmp_path / 'inner.tar', 'inner.tar')
  found = {}
  for name, file in members(tmp_path / 'outer.tar.gz', 10**5):
    found |= {n: f.read() for n, f in members(name, 10**5, file)}
  assert found == FILES


def tar_with(path, **attributes):
  info = tarfile.TarInfo('a')
  for name, value in attributes.items():
    setattr(info, name, value)
  with tarfile.open(path, 'w') as tar:
    tar.addfile(info, io.BytesIO(bytes(info.size)))


@pytest.mark.parametrize(
  'name', ['../a', 'd/../../a', '/a', '..', 'C:/a', 'd\\..\\..\\a', '\\a']
)
def test_names_outside_of_the_folder_are_refused(tmp_path, name):
  tar_with(tmp_path / 'x.tar', name=name)
  with zipfile.ZipFile(tmp_path / 'x.zip', 'w') as archive:
    archive.writestr(name, b'')
  for path in (tmp_path / 'x.tar', tmp_path / 'x.zip'):
    with pytest.raises(
      DataError, match='would be outside of its folder; it is refused'
    ):
      list(members(path, 10**5))


@pytest.mark.parametrize(
  'kind', ['SYMTYPE', 'LNKTYPE', 'CHRTYPE', 'BLKTYPE', 'FIFOTYPE']
)
def test_links_and_devices_are_refused(tmp_path, kind):
  tar_with(tmp_path / 'x.tar', type=getattr(tarfile, kind), linkname='b')
  with pytest.raises(DataError, match="'a' is a link or a device; it is refused"):
    list(members(tmp_path / 'x.tar', 10**5))


def test_a_link_in_a_zip_is_refused(tmp_path):
  info = zipfile.ZipInfo('a')
  info.external_attr = 0o120777 << 16
  with zipfile.ZipFile(tmp_path / 'x.zip', 'w') as archive:
    archive.writestr(info, '/etc/passwd')
  with pytest.raises(DataError, match="'a' is a link or a device; it is refused"):
    list(members(tmp_path / 'x.zip', 10**5))


BOMB = 10**8


@pytest.mark.parametrize('kind', ['gz', 'tar.gz', 'tar.bz2', 'tar.xz', 'zip', 'pax'])
def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path, kind):
  path = tmp_path / f'x.{kind}'
  if kind == 'gz':
    path.write_bytes(gzip.compress(bytes(BOMB)))
  elif kind == 'zip':
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
      archive.writestr('a', bytes(BOMB))
  elif kind == 'pax':  # a header that is all of it, which tarfile keeps in memory
    path = tmp_path / 'x.tar.gz'
    header = tarfile.TarInfo('a')
    header.type, header.size = tarfile.XHDTYPE, BOMB
    path.write_bytes(gzip.compress(header.tobuf(tarfile.USTAR_FORMAT) + bytes(BOMB)))
  else:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode='w') as tar:
      info = tarfile.TarInfo('a')
      info.size = BOMB
      tar.addfile(info, io.BytesIO(bytes(BOMB)))
    compress = {'tar.gz': gzip, 'tar.bz2': bz2, 'tar.xz': lzma}[kind].compress
    path.write_bytes(compress(plain.getvalue()))
    del plain
  assert path.stat().st_size < 10**6
  tracemalloc.start()
  with pytest.raises(DataError, match='unpacks to more than 1000000 bytes; it is ref'):
    read(path)
  assert tracemalloc.get_traced_memory()[1] < 10**7
  tracemalloc.stop()


def test_a_zip_that_lies_about_a_size_is_not_read_beyond_it(tmp_path):
  path = tmp_path / 'x.zip'
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    archive.writestr('a', bytes(BOMB))
  told = BOMB.to_bytes(4, 'little')
  path.write_bytes(path.read_bytes().replace(told, (1000).to_bytes(4, 'little')))
  with pytest.raises(DataError, match='is damaged: Bad CRC-32'):
    read(path)


def test_a_sparse_file_counts_as_what_it_unpacks_to(tmp_path):
  header = tarfile.TarInfo('a')
  header.type = tarfile.GNUTYPE_SPARSE
  block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
  block[386:410] = b'00000000000\x00' * 2  # one piece, of nothing
  block[483:495] = b'77777777777\x00'  # of a file of 8 GiB
  block[148:156] = b' ' * 8
  block[148:156] = b'%06o\x00 ' % sum(block)
  (tmp_path / 'x.tar').write_bytes(bytes(block) + bytes(1024))
  with pytest.raises(DataError, match='unpacks to more than'):
    list(members(tmp_path / 'x.tar', 10**6))


@pytest.mark.parametrize('kind', ['tar', 'tar.gz', 'tar.bz2', 'tar.xz', 'zip'])
@pytest.mark.parametrize('part', [0.2, 0.6, 0.9])
def test_what_is_cut_off_is_said_to_be_damaged(tmp_path, kind, part):
  path = tmp_path / f'x.{kind}'
  noise = np.random.default_rng(0).bytes(10**5)
  if kind == 'zip':
    with zipfile.ZipFile(path, 'w') as archive:
      archive.writestr('a', noise)
  else:
    with tarfile.open(path, 'w' + kind.replace('tar', '').replace('.', ':')) as tar:
      info = tarfile.TarInfo('a')
      info.size = len(noise)
      tar.addfile(info, io.BytesIO(noise))
  path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
  with pytest.raises(DataError, match=rf'{path} is damaged: '):
    read(path)


@pytest.mark.parametrize('kind', ['tar', 'tar.gz', 'tar.bz2', 'tar.xz', 'zip', 'gz'])
def test_what_is_no_archive_is_said_to_be_damaged(tmp_path, kind):
  path = tmp_path / f'x.{kind}'
  path.write_bytes(b'<html>' + bytes(1000))
  message = rf'{path} is damaged: .+\. Remove it and run the same again, which fetches'
  with pytest.raises(DataError, match=message):
    read(path)


def test_a_flipped_byte_is_found_by_the_checksum_of_the_format(tmp_path):
  path = tmp_path / 'x.zip'
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('a', bytes(1000))
  content = bytearray(path.read_bytes())
  content[500] ^= 1
  path.write_bytes(content)
  with pytest.raises(DataError, match='is damaged: Bad CRC-32'):
    read(path)


def test_a_locked_zip(tmp_path):
  path = tmp_path / 'x.zip'
  write_zip(path)
  content = bytearray(path.read_bytes())
  for mark, at in ((b'PK\x03\x04', 6), (b'PK\x01\x02', 8)):
    start = -1
    while (start := content.find(mark, start + 1)) >= 0:
      content[start + at] |= 1
  path.write_bytes(content)
  with pytest.raises(DataError, match=r'is damaged: .*encrypted'):
    list(members(path, 10**6))


def test_other_kinds_are_not_guessed(tmp_path):
  with pytest.raises(
    ValueError, match=r"path is .*x\.rar', but must end in one of \.tar"
  ):
    list(members(tmp_path / 'x.rar', 1))
