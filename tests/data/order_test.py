"""The order of examples, beside the one that Grain computes one by one."""

import grain
import numpy as np
import pytest
from grain.experimental import index_shuffle

from convscan.data.order import Shuffled, permute

# Of every size of the cipher's block up to 20 bits, and the largest.
LENGTHS = (1, 2, 10, 1438, 2**16, 2**16 + 2, 2**17 + 1, 2**18, 500_000, 10**6, 2**31)


@pytest.mark.parametrize('length', LENGTHS)
def test_a_permutation_is_grains(length):
  places = np.unique(np.linspace(0, length - 1, 200).astype(np.int64))
  for seed in (0, 3, 2**32 - 1):
    expected = [
      index_shuffle(int(place), max_index=length - 1, seed=seed, rounds=4)
      for place in places
    ]
    np.testing.assert_array_equal(permute(places, length, seed), expected)


@pytest.mark.parametrize('length', [1, 300, 2**16 + 1])
def test_it_holds_each_place_once(length):
  permuted = permute(np.arange(length), length, seed=7)
  np.testing.assert_array_equal(np.sort(permuted), np.arange(length))


@pytest.mark.parametrize('length', [5, 1438, 40_000, 70_000])
def test_epochs_follow_each_other_as_grains_do(length):
  grains = grain.MapDataset.range(length).seed(7).shuffle().repeat()
  order = Shuffled(length, seed=7)
  for start in (0, length - 3, 3 * length - 20, 16_380):
    expected = [grains[draw] for draw in range(start, start + 40)]
    np.testing.assert_array_equal(order(start, start + 40), expected)
