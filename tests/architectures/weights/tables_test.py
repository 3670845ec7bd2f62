"""The tables agree with each other, and with what holds them."""

import re
from collections import Counter

import numpy as np
import pytest

from convscan.architectures.weights.layout import Packed, check, convert
from convscan.architectures.weights.rnn import FLAX, HERE, KERAS, TORCH, Library


@pytest.mark.parametrize('library', [TORCH, FLAX, KERAS], ids=lambda x: x.name)
def test_a_library_holds_the_blocks_that_we_hold(library: Library) -> None:
  assert library.tables.keys() <= HERE.tables.keys()
  for cell, table in library.tables.items():
    if not isinstance(table, str):
      ours, theirs = (
        Counter(name for packed in t.values() for row in packed.rows for name in row)
        for t in (HERE.tables[cell], table)
      )
      assert ours.keys() == theirs.keys()
      assert set(ours.values()) == {1}
      # Only a bias lies in two places.
      assert all(name[0] == 'b' for name, count in theirs.items() if count > 1)


def test_convert() -> None:
  source = {'x': Packed('a b | c b'), 'y': Packed('d')}
  target = {'d': Packed('d', (2, 0, 1)), 'cab': Packed('c a b')}
  y = np.arange(24).reshape(2, 3, 4)
  got = convert({'y': y, 'x': np.array([[1, 2, 3, 4], [5, 6, 7, 8]])}, source, target)
  np.testing.assert_array_equal(got['d'], np.transpose(y, (2, 0, 1)))
  np.testing.assert_array_equal(got['cab'], [5, 6, 1, 2, 10, 12])
  back = convert(got, target, source)
  np.testing.assert_array_equal(back['x'], [[1, 2, 10, 12], [5, 6, 0, 0]])
  np.testing.assert_array_equal(back['y'], y)


def test_check_names_every_problem() -> None:
  layout = {'a': Packed('a', note='why'), 'b': Packed('b'), 'c': Packed('c')}
  zeros = {key: np.zeros(3) for key in layout}
  check('w', zeros, zeros, layout)
  message = (
    'w: 3 of 4 keys do not fit: 1 missing, 1 unexpected, 1 of another shape\n'
    '  a: got shape (2,), expected (3,) (why)\n'
    '  b: missing, expected shape (3,)\n'
    '  d: unexpected, got shape ()'
  )
  got = {'a': np.zeros(2), 'c': np.zeros(3), 'd': 1.0}
  with pytest.raises(ValueError, match=f'^{re.escape(message)}$'):
    check('w', got, zeros, layout)
