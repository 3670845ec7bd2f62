"""Pooling by the norm of a window."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from .max_pool import max_pool
from .pool import avg_pool


def lp_pool(
  x: jax.Array,
  window_shape: Sequence[int],
  *,
  norm_type: float,
  strides: int | Sequence[int] | None = None,
  ceil_mode: bool = False,
) -> jax.Array:
  r"""Takes the p-norm of each window, channel by channel.

  .. math:: y = \left(\sum_i x_i^{\,p}\right)^{1/p}

  As torch's `lp_pool`: a power is not of the absolute value, so that an odd p asks for
  values that are not negative; and a window that `ceil_mode` lets hang out counts as if
  its missing values were the average of the others. Where the sum is 0, the gradient
  is 0. The sum is kept in float32 at least.

  Args:
    x: `[batch, *spatial, channels]`, of a floating dtype.
    window_shape: The window's size in each spatial dimension.
    norm_type: p, positive; infinity takes the largest absolute value.
    strides: Steps of the window; the window's own size if None.
    ceil_mode: As in `max_pool`.

  Returns:
    `[batch, *out, channels]` in the dtype of `x`.

  Raises:
    ValueError: If an argument does not fit the others, or a window does not fit `x`.

  Example:
    >>> x = jnp.array([3.0, -4.0]).reshape(1, 2, 1)
    >>> lp_pool(x, (2,), norm_type=2).ravel()
    Array([5.], dtype=float32)
  """
  if not norm_type > 0:
    raise ValueError(f'norm_type {norm_type}: expected a positive number')
  if math.isinf(norm_type):
    return max_pool(jnp.abs(x), window_shape, strides=strides, ceil_mode=ceil_mode)
  powers = x.astype(jnp.promote_types(x.dtype, jnp.float32)) ** norm_type
  means = avg_pool(powers, window_shape, strides=strides, ceil_mode=ceil_mode)
  total = means * math.prod(window_shape)
  # The root of 0 has no derivative: none is asked for.
  root = jnp.where(total == 0, 1, total) ** (1 / norm_type)
  return jnp.where(total == 0, 0, root).astype(x.dtype)
