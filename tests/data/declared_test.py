"""Sets by name without their files, as their makers describe them."""

import pytest

from convscan import data
from convscan.data import DataError

MNIST = {'train': 60_000, 'test': 10_000}
CIFAR = {'train': 50_000, 'test': 10_000}

# Images and texts of each split, and classes, from the papers.
CLASSIFICATION = [
  ('ag_news', {}, {'train': 120_000, 'test': 7_600}, 4),
  ('cifar10', {}, CIFAR, 10),
  ('cifar100', {}, CIFAR, 100),
  ('cifar100', {'labels': 'coarse'}, CIFAR, 20),
  ('emnist', {'split': 'byclass'}, {'train': 697_932, 'test': 116_323}, 62),
  ('emnist', {'split': 'bymerge'}, {'train': 697_932, 'test': 116_323}, 47),
  ('emnist', {'split': 'balanced'}, {'train': 112_800, 'test': 18_800}, 47),
  ('emnist', {'split': 'letters'}, {'train': 124_800, 'test': 20_800}, 26),
  ('emnist', {'split': 'digits'}, {'train': 240_000, 'test': 40_000}, 10),
  ('emnist', {'split': 'mnist'}, MNIST, 10),
  ('fashion_mnist', {}, MNIST, 10),
  ('imagenet2012', {}, {'train': 1_281_167, 'test': 50_000}, 1000),
  ('imagenette', {}, {'train': 9_469, 'test': 3_925}, 10),
  ('imdb_reviews', {}, {'train': 25_000, 'test': 25_000}, 2),
  ('kmnist', {}, MNIST, 10),
  ('mnist', {}, MNIST, 10),
  (
    'speech_commands',
    {'num_classes': 35},
    {'train': 84_843, 'validation': 9_981, 'test': 11_005},
    35,
  ),
  ('svhn', {}, {'train': 73_257, 'test': 26_032}, 10),
  ('svhn', {'extra': True}, {'train': 604_388, 'test': 26_032}, 10),
]

# Words, or characters, of which so many are different, to train on, and in the other
# two parts. To the vocabulary comes the token that starts a document and, where the
# text has none, the one that stands for what is unknown.
LANGUAGE = [
  ('enwik8', {}, 256, (90_000_000, 5_000_000, 5_000_000)),
  ('penn_treebank', {}, 10_000 + 1, (929_589, 73_760, 82_430)),
  ('penn_treebank', {'unit': 'char'}, 50 + 2, (5_017_482, 393_042, 442_423)),
  ('text8', {}, 27 + 1, (90_000_000, 5_000_000, 5_000_000)),
  ('tiny_shakespeare', {}, 65 + 2, (1_003_854, 55_770, 55_770)),
  ('tiny_shakespeare', {'unit': 'byte'}, 256, (1_003_854, 55_770, 55_770)),
  ('wikitext2', {}, 33_278 + 1, (2_088_628, 217_646, 245_569)),
  ('wikitext103', {}, 267_735 + 1, (103_227_021, 217_646, 245_569)),
]


@pytest.mark.parametrize(('name', 'options', 'counts', 'classes'), CLASSIFICATION)
def test_examples_and_classes_are_as_many_as_published(
  tmp_path, name, options, counts, classes
):
  dataset = data.declare(name, data_dir=tmp_path, **options)
  assert {k: len(source) for k, source in dataset.splits.items()} == counts
  assert len(dataset.classes) == classes
  assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(('name', 'options', 'tokens', 'parts'), LANGUAGE)
def test_tokens_are_as_many_as_published(tmp_path, name, options, tokens, parts):
  dataset = data.declare(name, data_dir=tmp_path, length=100, **options)
  assert len(dataset.classes) == len({*dataset.classes}) == tokens
  assert len(dataset.splits['train']) == parts[0] + 1 - 100
  # Windows of 100 tokens that advance by 50.
  for split, count in zip(('validation', 'test'), parts[1:], strict=True):
    assert len(dataset.splits[split]) == -(-count // 50) - 1


def test_a_batch_is_as_large_as_wanted(tmp_path):
  dataset = data.declare('imagenet2012', data_dir=tmp_path, size=8, erasing=0.25)
  batch = next(data.train_batches(dataset, 4096, seed=0))
  assert batch['inputs'].shape == (4096, 8, 8, 3)


def test_a_set_that_needs_no_files_is_prepared(tmp_path):
  for open_set in (data.declare, data.build):
    assert open_set('digits', data_dir=tmp_path).splits['train'][0]['inputs'].any()


@pytest.mark.parametrize(
  ('name', 'options', 'message'),
  [
    ('digit', {}, "dataset: 'digit'. Did you mean 'digits'"),
    ('imagenet2012', {'sise': 8}, "of imagenet2012: 'sise'. Did you mean 'size'"),
    ('imagenet2012', {'augment': 'none'}, "augment: got 'none', expected one of"),
    ('wikitext2', {'length': 1}, 'length is 1,'),
  ],
)
def test_errors_are_those_of_build(tmp_path, name, options, message):
  with pytest.raises(ValueError, match=message):
    data.declare(name, data_dir=tmp_path, **options)


@pytest.mark.parametrize(
  ('name', 'options', 'message'),
  [
    (
      'uea',
      {'problem': 'GunPoint'},
      r'^uea: how long .* files alone. Prepare it: python -m convscan.data.prepare uea '
      '--problem=GunPoint --data_dir=',
    ),
    (
      'imdb_reviews',
      {'vocab_size': 0},
      r'^imdb_reviews: of its words without its files 70000 are known, but vocab_size '
      r'is 0. Prepare it: python -m convscan.data.prepare imdb_reviews --data_dir=',
    ),
    ('ag_news', {'unit': 'char'}, r'of its chars .* vocab_size is 20000\. Prepare'),
    ('image_folder', {'path': 'nowhere'}, '^nowhere: '),
    ('imagenet_v2', {}, "'imagenet_v2' is not in .* TFDS prepares it"),
  ],
)
def test_what_only_files_tell_is_an_error(tmp_path, name, options, message):
  with pytest.raises(DataError, match=message):
    data.declare(name, data_dir=tmp_path, **options)


def test_no_set_is_declared_after_an_error(tmp_path):
  with pytest.raises(ValueError, match='length is 1'):
    data.declare('wikitext2', data_dir=tmp_path, length=1)
  with pytest.raises(DataError, match=r'ptb\.train\.txt'):
    data.build('penn_treebank', data_dir=tmp_path)
