"""Arrays in .npz files, as they were saved, and those that do not fit."""

import hashlib
import io
import zipfile

import numpy as np
import pytest

from convscan import data

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 5, 6), np.uint8)
CLASSES = np.arange(40) % 3


def _save(path, **arrays):
  np.savez(path, **arrays)
  return str(path)


def _open(path, **options):
  return data.build('arrays', path=str(path), **options)


def _examples(source):
  return [source[i] for i in range(len(source))]


@pytest.mark.parametrize('shape', [(-1,), (-1, 1)])
def test_given_splits(shape, tmp_path):
  targets = CLASSES.reshape(shape)
  path = _save(
    tmp_path / 'x.npz',
    x_train=IMAGES[:30], y_train=targets[:30], x_test=IMAGES[30:], y_test=targets[30:],
  )  # fmt: skip
  dataset = _open(path)
  assert (dataset.task, dataset.classes) == ('classification', ('0', '1', '2'))
  for split, rows in [('train', range(30)), ('test', range(30, 40))]:
    examples = _examples(dataset.splits[split])
    assert len(examples) == len(rows)
    for row, example in zip(rows, examples, strict=True):
      assert {k: (v.shape, v.dtype) for k, v in example.items()} == {
        'inputs': ((5, 6, 1), np.float32),
        'targets': ((), np.int32),
        'weights': ((), np.float32),
      }
      np.testing.assert_allclose(
        example['inputs'][..., 0] * 255, IMAGES[row], atol=1e-4
      )
      assert (example['targets'], example['weights']) == (row % 3, 1)


def test_examples_are_for_testing_by_their_numbers_hash(tmp_path):
  path = _save(tmp_path / 'x.npz', inputs=IMAGES, targets=CLASSES)
  dataset = _open(path, seed=2, test_fraction=0.4, classes=('a', 'b', 'c'))
  assert dataset.classes == ('a', 'b', 'c')

  def in_test(row):
    digest = hashlib.sha256(f'2:{row}'.encode()).hexdigest()
    return int(digest[:16], 16) / 16**16 < 0.4

  for split, rows in [
    ('test', [row for row in range(40) if in_test(row)]),
    ('train', [row for row in range(40) if not in_test(row)]),
  ]:
    found = [e['inputs'][..., 0] * 255 for e in _examples(dataset.splits[split])]
    assert len(rows) > 9
    np.testing.assert_allclose(found, IMAGES[rows], atol=1e-4)


@pytest.mark.parametrize(
  ('task', 'inputs', 'targets', 'weights', 'classes'),
  [
    ('regression', (40, 3), (40, 2), (), '01'),
    ('regression', (40, 3), (40,), (), '0'),
    ('forecasting', (40, 8, 3), (40, 4, 2), (4,), '01'),
    ('segmentation', (40, 5, 6, 3), (40, 5, 6), (5, 6), '012'),
    ('tagging', (40, 7), (40, 7), (7,), '012'),
  ],
)
def test_other_tasks(task, inputs, targets, weights, classes, tmp_path):
  if task in ('regression', 'forecasting'):
    x, y, dtype = RNG.normal(size=inputs), RNG.normal(size=targets), np.float32
  else:
    x, y, dtype = RNG.normal(size=inputs), RNG.integers(0, 3, targets), np.int32
  if task == 'tagging':
    x = RNG.integers(0, 50, inputs)
  path = _save(tmp_path / 'x.npz', x_train=x, y_train=y, x_test=x[:5], y_test=y[:5])
  dataset = _open(path, task=task)
  assert (dataset.task, dataset.classes) == (task, tuple(classes))
  for source, count in zip(dataset.splits.values(), (40, 5), strict=True):
    assert len(source) == count
    for row, example in enumerate(_examples(source)):
      expected = np.int32 if task == 'tagging' else np.float32
      assert (example['inputs'].dtype, example['targets'].dtype) == (expected, dtype)
      np.testing.assert_allclose(example['inputs'], x[row], rtol=1e-6)
      np.testing.assert_allclose(example['targets'], np.atleast_1d(y[row]), rtol=1e-6)
      np.testing.assert_array_equal(example['weights'], np.ones(weights, np.float32))


