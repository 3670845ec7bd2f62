"""ImageNet from small archives of its three formats."""

import functools
import io
import tarfile

import numpy as np
import pytest
import scipy.io
from declaring import check_declared
from PIL import Image
from serving import file_of

from convscan import data
from convscan.data.builders import imagenet2012
from convscan.data.errors import DataError

COUNT = 1000
# Identifiers of WordNet, in an order that is not that of the kit's numbers.
WNIDS = [f'n{(7 * i) % COUNT:08}' for i in range(COUNT)]


def jpeg(level, mode='RGB'):
  out = io.BytesIO()
  color = (level,) * len(mode)
  Image.new(mode, (8, 8), color if len(color) > 1 else level).save(out, 'jpeg')
  return out.getvalue()


def tar(files, mode='w'):
  out = io.BytesIO()
  with tarfile.open(fileobj=out, mode=mode) as archive:
    for name, content in files.items():
      info = tarfile.TarInfo(name)
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))
  return out.getvalue()


def devkit(truth):
  """Returns a kit whose numbers 1 to 1,000 are `WNIDS`, and 1,001 a group of them."""
  dtype = [
    ('ILSVRC2012_ID', 'O'),
    ('WNID', 'O'),
    ('words', 'O'),
    ('gloss', 'O'),
    ('num_children', 'O'),
    ('children', 'O'),
    ('wordnet_height', 'O'),
    ('num_train_images', 'O'),
  ]
  synsets = np.zeros((COUNT + 1, 1), dtype)
  for i, wnid in enumerate([*WNIDS, 'n99999999']):
    word = 'crane' if i in (3, 4) else f'word {wnid}, other'
    leaf = i < COUNT
    children = np.array([] if leaf else [1, 2])
    images = 1 + (i == 5) if leaf else 0
    synsets[i, 0] = (
      float(i + 1),
      wnid,
      word,
      'what it is',
      float(len(children)),
      children,
      0.0,
      float(images),
    )
  meta = io.BytesIO()
  scipy.io.savemat(meta, {'synsets': synsets})
  lines = ''.join(f'{number}\n' for number in truth)
  folder = 'ILSVRC2012_devkit_t12'
  return tar(
    {
      f'{folder}/readme.txt': b'',
      f'{folder}/data/meta.mat': meta.getvalue(),
      f'{folder}/data/ILSVRC2012_validation_ground_truth.txt': lines.encode(),
    },
    'w:gz',
  )


TRUTH = [6, 1, 1000]
LEVEL = {wnid: i % 256 for i, wnid in enumerate(sorted(WNIDS))}


@functools.cache
def archives():
  train = {
    f'{wnid}.tar': tar(
      {
        f'{wnid}_{k}.JPEG': jpeg(LEVEL[wnid])
        for k in range(2 if wnid == WNIDS[5] else 1)
      }
    )
    for wnid in WNIDS
  }
  # One of them CMYK, as are 22 of the original.
  train[f'{WNIDS[9]}.tar'] = tar({f'{WNIDS[9]}_0.JPEG': jpeg(0, 'CMYK')})
  validation = {
    'ILSVRC2012_val_00000003.JPEG': jpeg(30),
    'ILSVRC2012_val_00000001.JPEG': jpeg(10, 'L'),
    'ILSVRC2012_val_00000002.JPEG': jpeg(20),
  }
  return {'train': train, 'validation': validation, 'devkit': TRUTH}


def give(tmp_path, monkeypatch, parts):
  """Puts the files where a user would."""
  contents = {
    'train': tar(parts['train']),
    'validation': tar(parts['validation']),
    'devkit': devkit(parts['devkit']),
  }
  folder = tmp_path / 'downloads' / 'imagenet2012'
  folder.mkdir(parents=True)
  for part, content in contents.items():
    path = folder / imagenet2012.FILES[part].name
    path.write_bytes(content)
    monkeypatch.setitem(imagenet2012.FILES, part, file_of(path, '', unpacked=10**8))


