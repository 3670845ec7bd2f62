"""SVHN from small Matlab files of its format."""

import dataclasses
import io

import numpy as np
import pytest
import scipy.io
from declaring import check_declared
from serving import offered

from convscan import data
from convscan.data.builders import svhn
from convscan.data.errors import DataError


def mat(**arrays):
  out = io.BytesIO()
  scipy.io.savemat(out, arrays, do_compression=True)
  return out.getvalue()


def random(count, seed):
  """Returns images, and the digits, which hold 0."""
  rng = np.random.default_rng(seed)
  images = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
  return images, rng.permutation(np.arange(count) % 10)


def write(images, digits):
  labels = np.where(digits == 0, 10, digits).astype(np.uint8)
  return mat(X=np.stack(list(images), axis=3), y=labels[:, None])


def check(source, images, digits):
  examples = [source[i] for i in range(len(source))]
  got = np.stack([example['inputs'] for example in examples])
  np.testing.assert_allclose(got, images / 255, rtol=1e-6)
  np.testing.assert_array_equal([e['targets'] for e in examples], digits)


@pytest.fixture
def parts(tmp_path, monkeypatch):
  parts = {'train': random(20, 0), 'test': random(11, 1), 'extra': random(15, 2)}
  contents = {f'{k}_32x32.mat': write(*part) for k, part in parts.items()}
  with (
    offered(tmp_path / 'a', monkeypatch, svhn.FILES, 'train', contents),
    offered(tmp_path / 'b', monkeypatch, svhn.FILES, 'test', contents),
  ):
    yield parts, contents


def test_ten_means_zero(parts, tmp_path):
  dataset = data.build('svhn', data_dir=tmp_path)
  check_declared(dataset)
  assert dataset.classes == tuple('0123456789')
  check(dataset.splits['train'], *parts[0]['train'])
  check(dataset.splits['test'], *parts[0]['test'])


def test_the_extra_images_follow_the_others(parts, tmp_path, monkeypatch):
  parts, contents = parts
  with offered(tmp_path / 'c', monkeypatch, svhn.FILES, 'extra', contents):
    dataset = data.build('svhn', data_dir=tmp_path, extra=True)
  check_declared(dataset, extra=True)
  (images, digits), (more, more_digits) = parts['train'], parts['extra']
  images, digits = np.concatenate([images, more]), np.append(digits, more_digits)
  check(dataset.splits['train'], images, digits)
  check(dataset.splits['test'], *parts['test'])
  last = dataset.splits['train'][-1]['targets']
  assert last == more_digits[-1]
  with pytest.raises(IndexError):
    dataset.splits['train'][35]


def test_the_extra_images_are_asked_for_by_their_option(parts, tmp_path, monkeypatch):
  file = dataclasses.replace(svhn.FILES['extra'], url='http://no-such-host.invalid/e')
  monkeypatch.setitem(svhn.FILES, 'extra', file)
  with pytest.raises(DataError, match=r'(?s)as extra_32x32\.mat\n.* svhn --extra --da'):
    data.build('svhn', data_dir=tmp_path, extra=True)


IMAGES = np.zeros((32, 32, 3, 2), np.uint8)


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (b'MATLAB' + bytes(200), r'test_32x32\.mat is damaged: '),
    (mat(X=IMAGES), r'test_32x32\.mat: has X; expected X and y'),
    (mat(X=IMAGES, y=[[3], [0]]), 'the label of image 1 is 0, but must be 1 to 10'),
    (mat(X=IMAGES, y=[[11], [1]]), 'the label of image 0 is 11, but must be 1 to 10'),
    (mat(X=IMAGES, y=[[1]]), r'1 labels, but images \(2, 32, 32, 3\)'),
    (mat(X=IMAGES[:31], y=[[1], [2]]), r'images \(2, 31, 32, 3\)'),
    (mat(X=IMAGES / 2, y=[[1], [2]]), r'X is float64 \(32, 32, 3, 2\); expected uint8'),
    (mat(X=np.zeros((32, 32, 3, 4000), np.uint8), y=[[1]]), 'more than 10000000 bytes'),
  ],
)
def test_a_file_that_is_not_that_is_named(
  parts, tmp_path, monkeypatch, content, message
):
  contents = parts[1] | {'test_32x32.mat': content}
  with (
    offered(tmp_path / 'd', monkeypatch, svhn.FILES, 'test', contents),
    pytest.raises(DataError, match=message),
  ):
    data.build('svhn', data_dir=tmp_path)
