"""Which records are for testing: a function of their names and a seed alone."""

import hashlib
from collections.abc import Sequence

import numpy as np


def check_fraction(test_fraction: float) -> None:
  """Raises a ValueError unless the fraction leaves something on both sides."""
  if not 0 < test_fraction < 1:
    raise ValueError(
      f'test_fraction is {test_fraction}, but must be more than 0 and less than 1'
    )


def position(name: str, seed: int) -> float:
  """Returns where a name falls in 0 to 1, at random for each name and seed.

  The first 8 bytes of the SHA-256 of `'<seed>:<name>'`, as a big-endian fraction.

  >>> round(position('cats/1.jpg', 0), 6)
  0.691133
  """
  digest = hashlib.sha256(f'{seed}:{name}'.encode(errors='surrogateescape')).digest()
  return int.from_bytes(digest[:8], 'big') / 2**64


def in_test(names: Sequence[str], test_fraction: float, seed: int) -> np.ndarray:
  """Returns for each name whether it is for testing, bool `[names]`.

  It is where its `position` is below `test_fraction`. So about that share is for
  testing, more or less by chance, and a name stays where it is when others come or go.
  The exception are names so few that all would be on one side: of two or more the
  lowest is always for testing, and the highest never, and that one may go back when
  others come. One alone is for training.

  Args:
    names: of the records of one class, or of all where there are no classes.
    test_fraction: the share for testing.
    seed: another one gives another choice.

  Raises:
    ValueError: `test_fraction` is not between 0 and 1.

  >>> in_test(['a', 'b', 'c', 'd', 'e'], 0.4, seed=1)
  array([ True, False, False,  True, False])
  """
  check_fraction(test_fraction)
  positions = np.array([position(name, seed) for name in names])
  chosen = positions < test_fraction
  if len(names) > 1:
    chosen[np.argmin(positions)] = True
    chosen[np.argmax(positions)] = False
  elif len(names):
    chosen[:] = False
  return chosen


def stratified(
  names: Sequence[str], labels: Sequence[int], test_fraction: float, seed: int
) -> np.ndarray:
  """Returns the same for names with a label each, chosen within each label.

  A label with two names or more is in both parts; with one, in training alone.

  >>> stratified(['a', 'b', 'c', 'd'], [0, 1, 0, 1], 0.01, seed=0)
  array([ True, False, False,  True])
  """
  chosen = np.zeros(len(names), bool)
  found = np.asarray(labels)
  for label in np.unique(found):
    own = np.flatnonzero(found == label).tolist()
    chosen[own] = in_test([names[i] for i in own], test_fraction, seed)
  return chosen
