"""Vocabularies against counts by hand, and the numbers of a text against Python's."""

import tracemalloc

import numpy as np
import pytest

from convscan.data import text
from convscan.data.dataset import Dataset
from convscan.data.vocabulary import Vocabulary, spaced

TEXT = 'no man is an island\nno man is\nNo'


def test_the_most_frequent_come_first_and_ties_are_sorted():
  assert Vocabulary.fit([TEXT], 'word').tokens == (
    '\x00', '<unk>', '<eos>', 'is', 'man', 'no', 'No', 'an', 'island',
  )  # fmt: skip
  # A space 6 times, n 6, a 4; i, o and s 3 each: of equals the lesser character.
  assert Vocabulary.fit([TEXT], 'char', 6).tokens == (
    '\x00',
    '<unk>',
    ' ',
    'n',
    'a',
    'i',
  )


def test_counts_are_over_all_texts_and_unknown_is_there_once():
  fitted = Vocabulary.fit(['b a <unk>', 'b <unk> c\x00', 'b a'], 'word', 5)
  assert fitted.tokens == ('\x00', '<unk>', 'b', 'a', 'c\x00')
  assert len(fitted) == 5
  assert fitted.encode('a <unk> zebra b').tolist() == [3, 1, 1, 2]


@pytest.mark.parametrize('unit', ['char', 'byte', 'word'])
def test_decode_inverts_encode(unit):
  string = 'žlutý kůň\n\nje 馬 .\n'
  vocabulary = Vocabulary.fit([string], unit)
  ids = vocabulary.encode(string)
  assert ids.dtype == np.int32
  assert 0 < ids.min() <= ids.max() < len(vocabulary)
  assert len(ids) == {'char': 18, 'byte': 24, 'word': 8}[unit]
  assert vocabulary.decode(ids) == string


def test_bytes_are_their_own_numbers():
  vocabulary = Vocabulary.fit([], 'byte')
  assert vocabulary.encode('añ').tolist() == [0x61, 0xC3, 0xB1]
  assert vocabulary.decode([0x61, 0xC3]) == 'a\N{REPLACEMENT CHARACTER}'
  assert vocabulary.tokens[0x61] == 'a'


def test_without_unknown_another_token_is_an_error():
  with pytest.raises(ValueError, match=r"words outside the alphabet: \['dog'\]"):
    Vocabulary(('\x00', 'cat'), 'word').encode('cat dog cat')


@pytest.mark.parametrize(
  ('unit', 'size', 'message'),
  [
    ('letter', 0, r"unit is 'letter', but must be one of char, byte, word"),
    ('word', 2, r'vocab_size is 2, but must be 3 or more'),
    ('word', -1, r'vocab_size is -1'),
  ],
)
def test_what_can_not_be(unit, size, message):
  with pytest.raises(ValueError, match=message):
    Vocabulary.fit(['a'], unit, size)


def test_spaced_takes_words_and_marks_apart():
  assert spaced('  Déjà-vu? (No…)\n') == 'déjà - vu ? ( no … )'


def test_a_dataset_decodes_by_its_vocabulary():
  vocabulary = Vocabulary.fit(['to be or'], 'word')
  dataset = Dataset('x', 'classification', ('a', 'b'), {}, vocabulary=vocabulary)
  assert dataset.decode(dataset.encode('or to')) == 'or to'
  letters = Dataset('x', 'language_model', ('\x00', 'b', 'a'), {})
  assert letters.encode('ab').tolist() == [2, 1]
  assert letters.tokens.unit == 'char'


def test_windows_keep_small_dtypes_and_give_int32():
  document = np.arange(1, 200, dtype=np.uint8)
  for windows in (
    text.StreamWindows([document], 8),
    text.DocumentWindows([document], 8),
  ):
    assert windows[0]['inputs'].dtype == windows[0]['targets'].dtype == np.int32
    assert windows[0]['inputs'].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


def test_a_long_document_is_held_once():
  tracemalloc.start()
  windows = text.DocumentWindows([np.ones(20_000, np.uint8)], 4)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert len(windows) == 9_999
  assert peak < 5e6  # a copy a window would be 200 MB
  assert windows[-1]['weights'].tolist() == [0, 0, 1, 1]