def gray(example):
  """Returns the level of an image of one gray, from its normalised red."""
  return round(float(example['inputs'][..., 0].mean() * 0.229 + 0.485) * 255)


def test_labels_are_in_the_order_of_wordnet_identifiers(tmp_path, monkeypatch):
  give(tmp_path, monkeypatch, archives())
  dataset = data.build('imagenet2012', data_dir=tmp_path, size=8)
  check_declared(dataset, size=8)
  ordered = sorted(WNIDS)
  cranes = [f'crane ({WNIDS[3]})', f'crane ({WNIDS[4]})']
  assert [dataset.classes[ordered.index(w)] for w in WNIDS[3:6]] == [
    *cranes,
    f'word {WNIDS[5]}',
  ]
  train = [dataset.splits['train'][i] for i in range(COUNT + 1)]
  assert len(dataset.splits['train']) == COUNT + 1
  labels = [int(e['targets']) for e in train]
  assert labels == [ordered.index(w) for w in WNIDS for _ in range(1 + (w == WNIDS[5]))]
  for example, label in zip(train, labels, strict=True):
    level = 255 if label == ordered.index(WNIDS[9]) else label % 256
    assert abs(gray(example) - level) <= 1
  test = [dataset.splits['test'][i] for i in range(3)]
  # The number in a file's name is a line of the truth, whose numbers are the kit's.
  assert [(gray(e), int(e['targets'])) for e in test] == [
    (30, ordered.index(WNIDS[999])),
    (10, ordered.index(WNIDS[5])),
    (20, ordered.index(WNIDS[0])),
  ]


def without(part, name, **others):
  parts = archives()
  left = {k: v for k, v in parts[part].items() if k != name}
  return parts | {part: left | others}


@pytest.mark.parametrize(
  ('parts', 'message'),
  [
    (
      without('train', f'{WNIDS[2]}.tar'),
      rf'train\.tar: {WNIDS[2]}\.tar has 0 images; expected 1$',
    ),
    (
      without('train', f'{WNIDS[2]}.tar', **{'n77777777.tar': b''}),
      r"train\.tar: 'n77777777\.tar' is of no class in the development kit",
    ),
    (
      without('validation', 'ILSVRC2012_val_00000003.JPEG'),
      r'val\.tar: has 2 images; expected 3$',
    ),
    (
      without('validation', 'ILSVRC2012_val_00000003.JPEG', **{'a_4.JPEG': b''}),
      r"val\.tar: 'a_4\.JPEG'; expected ILSVRC2012_val_00000001\.JPEG to",
    ),
    (
      archives() | {'devkit': [1, 2, 1001]},
      r'devkit_t12\.tar\.gz is damaged: data/meta\.mat: .*\. Remove it and run the s',
    ),
  ],
)
def test_what_does_not_fit_together_is_named(tmp_path, monkeypatch, parts, message):
  give(tmp_path, monkeypatch, parts)
  with pytest.raises(DataError, match=message):
    data.build('imagenet2012', data_dir=tmp_path)


def test_a_user_is_told_which_files_to_get(tmp_path):
  with pytest.raises(DataError) as error:
    data.build('imagenet2012', data_dir=tmp_path)
  page = 'https://image-net.org/challenges/LSVRC/2012/2012-downloads.php'
  assert str(error.value).splitlines() == [
    'files are missing',
    'Download',
    f'  ILSVRC2012_img_train.tar from {page} (147.9 GB)',
    f'  ILSVRC2012_img_val.tar from {page} (6.7 GB)',
    f'  ILSVRC2012_devkit_t12.tar.gz from {page}',
    'into the folder',
    f'  {tmp_path}/downloads/imagenet2012',
    'and run',
    f'  python -m convscan.data.prepare imagenet2012 --data_dir={tmp_path}',
  ]