def test_what_can_not_be_is_named_or_skipped(tmp_path, caplog):
  numbers = RNG.normal(size=(40, 4))
  bad_numbers, bad_classes, bad_outputs = numbers.copy(), CLASSES.copy(), numbers.copy()
  bad_numbers[7, 2], bad_classes[7], bad_outputs[7, 1] = np.nan, -1, np.inf
  for inputs, targets, options, message in [
    (bad_numbers, CLASSES, {}, r'x_train\[7\]: nan; expected a finite number'),
    (numbers * 1e300, CLASSES, {}, r'x_train\[0\]: -?inf; expected a finite number'),
    (numbers, bad_classes, {}, r'y_train\[7\]: -1; expected a class, 0 to 2'),
    (numbers, CLASSES, {'classes': 'ab'}, r'y_train\[2\]: 2; expected a class, 0 to 1'),
    (
      numbers,
      bad_outputs,
      {'task': 'regression'},
      r'y_train\[7\]: inf; expected a fin',
    ),
  ]:
    test = {'x_test': numbers, 'y_test': np.zeros_like(targets)}
    path = _save(tmp_path / 'x.npz', x_train=inputs, y_train=targets, **test)
    with pytest.raises(data.DataError, match=message):
      _open(path, **options)
    if '[7]' in message.replace('\\', ''):
      caplog.clear()
      source = _open(path, on_bad='skip', **options).splits['train']
      expected = np.delete(numbers, 7, axis=0)
      found = [example['inputs'] for example in _examples(source)]
      np.testing.assert_allclose(found, expected, rtol=1e-6)
      assert 'left out 1: ' in caplog.messages[0]
  test = {'x_test': numbers, 'y_test': CLASSES + 1}
  path = _save(tmp_path / 'x.npz', x_train=numbers, y_train=CLASSES, **test)
  with pytest.raises(data.DataError, match=r'y_test\[2\]: 3; expected a class, 0 to 2'):
    _open(path)


@pytest.mark.parametrize('dtype', [np.uint8, np.int64])
def test_integers_to_tag_are_tokens(dtype, tmp_path):
  tokens = RNG.integers(0, 200, (40, 7)).astype(dtype)
  tokens[3, 5] = 0
  tags = RNG.integers(0, 3, (40, 7))
  arrays = {'x_train': tokens, 'y_train': tags, 'x_test': tokens, 'y_test': tags}
  path = _save(tmp_path / 'x.npz', **arrays)
  inputs = _open(path, task='tagging').splits['train'][7]['inputs']
  assert inputs.dtype == np.int32
  np.testing.assert_array_equal(inputs, tokens[7])
  path = _save(tmp_path / 'x.npz', **arrays | {'x_train': tokens.astype(int) - 1})
  with pytest.raises(data.DataError, match=r"\]: -1; expected a token's number, 0 or"):
    _open(path, task='tagging')
  source = _open(path, task='tagging', on_bad='skip').splits['train']
  assert len(source) == (tokens > 0).all(axis=1).sum() < 40


