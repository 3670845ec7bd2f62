"""Local response normalisation against a plain loop in float64."""

import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.ops import local_response_norm


@pytest.mark.parametrize('size', [1, 2, 5, 20])
def test_it_is_a_plain_loop(size):
  x = np.random.default_rng(0).normal(size=(2, 3, 4, 7))
  want = np.zeros_like(x)
  for c in range(7):
    near = range(max(c - size // 2, 0), min(c + (size - 1) // 2, 6) + 1)
    average = sum(x[..., j] ** 2 for j in near) / size
    want[..., c] = x[..., c] / (2 + 0.3 * average) ** 0.6
  y = local_response_norm(jnp.float32(x), size, alpha=0.3, beta=0.6, k=2)
  np.testing.assert_allclose(y, want, rtol=1e-5)


def test_dtype_and_errors():
  ones = jnp.ones((1, 2048), jnp.bfloat16)
  y = local_response_norm(ones, 2048, alpha=2, beta=1, k=0)
  assert (y.dtype, y[0, 1024]) == (jnp.bfloat16, 0.5)  # sums in bfloat16 end at 256
  with pytest.raises(
    ValueError, match='size 0: expected a positive number of channels'
  ):
    local_response_norm(ones, 0)
