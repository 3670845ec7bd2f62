"""A folder of images, against pixels and hashes by hand, and files that are broken."""

import hashlib
import io
import logging
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from convscan import data
from convscan.data import partition
from convscan.data.transforms import published

CLASSES = ('cats', 'dogs')
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def _save(path, image, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  image.save(path, **options)


def _fill(root, count=4):
  """Saves images whose colour says which each is."""
  for c, name in enumerate(CLASSES):
    for i in range(count):
      _save(root / name / f'{i}.png', Image.new('RGB', (6, 5), (i, c, 0)))
  return root


def _open(path, **options):
  return data.build('image_folder', path=str(path), **{'size': 4} | options)


def _pixels(example):
  """What the image was before it was normalised, 0 to 255."""
  return (example['inputs'] * STD + MEAN) * 255


def _files(dataset, split):
  """The files of `_fill` in a split."""
  source, names = dataset.splits[split], set()
  for index in range(len(source)):
    i, c, _ = np.round(_pixels(source[index])[0, 0]).astype(int)
    assert source[index]['targets'] == c
    names.add(f'{CLASSES[c]}/{i}.png')
  return names


def test_classes_are_folders_and_pixels_pillows(tmp_path):
  pixels = np.random.default_rng(0).integers(0, 256, (10, 20, 3), np.uint8)
  for split in ('train', 'test'):
    _fill(tmp_path / split, 1)
    _save(tmp_path / split / 'dogs' / 'deep' / 'x.PNG', Image.fromarray(pixels))
  (tmp_path / 'train/cats/.DS_Store').write_bytes(b'no image')
  dataset = _open(tmp_path, preprocess='resnet50', size=0)
  assert (dataset.task, dataset.classes) == ('classification', CLASSES)
  expected = published('resnet50')(Image.fromarray(pixels))
  for source in dataset.splits.values():
    assert [source[i]['targets'].item() for i in range(len(source))] == [0, 1, 1]
    assert {k: (v.shape, v.dtype) for k, v in source[2].items()} == {
      'inputs': ((224, 224, 3), np.float32),
      'targets': ((), np.int32),
      'weights': ((), np.float32),
    }
    np.testing.assert_array_equal(source[2]['inputs'], expected)


def test_images_are_augmented_while_training(tmp_path):
  _fill(tmp_path / 'train'), _fill(tmp_path / 'test')
  pixels = np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8)
  for file in (tmp_path / 'train').rglob('*.png'):
    Image.fromarray(pixels).save(file)
  batches = data.train_batches(_open(tmp_path), 8, 0, num_threads=0)
  assert len(np.unique(next(batches)['inputs'], axis=0)) == 8
  batches = data.train_batches(_open(tmp_path, augment=''), 8, 0, num_threads=0)
  assert len(np.unique(next(batches)['inputs'], axis=0)) == 1


def test_what_means_the_same_is_converted(tmp_path):
  grey, colour = (90, 90, 90), (255, 0, 0)
  palette = Image.new('P', (6, 6), 1)
  palette.putpalette([0, 0, 0, *colour])
  images = {
    '1.png': (Image.new('1', (6, 6), 1), (255, 255, 255)),
    'l.png': (Image.new('L', (6, 6), 90), grey),
    'p.png': (palette, colour),
    'rgba.png': (Image.new('RGBA', (6, 6), (*colour, 255)), colour),
    'la.png': (Image.new('LA', (6, 6), (90, 255)), grey),
    'p.gif': (palette, colour),
    'l.tif': (Image.new('L', (6, 6), 90), grey),
    'rgb.bmp': (Image.new('RGB', (6, 6), colour), colour),
    'rgb.webp': (Image.new('RGB', (6, 6), colour), colour),
  }
  for split in ('train', 'val'):
    for name, (image, _) in images.items():
      options = {'lossless': True} if name.endswith('webp') else {}
      _save(tmp_path / split / 'a' / name, image, **options)
    _save(tmp_path / split / 'b' / 'l.jpg', Image.new('L', (6, 6), 90))
  source = _open(tmp_path).splits['train']
  for i, name in enumerate(sorted(images)):
    expected = np.broadcast_to(images[name][1], (4, 4, 3))
    np.testing.assert_allclose(_pixels(source[i]), expected, atol=1e-3, err_msg=name)


