"""The idx family from small files of its format."""

import contextlib
import dataclasses
import gzip
import re
import struct
import zipfile

import numpy as np
import pytest
from declaring import check_declared
from serving import offered

from convscan import data
from convscan.data.builders import idx
from convscan.data.errors import DataError


def packed(values):
  header = bytes([0, 0, 8, values.ndim]) + struct.pack(
    f'>{values.ndim}i', *values.shape
  )
  return gzip.compress(header + values.astype(np.uint8).tobytes())


def random(count, classes, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (count, 28, 28)), rng.integers(0, classes, count)


@pytest.fixture
def served(tmp_path, monkeypatch):
  """Offers files: yields a function that takes a set's name and its files' content."""
  with contextlib.ExitStack() as stack:

    def offer(name, contents):
      folder = tmp_path / 'served'
      stack.enter_context(offered(folder, monkeypatch, idx.FILES, name, contents))

    yield offer


def four(train, test):
  return {
    f'{split}-{kind}-ubyte.gz': packed(values)
    for split, pair in (('train', train), ('t10k', test))
    for kind, values in zip(('images-idx3', 'labels-idx1'), pair, strict=True)
  }


def check(source, images, labels):
  examples = [source[i] for i in range(len(source))]
  assert len(examples) == len(images)
  assert examples[0]['inputs'].dtype == np.float32
  assert examples[0]['targets'].dtype == np.int32
  got = np.stack([example['inputs'] for example in examples])
  np.testing.assert_allclose(got, images[..., None] / 255, rtol=1e-6)
  np.testing.assert_array_equal([e['targets'] for e in examples], labels)


@pytest.mark.parametrize(
  ('name', 'third'), [('mnist', '2'), ('fashion_mnist', 'Pullover'), ('kmnist', 'su')]
)
def test_each_is_what_its_files_hold(served, tmp_path, name, third):
  train, test = random(30, 10), random(12, 10, seed=1)
  served(name, four(train, test))
  dataset = data.build(name, data_dir=tmp_path / 'sets', max_shift=2)
  check_declared(dataset, max_shift=2)
  prepared = data.declare(name, data_dir=tmp_path / 'sets')
  check(prepared.splits['test'], *test)
  assert (dataset.name, len(dataset.classes)) == (name, 10)
  assert dataset.classes[2] == third
  check(dataset.splits['train'], *train)
  check(dataset.splits['test'], *test)
  assert len(dataset.augment) == 1


@pytest.mark.parametrize(
  ('split', 'classes'),
  [
    # From the mapping files in the archive, as NIST describes them.
    ('byclass', {0: '0', 10: 'A', 35: 'Z', 36: 'a', 61: 'z'}),
    ('bymerge', {9: '9', 10: 'A', 36: 'a', 38: 'd', 42: 'h', 46: 't'}),
    ('balanced', {9: '9', 10: 'A', 36: 'a', 38: 'd', 42: 'h', 46: 't'}),
    ('letters', {0: 'a', 25: 'z'}),
    ('digits', {0: '0', 9: '9'}),
    ('mnist', {0: '0', 9: '9'}),
  ],
)
def test_emnist_stands_upright_and_names_its_characters(
  served, tmp_path, split, classes
):
  count = max(classes) + 1
  first = split == 'letters'  # whose labels begin at 1
  parts = {'train': random(12, count), 'test': random(5, count, seed=1)}
  path = tmp_path / 'gzip.zip'
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr(f'gzip/emnist-{split}-mapping.txt', '0 48\n')
    for part, (images, labels) in parts.items():
      lying = np.swapaxes(images, 1, 2)
      for kind, values in (('images-idx3', lying), ('labels-idx1', labels + first)):
        for name, content in ((split, values), ('other', 0 * values)):
          archive.writestr(
            f'gzip/emnist-{name}-{part}-{kind}-ubyte.gz', packed(content)
          )
  served('emnist', {'gzip.zip': path.read_bytes()})
  dataset = data.build('emnist', data_dir=tmp_path / 'sets', split=split)
  check_declared(dataset, split=split)
  assert len(dataset.classes) == count
  assert {i: dataset.classes[i] for i in classes} == classes
  for part, (images, labels) in parts.items():
    check(dataset.splits[part], images, labels)


def test_emnist_has_no_other_split(tmp_path):
  with pytest.raises(ValueError, match="split is 'letter', but must be one of bycl"):
    data.build('emnist', data_dir=tmp_path, split='letter')


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'train-images-idx3-ubyte.gz': gzip.compress(b'PNG')}, r"begins with b'PNG'"),
    (
      {'train-labels-idx1-ubyte.gz': packed(np.arange(9))},
      r'train-labels-idx1-ubyte\.gz: 9 labels, but images \(30, 28, 28, 1\)',
    ),
    (
      {'t10k-labels-idx1-ubyte.gz': packed(np.arange(12))},
      r't10k-labels-idx1-ubyte\.gz: the label of image 10 is 10, but must be 0 to 9',
    ),
    (
      {'t10k-labels-idx1-ubyte.gz': gzip.compress(b'\0\0\x08\x01\0\0\0\x0cabc')},
      r't10k-labels-idx1-ubyte\.gz: has 11 bytes, but its header announces values',
    ),
    (
      {'t10k-images-idx3-ubyte.gz': gzip.compress(b'\0\0\x08\x03\0\0')},
      r'header announces values',
    ),
    (
      {'t10k-images-idx3-ubyte.gz': gzip.compress(bytes(10**7 + 1))},
      r't10k-images-idx3-ubyte\.gz unpacks to more than 10000000 bytes',
    ),
  ],
)
def test_a_file_that_is_not_what_it_should_be_is_named(
  served, tmp_path, change, message
):
  served('mnist', four(random(30, 10), random(12, 10)) | change)
  with pytest.raises(DataError, match=message) as error:
    data.build('mnist', data_dir=tmp_path / 'sets')
  assert re.match(rf'{tmp_path}/sets/downloads/mnist/\S+.*\Z', str(error.value))


def test_offline_it_says_what_to_download(tmp_path, monkeypatch):
  url = 'http://no-such-host.invalid/kmnist/dataset/kmnist/'
  files = tuple(
    dataclasses.replace(f, url=f.url.replace('codh.rois.ac.jp', 'no-such-host.invalid'))
    for f in idx.FILES['kmnist']
  )
  monkeypatch.setitem(idx.FILES, 'kmnist', files)
  with pytest.raises(DataError) as error:
    data.build('kmnist', data_dir=tmp_path)
  assert str(error.value).splitlines()[1:] == [
    'Download',
    f'  {url}train-images-idx3-ubyte.gz (18.2 MB)',
    f'  {url}train-labels-idx1-ubyte.gz (29.5 kB)',
    f'  {url}t10k-images-idx3-ubyte.gz (3.0 MB)',
    f'  {url}t10k-labels-idx1-ubyte.gz (5.1 kB)',
    'into the folder',
    f'  {tmp_path}/downloads/kmnist',
    'and run',
    f'  python -m convscan.data.prepare kmnist --data_dir={tmp_path}',
  ]
