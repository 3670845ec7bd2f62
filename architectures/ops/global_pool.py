"""Pooling over all spatial dimensions by other means than the average."""

import jax
import jax.numpy as jnp


def global_max_pool(x: jax.Array) -> jax.Array:
  """Takes the largest value of each channel over all spatial dimensions.

  Equal values share the gradient, as in torch's `amax`.

  Args:
    x: `[batch, *spatial, channels]`.

  Returns:
    `[batch, channels]` in the dtype of `x`.

  Example:
    >>> global_max_pool(jnp.arange(8.0).reshape(1, 2, 2, 2))
    Array([[6., 7.]], dtype=float32)
  """
  return jnp.max(x, axis=range(1, x.ndim - 1))


def gem_pool(x: jax.Array, p: jax.Array | float, *, epsilon: float = 1e-6) -> jax.Array:
  r"""Takes the generalised mean of each channel over all spatial dimensions.

  .. math:: y_{n,c} = \left(\operatorname{mean}_i\, x_{n,i,c}^{\,p}\right)^{1/p},

  Radenovic et al. 2017, https://arxiv.org/abs/1711.02512, equation 3: the average for
  p = 1, the maximum for p to infinity. It is computed in float32.

  Args:
    x: `[batch, *spatial, channels]`.
    p: A positive number, or one for each channel; it may be trained.
    epsilon: What smaller values count as.

  Returns:
    `[batch, channels]` in the dtype of `x`.

  Example:
    >>> gem_pool(jnp.array([3.0, 5.0]).reshape(1, 2, 1), 2.0)
    Array([[4.1231055]], dtype=float32)
  """
  wide = jnp.maximum(x.astype(jnp.promote_types(x.dtype, jnp.float32)), epsilon)
  p = jnp.broadcast_to(jnp.asarray(p, wide.dtype), x.shape[-1:])
  # Relative to the largest value, so that no power of it overflows.
  largest = wide.max(axis=range(1, x.ndim - 1), keepdims=True)
  largest = jax.lax.stop_gradient(largest)
  powers = (wide / largest) ** p.reshape((1,) * (x.ndim - 1) + (-1,))
  means = powers.mean(axis=range(1, x.ndim - 1)) ** (1 / p.reshape(1, -1))
  return (means * largest.reshape(means.shape)).astype(x.dtype)