def test_a_photograph_is_turned_upright(tmp_path):
  image = Image.new('RGB', (8, 8))
  image.paste((255, 255, 255), (0, 0, 8, 4))  # the upper half
  exif = Image.Exif()
  exif[0x0112] = 6  # to be shown turned by a quarter, clockwise
  _fill(tmp_path / 'train'), _fill(tmp_path / 'test')
  _save(tmp_path / 'train/cats/0.png', image, exif=exif)
  shown = _pixels(_open(tmp_path, size=8).splits['train'][0])
  assert shown[:, :3].max() < 1
  assert shown[:, 5:].min() > 254


def test_a_file_is_for_testing_by_its_hash(tmp_path):
  _fill(tmp_path, 20)
  dataset = _open(tmp_path, test_fraction=0.3, seed=5)

  def fraction(name):
    digest = hashlib.sha256(f'5:{name}'.encode()).hexdigest()
    return int(digest[:16], 16) / 16**16

  names = [f'{c}/{i}.png' for c in CLASSES for i in range(20)]
  expected = {name for name in names if fraction(name) < 0.3}
  assert 5 < len(expected) < 20
  assert _files(dataset, 'test') == expected == {*dataset.names['test']}
  first = dataset.names['train'][0].split('/')
  assert [CLASSES[dataset.splits['train'][0]['targets']]] == first[:-1]
  assert _files(dataset, 'train') == set(names) - expected
  other = _files(_open(tmp_path, test_fraction=0.3, seed=6), 'test')
  assert other != expected


def test_only_to_fill_an_empty_side_does_one_change_it_when_others_come():
  """Of a few names, for many seeds: one is moved if chance puts all on one side."""
  names, changed = [f'{i}.png' for i in range(12)], 0
  for seed in range(300):
    by_chance = np.array([partition.position(name, seed) < 0.3 for name in names])
    for count in (2, 3, 5):
      few = partition.in_test(names[:count], 0.3, seed)
      assert 0 < few.sum() < count
      (moved,) = np.nonzero(few != by_chance[:count])
      assert len(moved) == (len({*by_chance[:count]}) == 1)
      many = partition.in_test(names, 0.3, seed)
      back = few != many[:count]
      assert not np.delete(back, moved).any()
      changed += back.sum()
  assert changed > 100


def test_none_changes_sides_in_classes_of_many_and_every_class_is_on_both(tmp_path):
  _fill(tmp_path, 8)
  before = _open(tmp_path, test_fraction=0.4)
  _fill(tmp_path, 30)
  after = _open(tmp_path, test_fraction=0.4)
  for split in ('train', 'test'):
    assert _files(before, split) < _files(after, split)
  for fraction in (0.001, 0.999):
    for source in _open(tmp_path, test_fraction=fraction).splits.values():
      assert {int(source[i]['targets']) for i in range(len(source))} == {0, 1}


def test_a_share_is_a_share_within_each_label():
  names, labels = [f'{i}' for i in range(4000)], np.arange(4000) % 4 // 3
  chosen = partition.stratified(names, labels, 0.25, seed=1)
  for label in (0, 1):
    assert chosen[labels == label].mean() == pytest.approx(0.25, abs=0.04)


def _png16():
  def chunk(kind, content):
    check = struct.pack('>I', zlib.crc32(kind + content))
    return struct.pack('>I', len(content)) + kind + content + check

  header = struct.pack('>IIBBBBB', 4, 4, 16, 2, 0, 0, 0)
  rows = zlib.compress((b'\0' + bytes(24)) * 4)
  return b'\x89PNG\r\n\x1a\n' + b''.join(
    chunk(k, c) for k, c in [(b'IHDR', header), (b'IDAT', rows), (b'IEND', b'')]
  )


def _bytes(image, kind, **options):
  file = io.BytesIO()
  image.save(file, kind, **options)
  return file.getvalue()


