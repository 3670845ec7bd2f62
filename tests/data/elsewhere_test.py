"""Sets of TFDS that others prepared: made here by TFDS's own classes."""

import io
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from convscan import data
from convscan.data.errors import DataError
from convscan.data.prepared import open_splits

RNG = np.random.default_rng(0)


class _Made(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  VERSION = tfds.core.Version('5.1.0')
  FEATURES: dict
  KEYS = ('image', 'label')
  SPLITS: dict

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      license='ask the keeper',
      features=tfds.features.FeaturesDict(self.FEATURES),
      supervised_keys=self.KEYS,
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    return {split: self._generate_examples(rows) for split, rows in self.SPLITS.items()}

  def _generate_examples(self, rows):
    yield from enumerate(rows)


def make(data_dir, name, features, splits, *, configs=(), **more):
  """Prepares a set as TFDS does, whose class is named so that the set is."""
  attributes = {'FEATURES': features, 'SPLITS': splits, **more}
  if configs:
    attributes['BUILDER_CONFIGS'] = [tfds.core.BuilderConfig(name=c) for c in configs]
  cls = type(_Made)(name, (_Made,), attributes, skip_registration=True)
  for config in configs or (None,):
    builder = cls(data_dir=data_dir, config=config, file_format='array_record')
    builder.download_and_prepare()


def label():
  return tfds.features.ClassLabel(names=['cat', 'dog'])


def png(pixels):
  out = io.BytesIO()
  Image.fromarray(pixels.squeeze()).save(out, 'png')
  return out.getvalue()


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('encoded', [True, False])
def test_images_of_one_size(tmp_path, channels, encoded):
  shape = (6, 5, channels)
  images = RNG.integers(0, 256, (7, *shape), np.uint8)
  if encoded:
    feature = tfds.features.Image(shape=shape, encoding_format='png')
  else:
    feature = tfds.features.Tensor(shape=shape, dtype=np.uint8)
  rows = [
    {'image': png(x) if encoded else x, 'label': i % 2} for i, x in enumerate(images)
  ]
  splits = {'train': rows[:4], 'test': rows[4:]}
  make(tmp_path, 'Zoo', {'image': feature, 'label': label()}, splits)
  dataset = data.build('zoo', data_dir=tmp_path)
  assert dataset.license == 'ask the keeper'
  assert (dataset.task, dataset.classes) == ('classification', ('cat', 'dog'))
  assert {k: len(v) for k, v in dataset.splits.items()} == {'train': 4, 'test': 3}
  for i in range(3):
    example = dataset.splits['test'][i]
    np.testing.assert_allclose(example['inputs'], images[4 + i] / 255, rtol=1e-6)
    assert example['inputs'].dtype == np.float32
    assert (example['targets'], example['weights']) == (i % 2, 1)
  assert 'tensorflow' not in sys.modules


def test_images_of_any_size_go_through_the_image_pipeline(tmp_path):
  rows = [
    {'picture': png(np.full((20 + i, 30, 3), 50 * i, np.uint8)), 'what': i % 2}
    for i in range(4)
  ]
  features = {'picture': tfds.features.Image(), 'what': label()}
  splits = {'train': rows, 'validation': rows[:2], 'test': rows[2:]}
  make(tmp_path, 'Zoo', features, splits, KEYS=('picture', 'what'))
  dataset = data.build('zoo', data_dir=tmp_path, size=16, test='validation')
  assert dataset.license == 'ask the keeper'
  assert dataset.raw is not None
  batch = next(data.train_batches(dataset, 4, 0, num_threads=0))
  assert batch['inputs'].shape == (4, 16, 16, 3)
  means = [
    e['inputs'].mean((0, 1)) for e in map(dataset.splits['test'].__getitem__, (0, 1))
  ]
  normal = [
    (50 * i / 255 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
    for i in (0, 1)
  ]
  np.testing.assert_allclose(means, normal, atol=1e-3)


TEXTS = ['A fine film.', 'A film, a film!', 'Dull.', 'Fine? No: dull.']


def test_texts(tmp_path):
  rows = [{'text': text, 'label': i % 2} for i, text in enumerate(TEXTS)]
  features = {'text': tfds.features.Text(), 'label': label()}
  splits = {'train': rows[:2], 'test': rows[2:]}
  make(tmp_path, 'Reviews', features, splits, KEYS=('text', 'label'))
  dataset = data.build('reviews', data_dir=tmp_path, length=4, vocab_size=5)
  assert dataset.license == 'ask the keeper'
  # Of 'a fine film .' and 'a film , a film !' the most frequent tokens are kept.
  assert dataset.vocabulary.tokens[:4] == ('\x00', '<unk>', 'a', 'film')
  assert dataset.splits['train'][1]['inputs'].tolist()[:2] == [2, 3]
  first = dataset.splits['test'][0]
  assert first['inputs'].tolist() == [1, 1, 0, 0]
  assert (first['lengths'], first['targets']) == (2, 0)
  by_byte = data.build('reviews', data_dir=tmp_path, unit='byte', length=6)
  assert bytes(by_byte.splits['test'][0]['inputs'].tolist()) == b'Dull.\0'


def test_configurations_and_versions_are_named_as_in_tfds(tmp_path):
  features = {'image': tfds.features.Tensor(shape=(2, 2, 1), dtype=np.uint8)}
  features['label'] = label()
  rows = [{'image': np.zeros((2, 2, 1), np.uint8), 'label': 0}]

  def made(name, count, **more):
    make(tmp_path, name, features, {'train': rows * count, 'test': rows}, **more)

  made('One', 1, configs=['big'])
  made('Two', 2, configs=['big', 'small'])
  made('Old', 3)
  made('Old', 4, VERSION=tfds.core.Version('5.0.0'))
  made('Old', 5, VERSION=tfds.core.Version('10.0.0'))

  def count(name):
    return len(data.build(name, data_dir=tmp_path).splits['train'])

  assert count('one') == count('one/big') == count('one/big:5.1.0') == 1
  assert count('two/small') == 2
  assert count('old') == 5  # not by the order of letters
  assert count('old:5.1.0') == 3
  with pytest.raises(DataError, match=r'several .* expected one of two/big, two/small'):
    data.build('two', data_dir=tmp_path)
  with pytest.raises(ValueError, match=r"unknown dataset: 'old:7\.0\.0'"):
    data.build('old:7.0.0', data_dir=tmp_path)


def test_a_known_name_with_a_version_is_that_of_tfds(tmp_path):
  shape = (2, 2, 1)
  features = {'image': tfds.features.Tensor(shape=shape, dtype=np.uint8)}
  rows = [{'image': np.zeros(shape, np.uint8), 'label': 0}]
  splits = {'train': rows * 3, 'test': rows}
  make(tmp_path, 'Digits', features | {'label': label()}, splits)
  assert len(data.build('digits:5.1.0', data_dir=tmp_path).splits['train']) == 3
  assert len(data.build('digits', data_dir=tmp_path).splits['train']) == 1438


SMALL = {'image': np.zeros((2, 2, 1), np.uint8), 'label': 0}
IMAGE = tfds.features.Tensor(shape=(2, 2, 1), dtype=np.uint8)


@pytest.mark.parametrize(
  ('features', 'row', 'more', 'options', 'message'),
  [
    (
      {'image': IMAGE, 'label': label()},
      SMALL,
      {'KEYS': None},
      {},
      r'its supervised_keys are \(\) of image, label; expected an image or a text',
    ),
    ({'image': IMAGE, 'label': np.int32}, SMALL, {}, {}, r"keys are \('image', 'label"),
    (
      {'image': tfds.features.Tensor(shape=(3,), dtype=np.uint8), 'label': label()},
      SMALL | {'image': np.zeros(3, np.uint8)},
      {},
      {},
      r"'image' is Tensor\(shape=\(3,\).*; expected a text, or an image of 1 or 3",
    ),
    (
      {'image': IMAGE, 'label': label()},
      SMALL | {'label': -1},
      {},
      {},
      r"record 0 of 'train' has the label -1, that is none: choose another split",
    ),
    (
      {'image': IMAGE, 'label': label()},
      SMALL,
      {},
      {'test': 'dev'},
      r"test is 'dev', but the splits of .* are train, test",
    ),
    (
      {'image': IMAGE, 'label': label()},
      SMALL,
      {},
      {'sizee': 3},
      r"unknown option of set: 'sizee'\. Known: data_dir, test, train",
    ),
  ],
)
def test_what_can_not_be_opened_is_said(
  tmp_path, features, row, more, options, message
):
  if row['label'] == -1:  # as TFDS has it where labels are secret
    features['label'] = tfds.features.ClassLabel(num_classes=2)
  make(tmp_path, 'Set', features, {'train': [row], 'test': [row]}, **more)
  with pytest.raises((DataError, ValueError), match=message):
    data.build('set', data_dir=tmp_path, **options).splits['train'][0]


def test_another_format_is_said(tmp_path):
  features = {'image': IMAGE, 'label': label()}
  make(tmp_path, 'Set', features, {'train': [SMALL], 'test': [SMALL]})
  (path,) = tmp_path.glob('set/*/dataset_info.json')
  path.write_text(path.read_text().replace('array_record', 'tfrecord'))
  with pytest.raises(
    DataError,
    match=r'set/5\.1\.0 holds tfrecord, not array_record\. TFDS prepares it wi',
  ):
    data.build('set', data_dir=tmp_path)


def test_what_tfds_knows_comes_with_a_recipe(tmp_path):
  with pytest.raises(DataError) as error:
    data.build('imagenet_v2', data_dir=tmp_path)
  first, *commands = str(error.value).splitlines()
  assert first.startswith(
    f"'imagenet_v2' is not in {tmp_path}. TFDS prepares it with Te"
  )
  assert commands == [
    '  python -m venv tf && tf/bin/pip install tensorflow-cpu tensorflow-datasets '
    'importlib_resources',
    "  tf/bin/python -c 'import tensorflow_datasets as tfds; tfds.builder("
    f'"imagenet_v2", data_dir="{tmp_path}", '
    'file_format="array_record").download_and_prepare()\'',
  ]


def test_a_name_that_nobody_knows(tmp_path):
  message = r"'imagenet_v3'\. Did you mean 'imagenet_v2', a set of TFDS\? Known: adding"
  with pytest.raises(ValueError, match=message):
    data.build('imagenet_v3', data_dir=tmp_path)
  with pytest.raises(ValueError, match=r"unknown dataset: '\.\./digits'"):
    data.build('../digits', data_dir=tmp_path)


def test_a_damaged_record_is_named(tmp_path):
  class Noise(_Made, skip_registration=True):
    FEATURES = {'image': IMAGE, 'label': label()}  # noqa: RUF012
    SPLITS = {'train': [SMALL] * 3000, 'test': [SMALL]}  # noqa: RUF012

  open_splits(Noise, tmp_path)
  (file,) = (tmp_path / 'noise').glob('*/*train*')
  content = bytearray(file.read_bytes())
  content[len(content) // 3] ^= 1
  file.write_bytes(content)
  _, records = open_splits(Noise, tmp_path)
  with pytest.raises(
    DataError,
    match=rf"^{tmp_path}/noise/5\.1\.0: record \d+ of 'train' is damaged or missing: ",
  ) as error:
    list(records['train'])
  assert str(error.value).endswith('Remove that folder, and the set is prepared anew')
