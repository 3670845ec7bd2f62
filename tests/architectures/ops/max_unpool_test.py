"""Max pooling's indices, and unpooling by them, against a plain loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.ops import max_pool, max_pool_with_indices, max_unpool


def test_indices_are_of_the_first_of_equal_values():
  x = np.random.default_rng(0).integers(0, 3, size=(2, 5, 6, 3)) - 5
  values, indices = max_pool_with_indices(
    jnp.asarray(x), (3, 2), strides=(2, 1), padding=1
  )
  np.testing.assert_array_equal(
    values, max_pool(jnp.asarray(x), (3, 2), strides=(2, 1), padding=1)
  )
  assert indices.dtype == jnp.int32
  for n, i, j, c in np.ndindex(*values.shape):
    rows = [r for r in range(2 * i - 1, 2 * i + 2) if 0 <= r < 5]
    columns = [k for k in range(j - 1, j + 1) if 0 <= k < 6]
    places = [(r, k) for r in rows for k in columns]
    first = max(places, key=lambda place: x[n, *place, c])  # of equals the first
    assert indices[n, i, j, c] == first[0] * 6 + first[1]


def test_nan_and_the_lowest_value_are_found():
  x = jnp.array([-jnp.inf, -jnp.inf, 1, jnp.nan, 2, 3]).reshape(1, 6, 1)
  values, indices = max_pool_with_indices(x, (3,), strides=2, padding=1)
  np.testing.assert_array_equal(values.ravel(), [-jnp.inf, jnp.nan, jnp.nan])
  assert indices.ravel().tolist() == [0, 3, 3]


@pytest.mark.parametrize('sizes', [(7,), (6, 5), (4, 5, 3)])
def test_what_is_unpooled_is_where_it_was(sizes):
  x = np.random.default_rng(0).uniform(1, 2, size=(2, *sizes, 3)).astype(np.float32)
  window = (2,) * len(sizes)

  def keep(x):
    values, indices = max_pool_with_indices(x, window)
    return max_unpool(values, indices, window, output_size=sizes)

  y, pullback = jax.vjp(keep, jnp.asarray(x))
  want = np.zeros_like(x)
  for n, *cell, c in np.ndindex(2, *(size // 2 for size in sizes), 3):
    at = tuple(slice(2 * i, 2 * i + 2) for i in cell)
    block = x[n, *at, c]
    want[n, *at, c] = np.where(block == block.max(), block, 0)
  np.testing.assert_array_equal(y, want)
  np.testing.assert_array_equal(pullback(jnp.ones_like(y))[0], want > 0)
  _, dot = jax.jvp(keep, (jnp.asarray(x),), (jnp.cos(x),))
  np.testing.assert_allclose(dot, np.where(want > 0, np.cos(x), 0), rtol=1e-6)


def test_bfloat16():
  values, indices = max_pool_with_indices(jnp.ones((1, 4, 1), jnp.bfloat16), (2,))
  assert values.dtype == jnp.bfloat16
  assert max_unpool(values, indices, (2,)).dtype == jnp.bfloat16


@pytest.mark.parametrize(
  ('shape', 'window', 'kwargs', 'message'),
  [
    ((1, 2, 1), (2,), {'output_size': 6}, r'output_size 6: expected \(4,\), each give'),
    ((1, 2, 1), (2,), {'output_size': (2, 2)}, r'output_size \(2, 2\): .* 1 of them'),
    ((1, 2, 1), (2, 2), {}, r'window_shape \(2, 2\): expected'),
    (
      (1, 3, 1),
      (2,),
      {},
      r'indices with shape \(1, 2, 1\): expected that of x, \(1, 3',
    ),
    ((1, 2, 1), (2,), {'padding': 'SAME'}, "padding 'SAME': expected an int"),
  ],
)
def test_errors(shape, window, kwargs, message):
  with pytest.raises(ValueError, match=message):
    max_unpool(jnp.ones(shape), jnp.zeros((1, 2, 1), jnp.int32), window, **kwargs)
