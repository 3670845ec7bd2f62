"""ImageNet's development kit as torchvision reads it."""

import hashlib

from imagenet2012_test import TRUTH, devkit
from torchvision.datasets import imagenet

from convscan.data.builders.imagenet2012 import read_devkit


def test_classes_and_truth_are_those_of_torchvision(tmp_path, monkeypatch):
  path = tmp_path / 'ILSVRC2012_devkit_t12.tar.gz'
  path.write_bytes(devkit(TRUTH))
  md5 = hashlib.md5(path.read_bytes()).hexdigest()
  monkeypatch.setitem(imagenet.ARCHIVE_META, 'devkit', (path.name, md5))
  imagenet.parse_devkit_archive(tmp_path)
  words, truth = imagenet.load_meta_file(tmp_path)
  classes, ours, counts = read_devkit(path, 10**8)
  assert {wnid: tuple(name.split(', ')) for wnid, name in classes.items()} == words
  assert list(classes) == sorted(words)
  assert ours == truth
  assert sum(counts.values()) == 1001
