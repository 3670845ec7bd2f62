"""Normalisation of each channel by its neighbours."""

import jax
import jax.numpy as jnp
from jax import lax


def local_response_norm(
  x: jax.Array, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> jax.Array:
  r"""Divides each value by a power of the squares in the channels around it.

  .. math:: y_c = x_c \left(k + \frac{\alpha}{n} \sum_{j = c - \lfloor n/2 \rfloor}
    ^{c + \lfloor (n-1)/2 \rfloor} x_j^2\right)^{-\beta}

  Krizhevsky et al. 2012, https://papers.nips.cc/paper/4824, section 3.3, but with the
  average of n = `size` squares, as torch has it, and not their sum: there alpha is n
  times smaller. Channels beyond the first and the last count as 0. It is computed in
  float32 at least.

  Args:
    x: `[..., channels]`, of a floating dtype.
    size: How many channels are averaged over.
    alpha: The weight of the average.
    beta: The power.
    k: What is added to the average.

  Returns:
    An array of the shape and dtype of `x`.

  Raises:
    ValueError: If `size` is not positive.

  Example:
    >>> local_response_norm(jnp.array([1.0, 1.0, 2.0]), 3, alpha=3.0, beta=1.0)
    Array([0.33333334, 0.14285715, 0.33333334], dtype=float32)
  """
  if size < 1:
    raise ValueError(f'size {size}: expected a positive number of channels')
  wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
  ones = (1,) * (x.ndim - 1)
  pads = [*((0, 0) for _ in ones), (size // 2, (size - 1) // 2)]
  total = lax.reduce_window(wide**2, 0.0, lax.add, (*ones, size), (*ones, 1), pads)
  return (wide / (k + alpha / size * total) ** beta).astype(x.dtype)
