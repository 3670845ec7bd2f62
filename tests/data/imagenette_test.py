"""Imagenette from small archives of its format."""

import io
import tarfile

import numpy as np
import pytest
from declaring import check_declared
from PIL import Image
from serving import offered

from convscan import data
from convscan.data.builders import imagenette
from convscan.data.errors import DataError

# In another order than that of the labels.
PHOTOGRAPHS = {
  'train/n03888257/n03888257_1.JPEG': (9, 'blue'),
  'train/n01440764/n01440764_1.JPEG': (0, 'red'),
  'val/n01440764/ILSVRC2012_val_1.JPEG': (0, 'red'),
  'train/n02102040/ILSVRC2012_val_7.JPEG': (1, 'lime'),
  'val/n03445777/ILSVRC2012_val_3.JPEG': (8, 'white'),
}


def jpeg(color, size=(60, 50)):
  out = io.BytesIO()
  Image.new('RGB', size, color).save(out, 'jpeg', quality=95)
  return out.getvalue()


def tgz(files):
  out = io.BytesIO()
  with tarfile.open(fileobj=out, mode='w:gz') as archive:
    for name, content in files.items():
      info = tarfile.TarInfo(f'imagenette2-160/{name}')
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))
  return out.getvalue()


def photographs():
  return {name: jpeg(color) for name, (_, color) in PHOTOGRAPHS.items()}


OTHERS = {'noisy_imagenette.csv': b'path,noisy', 'train/n01440764/._a.JPEG': b'\0'}


def test_folders_tell_split_and_class(tmp_path, monkeypatch):
  contents = {'imagenette2-160.tgz': tgz(photographs() | OTHERS)}
  with offered(tmp_path / 's', monkeypatch, imagenette.FILES, '160px', contents):
    dataset = data.build('imagenette', data_dir=tmp_path, size=32)
  check_declared(dataset, size=32)
  assert dataset.classes[8:] == ('golf ball', 'parachute')
  for split, part in (('train', 'train'), ('test', 'val')):
    wanted = [v for name, v in PHOTOGRAPHS.items() if name.startswith(part)]
    source = dataset.splits[split]
    examples = [source[i] for i in range(len(source))]
    assert [e['targets'] for e in examples] == [label for label, _ in wanted]
    for example, (_, color) in zip(examples, wanted, strict=True):
      pixel = np.array(Image.new('RGB', (1, 1), color))[0, 0] / 255
      normal = (pixel - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
      assert example['inputs'].shape == (32, 32, 3)
      np.testing.assert_allclose(
        example['inputs'].mean((0, 1)), normal, atol=0.1, err_msg=color
      )


def test_files_are_kept_as_they_came(tmp_path, monkeypatch):
  from convscan.data.prepared import open_splits

  contents = {'imagenette2-160.tgz': tgz(photographs())}
  with offered(tmp_path / 's', monkeypatch, imagenette.FILES, '160px', contents):
    data.build('imagenette', data_dir=tmp_path)
  _, records = open_splits(imagenette.Imagenette, tmp_path)
  kept = {r['file_name'].decode(): r['image'] for r in records['train']}
  assert kept == {
    name.rpartition('/')[2]: content
    for name, content in photographs().items()
    if name.startswith('train')
  }


@pytest.mark.parametrize(
  ('files', 'message'),
  [
    (
      photographs() | {'val/n00000001/a.JPEG': jpeg('red')},
      r"'imagenette2-160/val/n00000001/a\.JPEG' is of no class; known: n01440764, ",
    ),
    (
      {'train/n03888257/n03888257_1.JPEG': jpeg('red')},
      r'imagenette2-160\.tgz: has no val/CLASS/NAME\.JPEG',
    ),
  ],
)
def test_what_an_archive_holds_else_is_named(tmp_path, monkeypatch, files, message):
  contents = {'imagenette2-160.tgz': tgz(files)}
  with (
    offered(tmp_path / 's', monkeypatch, imagenette.FILES, '160px', contents),
    pytest.raises(DataError, match=message),
  ):
    data.build('imagenette', data_dir=tmp_path)


def test_a_damaged_photograph_is_named_when_it_is_read(tmp_path, monkeypatch):
  files = photographs()
  name = 'train/n01440764/n01440764_1.JPEG'
  files[name] = files[name][:-100]
  contents = {'imagenette2-160.tgz': tgz(files)}
  with offered(tmp_path / 's', monkeypatch, imagenette.FILES, '160px', contents):
    source = data.build('imagenette', data_dir=tmp_path).splits['train']
  assert source[0]
  with pytest.raises(
    DataError,
    match=r'^imagenette, train: example 1: '
    rf"{tmp_path}/imagenette/160px/2\.0\.0: record 1 of 'train' "
    r'\(n01440764_1\.JPEG\): .*(?i:truncated)',
  ):
    source[1]


def test_an_option_that_can_not_be_is_refused_before_any_download(tmp_path):
  with pytest.raises(
    ValueError, match="version is '160', but must be one of 160px, 32"
  ):
    data.build('imagenette', data_dir=tmp_path, version='160')
  with pytest.raises(ValueError, match=r'preprocess: got .resnet51.'):
    data.build('imagenette', data_dir=tmp_path, preprocess='resnet51')
  assert not list(tmp_path.iterdir())
