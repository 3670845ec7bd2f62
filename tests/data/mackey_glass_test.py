"""The series against its equation, and the windows against the series."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from convscan import data
from convscan.data.builders.mackey_glass import series


def test_its_slope_is_the_equations():
  x = series(600)
  slope = CubicSpline(np.arange(600), x)(np.arange(20, 580), 1)
  delayed = x[3:563]
  expected = 0.2 * delayed / (1 + delayed**10) - 0.1 * x[20:580]
  np.testing.assert_allclose(slope, expected, atol=1e-3)
  assert np.std(expected) > 0.03


def test_windows_are_followed_by_their_targets():
  dataset = data.build('mackey_glass', length=10, horizon=4)
  x = (series(5000) - 0.93).astype(np.float32)
  assert abs(x.mean()) < 0.02
  for split, part in [('train', x[:4000]), ('test', x[4000:])]:
    source = dataset.splits[split]
    assert len(source) == len(part) - 13
    for i in (0, 5, len(source) - 1):
      np.testing.assert_array_equal(source[i]['inputs'][:, 0], part[i : i + 10])
      np.testing.assert_array_equal(source[i]['targets'][:, 0], part[i + 10 : i + 14])
      assert source[i]['weights'].tolist() == [1, 1, 1, 1]
    with pytest.raises(IndexError):
      source[len(source)]


@pytest.mark.parametrize('options', [{'length': 1}, {'horizon': 0}, {'length': 990}])
def test_options_that_can_not_be(options):
  with pytest.raises(ValueError, match=r'must be 2 or more, 1 or more'):
    data.build('mackey_glass', **options)