NOISE = Image.fromarray(
  np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
)
FRAMES = [Image.new('RGB', (6, 6), c) for c in ('red', 'blue')]
TRANSPARENT = Image.new('RGBA', (6, 6), (1, 2, 3, 255))
TRANSPARENT.putpixel((3, 3), (1, 2, 3, 254))
BAD = {
  'truncated.jpg': (_bytes(NOISE, 'JPEG')[:-300], r'truncated'),
  'truncated.png': (_bytes(NOISE, 'PNG')[:-300], r'truncated'),
  'cmyk.jpg': (
    _bytes(Image.new('CMYK', (6, 6)), 'JPEG'),
    r'is CMYK; expected 8-bit RGB',
  ),
  'deep.png': (_bytes(Image.new('I;16', (6, 6)), 'PNG'), r'is 16 bits a channel'),
  'deep.tif': (_bytes(Image.new('I;16', (6, 6)), 'TIFF'), r'is 16 bits a channel'),
  'deep_rgb.png': (_png16(), r'is 16 bits a channel'),
  'float.tif': (_bytes(Image.new('F', (6, 6)), 'TIFF'), r'is F; expected'),
  'alpha.png': (_bytes(TRANSPARENT, 'PNG'), r'transparent in places'),
  'trns.png': (
    _bytes(Image.new('RGB', (6, 6)), 'PNG', transparency=(0, 0, 0)),
    r'transparent in places',
  ),
  'frames.gif': (
    _bytes(FRAMES[0], 'GIF', save_all=True, append_images=FRAMES[1:]),
    r'has 2 frames; expected one image',
  ),
  'empty.jpg': (b'', r'it is no JPEG, PNG, .*, or damaged'),
  'words.jpg': (b'no image at all', r'it is no JPEG, PNG, .*, or damaged'),
  'notes.txt': (b'cats', r'expected an image, \.jpg'),
}


@pytest.mark.parametrize('name', BAD)
def test_a_bad_file_is_named_or_left_out_and_counted(name, tmp_path, caplog):
  content, message = BAD[name]
  _fill(tmp_path)
  good = _open(tmp_path)
  (tmp_path / 'cats' / name).write_bytes(content)
  with pytest.raises(data.DataError, match=rf'cats/{name}: .*{message}') as e:
    _open(tmp_path)
  assert '\n' not in str(e.value)
  with caplog.at_level(logging.WARNING):
    dataset = _open(tmp_path, on_bad='skip')
  (line,) = caplog.messages
  assert line.startswith(f'{tmp_path}: left out 1: {tmp_path}/cats/{name}: ')
  for split in ('train', 'test'):
    assert _files(dataset, split) == _files(good, split)


@pytest.mark.parametrize(('count', 'named'), [(5, 5), (6, 3)])
def test_many_bad_files_are_one_line(count, named, tmp_path, caplog):
  _fill(tmp_path)
  for i in range(count):
    (tmp_path / 'dogs' / f'bad{i}.jpg').write_bytes(b'')
  _open(tmp_path, on_bad='skip')
  (line,) = caplog.messages
  assert f'left out {count}: ' in line
  assert line.count('dogs/bad') == named
  assert line.endswith('; and 3 more') == (named < count)


def test_damage_within_is_found_when_all_is_checked_else_when_its_turn_comes(tmp_path):
  _fill(tmp_path / 'train'), _fill(tmp_path / 'test')
  damaged = bytearray(_bytes(NOISE, 'PNG'))
  damaged[5000:5010] = bytes(10)
  (tmp_path / 'train/cats/z.png').write_bytes(damaged)
  source = _open(tmp_path).splits['train']
  with pytest.raises(data.DataError, match=r'train/cats/z\.png: '):
    [source[i] for i in range(len(source))]
  with pytest.raises(data.DataError, match=r'train/cats/z\.png: '):
    _open(tmp_path, check='all')
  for check in ('headers', 'all'):  # who skips does not want to stop later
    source = _open(tmp_path, check=check, on_bad='skip').splits['train']
    assert len([source[i] for i in range(len(source))]) == 8


