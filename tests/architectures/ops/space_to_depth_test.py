"""Exchange of positions for channels against a plain loop."""

import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.ops import depth_to_space, space_to_depth


@pytest.mark.parametrize('cells', [(3,), (2, 3), (2, 1, 3)])
@pytest.mark.parametrize('block', [1, 2, 3])
def test_there_and_back(cells, block):
  x = np.random.default_rng(0).normal(size=(2, *(n * block for n in cells), 5))
  x = jnp.asarray(x, jnp.float32)
  y = space_to_depth(x, block)
  places = list(np.ndindex(*(block for _ in cells)))
  assert y.shape == (2, *cells, 5 * len(places))
  for cell in np.ndindex(*cells):
    for c in range(5):
      for i, place in enumerate(places):
        at = tuple(n * block + p for n, p in zip(cell, place, strict=True))
        np.testing.assert_array_equal(y[:, *cell, c * len(places) + i], x[:, *at, c])
  np.testing.assert_array_equal(depth_to_space(y, block), x)


def test_errors():
  x = jnp.ones((1, 4, 6, 6))
  with pytest.raises(
    ValueError, match=r'block_size 4: expected a divisor of .* \(4, 6'
  ):
    space_to_depth(x, 4)
  with pytest.raises(ValueError, match='block_size 2: expected its power 2 to divide'):
    depth_to_space(x, 2)
  for op in (space_to_depth, depth_to_space):
    with pytest.raises(ValueError, match='block_size 0'):
      op(x, 0)
