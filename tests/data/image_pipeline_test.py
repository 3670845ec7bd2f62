"""From image files to the batches of a run."""

import numpy as np
import pytest
from PIL import Image

from convscan import data
from convscan.data.image_pipeline import image_pipeline
from convscan.data.transforms import Preprocessing, published

OPTIONS = [
  {},
  {'augment': ''},
  {'augment': 'randaugment', 'color_jitter': 0.4},
  {'augment': 'trivialaugment', 'erasing': 0.5},
  {'augment': 'augmix'},
]


@pytest.fixture(scope='module')
def records(tmp_path_factory):
  """JPEGs of every size: by path, by their bytes, and one as an array."""
  folder = tmp_path_factory.mktemp('images')
  rng = np.random.default_rng(0)
  made = []
  for i in range(10):
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
    path = folder / f'{i}.jpg'
    small.resize((40 + i, 60 - 3 * i), Image.Resampling.BICUBIC).save(path)
    made.append({'image': path, 'label': i % 2})
  made[8]['image'] = made[8]['image'].read_bytes()
  with Image.open(made[9]['image']) as image:
    made[9]['image'] = np.array(image)
  return made


def _dataset(records, **options):
  pipeline = image_pipeline(**{'size': 24, **options})
  return pipeline.dataset('some', ('a', 'b'), records, records[:4])


def _take(batches, count):
  taken = [next(batches) for _ in range(count)]
  batches.close()
  return taken


@pytest.mark.parametrize('options', OPTIONS, ids=str)
def test_batches_are_normalised_floats(records, options):
  dataset = _dataset(records, **options)
  pixels = []
  for batch in _take(data.train_batches(dataset, 4, seed=0), 6):
    assert batch['inputs'].shape == (4, 24, 24, 3)
    assert batch['inputs'].dtype == np.float32
    labels = [records[i]['label'] for i in batch['index']]
    np.testing.assert_array_equal(batch['targets'], labels)
    pixels.append(batch['inputs'])
  low = (0 - 0.485) / 0.229
  assert low - 1e-5 <= np.min(pixels) < -1
  assert 1 < np.max(pixels) <= (1 - 0.406) / 0.225 + 1e-5


@pytest.mark.parametrize('options', OPTIONS, ids=str)
def test_evaluation_sees_every_image_as_it_is(records, options):
  dataset = _dataset(records, **options)
  batches = list(data.eval_batches(dataset, 'test', 3))
  got = np.concatenate([b['inputs'] for b in batches])[:4]
  want = []
  for record in records[:4]:
    with Image.open(record['image']) as image:
      want.append(Preprocessing(24, 27)(image))
  np.testing.assert_array_equal(got, want)
  assert sum(b['weights'].sum() for b in batches) == 4


def test_without_augmentation_training_sees_the_same(records):
  dataset = _dataset(records, augment='')
  (batch,) = _take(data.train_batches(dataset, 10, seed=0), 1)
  for row, index in zip(batch['inputs'], batch['index'], strict=True):
    np.testing.assert_array_equal(row, dataset.splits['train'][int(index)]['inputs'])


@pytest.mark.parametrize(
  ('options', 'ways'),
  [
    (OPTIONS[2], [{'num_threads': 0}, {'num_workers': 2, 'num_threads': 1}]),
    (OPTIONS[3], [{'num_threads': 0}]),
  ],
)
def test_batches_are_the_same_wherever_they_are_made(records, options, ways):
  dataset = _dataset(records, **options)
  first = _take(data.train_batches(dataset, 4, seed=3), 5)
  for how in ways:
    again = _take(data.train_batches(dataset, 4, seed=3, **how), 5)
    for a, b in zip(first, again, strict=True):
      for key in a.keys() | b.keys():
        np.testing.assert_array_equal(a[key], b[key])
  (other,) = _take(data.train_batches(dataset, 4, seed=4), 1)
  assert not np.array_equal(other['inputs'], first[0]['inputs'])


def test_it_continues_where_it_was(records):
  dataset = _dataset(records)
  expected = _take(data.train_batches(dataset, 4, seed=3), 5)
  batches = data.train_batches(dataset, 4, seed=3)
  batches.set_state({'global_next_index': 12})
  (got, _) = _take(batches, 2)
  np.testing.assert_array_equal(got['inputs'], expected[3]['inputs'])


def test_finishing_a_batch_equals_normalising_each(records):
  """What is erased aside: with a probability of almost 0, nothing."""
  whole = _take(data.train_batches(_dataset(records), 4, seed=3), 3)
  each = _take(data.train_batches(_dataset(records, erasing=1e-12), 4, seed=3), 3)
  for a, b in zip(whole, each, strict=True):
    np.testing.assert_array_equal(a['inputs'], b['inputs'])


def test_erasing_leaves_zeros(records):
  dataset = _dataset(records, erasing=1.0)
  (batch,) = _take(data.train_batches(dataset, 10, seed=0), 1)
  shares = (batch['inputs'] == 0).all(-1).mean((1, 2))
  assert (shares > 0.01).all()
  assert (shares < 0.5).all()


def test_a_published_network_sees_what_it_was_evaluated_with(records):
  pipeline = image_pipeline(preprocess='efficientnet_b0')
  assert pipeline.preprocess == published('efficientnet_b0')
  # Another size keeps the proportions.
  smaller = image_pipeline(preprocess='resnet50.IMAGENET1K_V2', size=112)
  assert smaller.preprocess == Preprocessing(112, 116)
  dataset = smaller.dataset('some', ('a', 'b'), records, records)
  assert dataset.splits['train'][0]['inputs'].shape == (112, 112, 3)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'size': -1}, 'size: got -1'),
    ({'augment': 'rand'}, "augment: got 'rand', expected one of standard, randaug"),
    ({'preprocess': 'resnet'}, "preprocess: got 'resnet'"),
    ({'augment': '', 'erasing': 0.1}, 'erasing: got 0.1, expected 0, since augment is'),
    ({'augment': '', 'color_jitter': 0.1}, 'color_jitter: got 0.1'),
    ({'color_jitter': -0.1}, 'brightness: got -0.1'),
    ({'erasing': 1.5}, 'p: got 1.5'),
  ],
)
def test_illegal_options_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    image_pipeline(**options)
