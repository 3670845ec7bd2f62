"""The idx family from small files of its format."""

import gzip
import struct

import numpy as np
import pytest
from serving import file_of, serve

from convscan import data
from convscan.data.builders import idx


def write_idx(path, values):
  header = bytes([0, 0, 8, values.ndim]) + struct.pack(
    f'>{values.ndim}i', *values.shape
  )
  path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


def make(folder, counts=(30, 12), classes=10):
  """Writes two splits; returns images and labels of both."""
  rng = np.random.default_rng(0)
  arrays = {}
  for split, count in zip(('train', 't10k'), counts, strict=True):
    images = rng.integers(0, 256, (count, 28, 28))
    labels = rng.integers(0, classes, count)
    write_idx(folder / f'{split}-images-idx3-ubyte.gz', images)
    write_idx(folder / f'{split}-labels-idx1-ubyte.gz', labels)
    arrays[split] = images, labels
  return arrays


@pytest.fixture
def served(tmp_path, monkeypatch):
  folder = tmp_path / 'served'
  folder.mkdir()
  arrays = make(folder)
  with serve(folder) as url:
    files = tuple(file_of(folder / file.name, url) for file in idx.FILES['mnist'])
    monkeypatch.setitem(idx.FILES, 'mnist', files)
    yield arrays


def test_mnist_is_what_the_files_hold(served, tmp_path):
  dataset = data.build('mnist', data_dir=tmp_path / 'sets')
  assert dataset.classes == tuple('0123456789')
  for split, part in (('train', 'train'), ('test', 't10k')):
    images, labels = served[part]
    examples = [dataset.splits[split][i] for i in range(len(dataset.splits[split]))]
    assert len(examples) == len(images)
    assert examples[0]['inputs'].shape == (28, 28, 1)
    assert examples[0]['inputs'].dtype == np.float32
    got = np.stack([example['inputs'][..., 0] for example in examples])
    np.testing.assert_allclose(got, images / 255, rtol=1e-6)
    np.testing.assert_array_equal([e['targets'] for e in examples], labels)