def test_files_that_are_no_arrays(tmp_path):
  path = tmp_path / 'x.npz'
  with pytest.raises(data.DataError, match=r'x\.npz: there is no such file'):
    _open(path)
  _save(path, inputs=IMAGES, targets=np.array([None] * 40, object))
  with pytest.raises(data.DataError, match=r'x\.npz, targets: .* Object arrays'):
    _open(path)
  _save(path, inputs=IMAGES, targets=CLASSES)
  content = path.read_bytes()
  path.write_bytes(content[: len(content) // 2])
  with pytest.raises(data.DataError, match=r'x\.npz: it is no \.npz file, or damaged'):
    _open(path)
  damaged = bytearray(content)
  damaged[300] ^= 255
  path.write_bytes(damaged)
  with pytest.raises(data.DataError, match=r'x\.npz, inputs: .* Bad CRC-32'):
    _open(path)
  with zipfile.ZipFile(path, 'w') as file:
    file.writestr('inputs.npy', b'no array')
    file.writestr('targets.npy', b'no array')
  with pytest.raises(data.DataError, match=r'x\.npz, inputs: .* magic string'):
    _open(path)
  array = io.BytesIO()
  np.save(array, IMAGES)
  with zipfile.ZipFile(path, 'w') as file:
    file.writestr('inputs.npy', array.getvalue() + b'more')
  with pytest.raises(data.DataError, match=r'x\.npz, inputs: .* is longer than its he'):
    _open(path)


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
@pytest.mark.parametrize('mask', [2, 255])
def test_a_flip_anywhere_is_found_or_changes_nothing(save, mask, tmp_path):
  path = tmp_path / 'x.npz'
  save(path, inputs=IMAGES[:12, :2, :2], targets=CLASSES[:12])
  content = path.read_bytes()

  def examples():
    splits = _open(path, test_fraction=0.4).splits.values()
    return [[e['inputs'].tolist(), e['targets'].item()]
            for source in splits for e in _examples(source)]  # fmt: skip

  whole, found = examples(), 0
  for i in range(len(content)):
    path.write_bytes(content[:i] + bytes([content[i] ^ mask]) + content[i + 1 :])
    try:
      assert examples() == whole, i
    except data.DataError:
      found += 1
  assert found > len(content) // 2


@pytest.mark.parametrize(
  ('arrays', 'options', 'message'),
  [
    ({'inputs': IMAGES}, {}, r'it has inputs; expected inputs and targets, or x_train'),
    ({'x_train': IMAGES, 'y_train': CLASSES}, {}, r'it has x_train, y_train; expected'),
    (
      {'inputs': IMAGES, 'targets': CLASSES[1:]},
      {},
      r'40 inputs and 39 targets; expect',
    ),
    (
      {'inputs': IMAGES, 'targets': CLASSES / 2},
      {},
      r'targets: float64; expected integ',
    ),
    (
      {'inputs': IMAGES, 'targets': IMAGES},
      {},
      r'shape \(40, 5, 6\); expected 1 axes f',
    ),
    (
      {'inputs': CLASSES, 'targets': CLASSES},
      {},
      r'inputs: shape \(40,\); expected an',
    ),
    (
      {'inputs': IMAGES.astype(str), 'targets': CLASSES},
      {},
      r'inputs: <U.; expected num',
    ),
    (
      {'inputs': np.full((40, 3), 2**40), 'targets': CLASSES},
      {},
      r'inputs: 1099511627776; expected what int32 can hold',
    ),
    (
      {
        'x_train': IMAGES,
        'y_train': CLASSES,
        'x_test': IMAGES[:, :4],
        'y_test': CLASSES,
      },
      {},
      r'inputs of shapes \(5, 6, 1\) and \(4, 6, 1\)',
    ),
    ({'inputs': IMAGES[:0], 'targets': CLASSES[:0]}, {}, r'no examples to train'),
  ],
)
def test_arrays_that_do_not_fit(arrays, options, message, tmp_path):
  with pytest.raises(data.DataError, match=message):
    _open(_save(tmp_path / 'x.npz', **arrays), **options)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'path': ''}, r"path is '', but must be an \.npz file"),
    ({'task': 'clustering'}, r"task is 'clustering', but must be one of class"),
    (
      {'task': 'regression', 'classes': 'ab'},
      r'classes are 2, but must be 1, the outp',
    ),
    ({'test_fraction': 0}, r'test_fraction is 0, but'),
    ({'on_bad': 'x'}, r"on_bad is 'x', but"),
  ],
)
def test_illegal_options(options, message, tmp_path):
  path = _save(tmp_path / 'x.npz', inputs=IMAGES, targets=CLASSES)
  with pytest.raises(ValueError, match=message):
    data.build('arrays', **{'path': path} | options)
