"""The help texts against the standard library's own dictionary."""

import platform
from pydoc_data.topics import topics

import numpy as np
import pytest

from convscan import data
from convscan.data import text
from convscan.data.vocabulary import Vocabulary

NAMES = sorted(topics)
TEST = [topics[name] for i, name in enumerate(NAMES) if i % 10 == 9]
TRAIN = [topics[name] for i, name in enumerate(NAMES) if i % 10 != 9]
CLASSES = ('\x00', *sorted(set(''.join(topics.values()))))


@pytest.fixture(scope='module')
def dataset():
  return data.build('pydoc_topics')


def test_classes_are_the_characters_after_the_start_token(dataset):
  assert dataset.classes == CLASSES
  assert dataset.task == 'language_model'
  assert dataset.augment == ()


def test_train_has_a_window_at_every_position(dataset):
  stream = ''.join('\x00' + document for document in TRAIN)
  source = dataset.splits['train']
  assert len(source) == len(stream) - 256
  second = 1 + len(TRAIN[0])
  for i in (0, 1, second - 256, second - 1, second, len(source) - 1):
    window = source[i]
    assert dataset.decode(window['inputs']) == stream[i : i + 256]
    targets = stream[i + 1 : i + 257]
    assert dataset.decode(window['targets']) == targets
    counted = np.array([c != '\x00' for c in targets], np.float32)
    np.testing.assert_array_equal(window['weights'], counted)
  with pytest.raises(IndexError):
    source[len(source)]


@pytest.mark.parametrize('length', [2, 7, 256, 10**5])
def test_every_test_character_counts_once_with_its_context(length):
  source = data.build('pydoc_topics', length=length).splits['test']
  windows = iter([source[i] for i in range(len(source))])
  for document in map(Vocabulary(CLASSES).encode, TEST):
    tokens = [0, *document.tolist()]
    done = 0  # characters counted so far
    while done < len(document):
      window = next(windows)
      counted = np.flatnonzero(window['weights'])
      for k, position in enumerate(counted):
        assert window['targets'][position] == document[done + k]
        # What was seen is what precedes, from the document's start or long enough.
        seen = window['inputs'][: position + 1].tolist()
        before = tokens[: done + k + 1]
        assert before[-len(seen) :] == seen
        assert len(seen) == len(before) or len(seen) > length // 2
      done += len(counted)
      assert set(window['weights']) <= {0, 1}
  assert next(windows, None) is None


def test_a_window_cuts_no_document_short_at_any_remainder():
  for characters in range(20):
    document = np.arange(1, characters + 1, dtype=np.int32)
    source = text.DocumentWindows([document], 6)
    windows = [source[i] for i in range(len(source))]
    counted = [w['targets'][w['weights'] == 1] for w in windows]
    np.testing.assert_array_equal(np.concatenate(counted), document)
    assert all(w['inputs'].shape == w['targets'].shape == (6,) for w in windows)


def test_a_batch_has_windows_of_all_documents():
  documents = [
    np.arange(1, 10),
    np.array([], int),
    np.arange(50, 64),
    np.arange(70, 73),
  ]
  source = text.DocumentWindows(documents, 6)
  order = [5, 0, 3, 0, *range(len(source))]
  batch = source.get_batch(np.array(order))
  # Each document alone has the windows that it has among others.
  sources = [text.DocumentWindows([document], 6) for document in documents]
  alone = [windows[i] for windows in sources for i in range(len(windows))]
  for name in ('inputs', 'targets', 'weights'):
    np.testing.assert_array_equal(batch[name], [alone[i][name] for i in order])


def test_shapes_and_dtypes(dataset):
  for source in dataset.splits.values():
    assert {k: (v.shape, v.dtype) for k, v in source[-1].items()} == {
      'inputs': ((256,), np.int32),
      'targets': ((256,), np.int32),
      'weights': ((256,), np.float32),
    }


def test_decode_inverts_encode(dataset):
  ids = dataset.encode(TEST[0])
  assert ids.dtype == np.int32
  assert [CLASSES[i] for i in ids] == list(TEST[0])
  assert dataset.decode(ids) == TEST[0]
  with pytest.raises(ValueError, match=r'alphabet.*ж'):
    dataset.encode('жук')


def test_each_python_has_its_own_texts(tmp_path):
  data.build('pydoc_topics', data_dir=tmp_path)
  version = 'python' + platform.python_version().replace('.', '_')
  assert (tmp_path / 'pydoc_topics' / version / '1.0.0').is_dir()
