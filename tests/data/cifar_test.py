"""CIFAR from small binary archives of its format."""

import io
import tarfile

import numpy as np
import pytest
from declaring import check_declared
from serving import offered

from convscan import data
from convscan.data.builders import cifar
from convscan.data.errors import DataError

NAMES = {
  'batches.meta.txt': [f'class{i}' for i in range(10)],
  'fine_label_names.txt': [f'fine_{i}' for i in range(100)],
  'coarse_label_names.txt': [f'coarse_{i}' for i in range(20)],
}


def tar(files):
  """Returns the bytes of a .tar.gz, within a folder as theirs are."""
  out = io.BytesIO()
  with tarfile.open(fileobj=out, mode='w:gz') as archive:
    folder = tarfile.TarInfo('cifar-bin')
    folder.type = tarfile.DIRTYPE
    archive.addfile(folder)
    for name, content in files.items():
      info = tarfile.TarInfo(f'cifar-bin/{name}')
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))
  return out.getvalue()


def texts(*names):
  return {name: '\n'.join([*NAMES[name], '', '']).encode() for name in names}


def write(images, *labels):
  """Writes the records in the plainest way: byte by byte."""
  content = bytearray()
  for i, image in enumerate(images):
    content += bytes(int(column[i]) for column in labels)
    for channel in range(3):
      for y in range(32):
        content += bytes(int(image[y, x, channel]) for x in range(32))
  return bytes(content)


def random(count, classes, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (count, 32, 32, 3)), rng.integers(0, classes, count)


def check(source, images, labels):
  examples = [source[i] for i in range(len(source))]
  assert len(examples) == len(images)
  got = np.stack([example['inputs'] for example in examples])
  assert got.dtype == np.float32
  np.testing.assert_allclose(got, images / 255, rtol=1e-6)
  np.testing.assert_array_equal([e['targets'] for e in examples], labels)


def test_cifar10_joins_its_batches_in_order(tmp_path, monkeypatch):
  images, labels = random(10, 10)
  files = {
    # Not in order, as in the original.
    f'data_batch_{i}.bin': write(images[2 * i - 2 : 2 * i], labels[2 * i - 2 : 2 * i])
    for i in (3, 1, 2, 5, 4)
  }
  test = random(3, 10, seed=1)
  files |= {'test_batch.bin': write(*test), 'readme.html': b'<p>'}
  contents = {'cifar-10-binary.tar.gz': tar(files | texts('batches.meta.txt'))}
  with offered(tmp_path / 's', monkeypatch, cifar.FILES, 'cifar10', contents):
    dataset = data.build('cifar10', data_dir=tmp_path, max_shift=4, flip=True)
  check_declared(dataset, max_shift=4, flip=True)
  assert dataset.classes == tuple(NAMES['batches.meta.txt'])
  check(dataset.splits['train'], images, labels)
  check(dataset.splits['test'], *test)
  assert dataset.splits['train'][0]['inputs'].shape == (32, 32, 3)
  assert [type(t).__name__ for t in dataset.augment] == [
    'RandomShift',
    'RandomHorizontalFlip',
  ]
  # Now it is there, names and all.
  assert data.build('cifar10', data_dir=tmp_path).classes == dataset.classes


@pytest.mark.parametrize('labels', ['fine', 'coarse'])
def test_cifar100_has_two_labels(tmp_path, monkeypatch, labels):
  images, fine = random(6, 100)
  coarse = fine // 5
  files = {
    'train.bin': write(images[:4], coarse[:4], fine[:4]),
    'test.bin': write(images[4:], coarse[4:], fine[4:]),
  } | texts('fine_label_names.txt', 'coarse_label_names.txt')
  contents = {'cifar-100-binary.tar.gz': tar(files)}
  with offered(tmp_path / 's', monkeypatch, cifar.FILES, 'cifar100', contents):
    dataset = data.build('cifar100', data_dir=tmp_path, labels=labels)
  check_declared(dataset, labels=labels)
  assert dataset.classes == tuple(NAMES[f'{labels}_label_names.txt'])
  wanted = {'fine': fine, 'coarse': coarse}[labels]
  check(dataset.splits['train'], images[:4], wanted[:4])
  check(dataset.splits['test'], images[4:], wanted[4:])


def test_cifar100_has_no_other_labels(tmp_path):
  with pytest.raises(ValueError, match="labels is 'find', but must be 'fine' or 'coa"):
    data.build('cifar100', data_dir=tmp_path, labels='find')


@pytest.mark.parametrize(
  ('files', 'message'),
  [
    (
      {'test.bin': b''} | texts('fine_label_names.txt'),
      r'cifar-100-binary\.tar\.gz: has no train\.bin$',
    ),
    (
      {'train.bin': bytes(3074), 'test.bin': bytes(3073)}
      | texts('fine_label_names.txt'),
      r'test\.bin has 3073 bytes; expected a multiple of 3074',
    ),
    (
      {'train.bin': b'', 'test.bin': b'', 'fine_label_names.txt': b'a\nb\n'},
      r'fine_label_names\.txt names 2 classes; expected 100',
    ),
    (
      {'train.bin': bytes(3074) + bytes([7, 100]) + bytes(3072), 'test.bin': b''}
      | texts('fine_label_names.txt'),
      r'train\.bin: the label of image 1 is 100, but must be 0 to 99',
    ),
  ],
)
def test_what_an_archive_lacks_is_named(tmp_path, monkeypatch, files, message):
  contents = {'cifar-100-binary.tar.gz': tar(files)}
  with (
    offered(tmp_path / 's', monkeypatch, cifar.FILES, 'cifar100', contents),
    pytest.raises(DataError, match=message),
  ):
    data.build('cifar100', data_dir=tmp_path)
