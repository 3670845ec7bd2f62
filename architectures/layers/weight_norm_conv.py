"""Convolution by a kernel that is a direction and a length."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from .conv import Conv


class WeightNormConv(Conv):
  r"""A convolution whose kernel's norm, for each output channel, is a parameter.

  Salimans and Kingma 2016, https://arxiv.org/abs/1602.07868, equation 2:
  $w = g \, v / \lVert v \rVert$, with `scale` for $g$ and `kernel` for $v$. Initially
  the norm is that of the kernel as `kernel_init` makes it, as torch has it; the paper
  sets it by a batch of data. A kernel of zeros has no direction, and gives NaN.

  The fields are those of `Conv`.

  >>> layer = WeightNormConv(8, (3,), padding=[(2, 0)])
  >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((1, 7, 4)))
  >>> y.shape, variables['params']['scale'].shape
  ((1, 7, 8), (8,))
  """

  @nn.nowrap
  def make_kernel(self, shape: Sequence[int]) -> jax.Array:
    """Makes the kernel of its parameters."""
    direction = super().make_kernel(shape)
    direction = direction.astype(jnp.promote_types(direction.dtype, jnp.float32))
    norm = jnp.linalg.norm(direction.reshape(-1, self.features), axis=0)
    scale = self.param('scale', lambda key: norm.astype(self.param_dtype))
    kernel = direction * (scale / norm).reshape((1,) * (direction.ndim - 1) + (-1,))
    return kernel.astype(self.param_dtype)
