"""Tags by hand, and windows that hold every character of the test once."""

import numpy as np
import pytest

from convscan import data
from convscan.data.builders import python_tokens


def test_tags_are_those_that_a_reader_gives():
  source = "if x1 == 3.5:  # no\n  y = f'a{x}b' + 'cd'\n"
  shown = 'kk nn oo dddo  cccc   n o ssssssss o ssss '
  letters = {kind[0]: kind for kind in python_tokens.CLASSES}
  letters |= {'s': 'string', 'k': 'keyword', 'd': 'number', ' ': 'space'}
  letters |= {'n': 'name', 'c': 'comment'}
  got = [python_tokens.CLASSES[tag] for tag in python_tokens.tags(source)]
  assert got == [letters[letter] for letter in shown]


def test_the_test_counts_every_character_once():
  dataset = data.build('python_tokens', length=100)
  source = dataset.splits['test']
  examples = [source[i] for i in range(len(source))]
  counted = [e['inputs'][e['weights'] > 0] for e in examples]
  text = ''.join(map(chr, np.concatenate(counted)))
  whole = ''.join(map(python_tokens._source, python_tokens.TEST_MODULES))
  assert text == ''.join(c if ord(c) < 128 else '\0' for c in whole)
  tags = np.concatenate([e['targets'][e['weights'] > 0] for e in examples])
  expected = map(
    python_tokens.tags, map(python_tokens._source, python_tokens.TEST_MODULES)
  )
  np.testing.assert_array_equal(tags, np.concatenate(list(expected)))
  assert {e['inputs'].shape for e in examples} == {(100,)}
  assert all(e[k].dtype == np.int32 for e in examples for k in ('inputs', 'targets'))
  assert not set(python_tokens.MODULES) & set(python_tokens.TEST_MODULES)


def test_a_length_that_can_not_be():
  with pytest.raises(ValueError, match='length is 1, but must be 2 or more'):
    data.build('python_tokens', length=1)