def test_classes_without_images_and_images_without_classes(tmp_path):
  _fill(tmp_path)
  (tmp_path / 'eels').mkdir()
  with pytest.raises(data.DataError, match=r'eels: an empty class; expected images'):
    _open(tmp_path)
  assert _open(tmp_path, on_bad='skip').classes == ('cats', 'dogs')
  (tmp_path / 'eels').rmdir()
  (tmp_path / 'LICENSE').write_text('yours')
  _open(tmp_path)
  shutil.copy(tmp_path / 'cats/0.png', tmp_path / 'loose.png')
  with pytest.raises(data.DataError, match=r'loose\.png: .* folder of its class'):
    _open(tmp_path)


def test_given_splits_and_what_does_not_fit_them(tmp_path):
  _fill(tmp_path / 'train'), _fill(tmp_path / 'val', 2)
  assert len(_open(tmp_path).splits['test']) == 4
  _fill(tmp_path / 'test', 3)
  with pytest.raises(data.DataError, match=r'has test and val; expected test_folder'):
    _open(tmp_path)
  assert len(_open(tmp_path, test_folder='test').splits['test']) == 6
  with pytest.raises(data.DataError, match=r'expected the folders train and dev'):
    _open(tmp_path, test_folder='dev')
  _save(tmp_path / 'test/eels/0.png', Image.new('RGB', (6, 5)))
  with pytest.raises(data.DataError, match=r"eels/0\.png: .* no images of .* 'eels'"):
    _open(tmp_path, test_folder='test')
  assert len(_open(tmp_path, test_folder='test', on_bad='skip').splits['test']) == 6


def test_a_class_that_is_not_tested_is_said(tmp_path, caplog):
  _fill(tmp_path / 'train'), _fill(tmp_path / 'test')
  _open(tmp_path)
  assert not caplog.records
  for i in range(7):
    _save(tmp_path / f'train/eels{i}/0.png', Image.new('RGB', (6, 5)))
  dataset = _open(tmp_path)
  assert len(dataset.classes) == 9
  (record,) = caplog.records
  assert record.getMessage() == (
    f'{tmp_path}/test: no images to test of eels0, eels1, eels2, eels3, eels4 and 2 '
    'more'
  )


def test_train_may_be_a_class(tmp_path):
  _fill(tmp_path)
  (tmp_path / 'cats').rename(tmp_path / 'train')
  assert _open(tmp_path).classes == ('dogs', 'train')


def test_splits_are_not_taken_for_classes(tmp_path):
  _fill(tmp_path / 'train'), _fill(tmp_path / 'eval', 2)
  for _ in range(2):
    with pytest.raises(data.DataError, match=r"'train' has folders, .*train as path,"):
      _open(tmp_path)
    (tmp_path / 'train/README').write_text('yours')
  dataset = _open(tmp_path, test_folder='eval')
  assert (dataset.classes, len(dataset.splits['test'])) == (CLASSES, 4)
  with pytest.raises(ValueError, match=r"test_folder is 'train', but must be another"):
    _open(tmp_path, test_folder='train')
  (tmp_path / 'train/README').rename(tmp_path / 'README')
  _save(tmp_path / 'train/loose.png', Image.new('RGB', (6, 5)))
  assert _open(tmp_path).classes == ('eval', 'train')  # of photographs of trains


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'path': ''}, r"path is '', but must be a folder with a folder for each class"),
    ({'size': -1}, r'size: got -1'),
    ({'augment': 'all'}, r"augment: got 'all'"),
    ({'preprocess': 'resnet'}, r"'resnet'"),
    ({'augment': '', 'erasing': 0.1}, r'erasing: got 0\.1'),
    ({'augment': '', 'color_jitter': 0.1}, r'color_jitter: got 0\.1'),
    ({'test_fraction': 1.0}, r'test_fraction is 1\.0, but'),
    ({'check': 'some'}, r"check is 'some', but"),
    ({'on_bad': 'ignore'}, r"on_bad is 'ignore', but must be 'error' or 'skip'"),
  ],
)
def test_illegal_options(options, message, tmp_path):
  with pytest.raises(ValueError, match=message):
    data.build('image_folder', **{'path': str(tmp_path)} | options)


def test_a_missing_folder(tmp_path):
  with pytest.raises(data.DataError, match=r'nowhere: there is no such folder'):
    _open(tmp_path / 'nowhere')
  with pytest.raises(data.DataError, match=r'0 folders with images; expected a folder'):
    _open(tmp_path)
