"""Weight standardisation."""

import jax
import jax.numpy as jnp


def standardise_kernel(kernel: jax.Array, epsilon: float = 1e-6) -> jax.Array:
  r"""Gives the weights of each output channel the mean 0 and the variance 1.

  .. math:: \hat W_{k,i,o} = \frac{W_{k,i,o} - \operatorname{mean}_{k,i} W_{k,i,o}}
    {\sqrt{\operatorname{var}_{k,i} W_{k,i,o} + \epsilon}},

  Qiao et al. 2019, https://arxiv.org/abs/1903.10520, equations 7 and 8. It is computed
  in float32 at least. As a layer: `Conv(..., kernel_transform=standardise_kernel)`.

  Args:
    kernel: `[*window, in_channels / groups, out_channels]`.
    epsilon: What is added to the variance.

  Returns:
    An array of the shape and dtype of `kernel`.

  Example:
    >>> standardise_kernel(jnp.array([1.0, 3.0]).reshape(2, 1, 1)).ravel().round(4)
    Array([-1.,  1.], dtype=float32)
  """
  wide = kernel.astype(jnp.promote_types(kernel.dtype, jnp.float32))
  axes = range(kernel.ndim - 1)
  centred = wide - wide.mean(axes, keepdims=True)
  variance = (centred**2).mean(axes, keepdims=True)
  return (centred * jax.lax.rsqrt(variance + epsilon)).astype(kernel.dtype)
