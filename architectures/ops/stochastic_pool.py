"""Pooling by chance."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from .conv import Padding
from .pool import sliding_windows
from .taps import taps


def stochastic_pool(
  x: jax.Array,
  window_shape: Sequence[int],
  *,
  strides: int | Sequence[int] | None = None,
  padding: Padding = 0,
  key: jax.Array | None = None,
) -> jax.Array:
  r"""Takes one value of each window, with a probability in proportion to it.

  .. math:: p_i = a_i / \sum_k a_k, \qquad y = a_l, \; l \sim P(p) \quad\text{or}\quad
    y = \sum_i p_i a_i,

  Zeiler & Fergus 2013, https://arxiv.org/abs/1301.3557, equations 4 to 6: the first in
  training, the second, the mean of the first, in evaluation. A window without a
  positive value gives 0. The sums are kept in float32 at least.

  Args:
    x: `[batch, *spatial, channels]`, of a floating dtype; a negative value counts as 0.
    window_shape: The window's size in each spatial dimension.
    strides: Steps of the window; the window's own size if None.
    padding: As in `max_pool`: zeros, which are never taken.
    key: What is drawn from; if None, the mean is taken.

  Returns:
    `[batch, *out, channels]` in the dtype of `x`.

  Raises:
    ValueError: If an argument does not fit the others, or a window does not fit `x`.

  Example:
    >>> x = jnp.array([1.0, 3.0]).reshape(1, 2, 1)
    >>> stochastic_pool(x, (2,)).item()
    2.5
    >>> stochastic_pool(x, (2,), key=jax.random.key(0)).item() in (1.0, 3.0)
    True
  """
  window, steps, pads, dilation, _ = sliding_windows(
    x, window_shape, strides, padding, 1, ceil_mode=False
  )
  x = jax.nn.relu(x)
  values = jnp.stack(list(taps(x, window, steps, pads, dilation, 0)))
  wide = values.astype(jnp.promote_types(x.dtype, jnp.float32))
  if key is not None:
    taken = jax.random.categorical(key, jnp.log(wide), axis=0)
    return jnp.take_along_axis(values, taken[None], axis=0)[0]
  total = wide.sum(0)
  return ((wide**2).sum(0) / jnp.where(total > 0, total, 1)).astype(x.dtype)
