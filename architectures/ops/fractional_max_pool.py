"""Max pooling by a fraction that is no whole number."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from .conv import per_dimension


def fractional_max_pool(
  x: jax.Array,
  window_shape: Sequence[int],
  output_size: int | Sequence[int],
  samples: jax.Array,
) -> jax.Array:
  r"""Takes the largest values of as many windows as the output is to have entries.

  Their steps are a random mixture of two whole numbers. In each dimension, with the
  sample u and n outputs, windows start at

  .. math:: \lfloor \alpha (i + u) \rfloor - \lfloor \alpha u \rfloor
    \;(i < n - 1), \qquad \alpha = (\text{size} - \text{window}) / (n - 1),

  and the last one ends with `x`: the pseudorandom, overlapping sequences of Graham
  2014, https://arxiv.org/abs/1412.6071, as torch has them. Of equal values the first
  wins.

  Args:
    x: `[batch, *spatial, channels]`, of a real dtype.
    window_shape: The window's size in each spatial dimension.
    output_size: The spatial size of the output, one int for all dimensions or one each.
    samples: Of the uniform distribution on [0, 1): `[batch, channels, dimensions]`,
      where the first two may be 1, for the same windows in all. Those of
      `torch.nn.FractionalMaxPool2d` have their last axis in reverse, those of
      `FractionalMaxPool3d` have it as here.

  Returns:
    `[batch, *output_size, channels]` in the dtype of `x`.

  Raises:
    ValueError: If an argument does not fit the others, or `x` is too small.

  Example:
    >>> x = jnp.arange(7.0).reshape(1, 7, 1)
    >>> fractional_max_pool(x, (2,), 4, jnp.full((1, 1, 1), 0.3)).ravel()
    Array([1., 3., 4., 6.], dtype=float32)
  """
  ndim = x.ndim - 2
  window = per_dimension('window_shape', window_shape, ndim)
  outs = per_dimension('output_size', output_size, ndim)
  sizes = x.shape[1:-1]
  if any(n + k - 1 > size for n, k, size in zip(outs, window, sizes, strict=True)):
    raise ValueError(
      f'x with spatial shape {sizes}: expected at least output_size + window_shape - 1 '
      f'for output_size {outs} and window_shape {window}'
    )
  batch, channels = x.shape[0], x.shape[-1]
  shapes = [(b, c, ndim) for b in (1, batch) for c in (1, channels)]
  if samples.shape not in shapes:
    raise ValueError(
      f'samples with shape {samples.shape}: expected {(batch, channels, ndim)}, or '
      '1 in place of the first two'
    )
  # Backwards, so that the first of equal values is that of the first row.
  for axis in reversed(range(1, ndim + 1)):
    n, k, size = outs[axis - 1], window[axis - 1], x.shape[axis]
    u = samples[:, None, :, axis - 1].astype(jnp.float32)
    alpha = jnp.float32((size - k) / max(n - 1, 1))
    i = jnp.arange(n - 1, dtype=jnp.float32).reshape(1, -1, 1)
    starts = jnp.trunc((i + u) * alpha) - jnp.trunc(u * alpha)
    starts = jnp.pad(starts, [(0, 0), (0, 1), (0, 0)], constant_values=size - k)
    shape = [1] * x.ndim
    shape[0], shape[axis], shape[-1] = starts.shape
    starts = starts.astype(jnp.int32).reshape(shape)
    y = jnp.take_along_axis(x, starts, axis=axis)
    for tap in range(1, k):
      part = jnp.take_along_axis(x, starts + tap, axis=axis)
      y = jnp.where((part > y) | (part != part), part, y)
    x = y
  return x
