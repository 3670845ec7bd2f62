"""Global response normalisation: channels weighted by how they compare."""

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype
from jax import Array


class GlobalResponseNorm(nn.Module):
  r"""Scales each channel by its norm over the map, relative to that of all channels.

  Woo et al. 2023, https://arxiv.org/abs/2301.00808, section 4: with the norms
  $g_c = \lVert x_c \rVert_2$ over all pixels of an example,

  .. math:: y_c = \gamma_c \, x_c \, \frac{g_c}{\mathrm{mean}_k \, g_k + \epsilon}
    + \beta_c + x_c.

  As in their code, the norms are divided by their mean and not by their sum. They are
  kept in float32 at least; the gradient of one that is zero is zero.

  Attributes:
    epsilon: $\epsilon$.
    dtype: of the computation and the output; by default that which the input and the
      parameters promote to.
    param_dtype: of `scale`, $\gamma$, and `bias`, $\beta$, both `[channels]` and
      initially zero, so that the layer begins as the identity.

  >>> import jax
  >>> layer = GlobalResponseNorm()
  >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((1, 5, 5, 8)))
  >>> y.shape, variables['params']['scale'].shape
  ((1, 5, 5, 8), (8,))
  """

  epsilon: float = 1e-6
  dtype: Dtype | None = None
  param_dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[batch, *spatial, channels]` to an array of the same shape."""
    zeros, shape = nn.initializers.zeros_init(), (1,) * (x.ndim - 1) + (-1,)
    scale, bias = (
      self.param(name, zeros, x.shape[-1:], self.param_dtype).reshape(shape)
      for name in ('scale', 'bias')
    )
    x, scale, bias = promote_dtype(x, scale, bias, dtype=self.dtype)
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    squares = jnp.sum(wide**2, axis=range(1, x.ndim - 1), keepdims=True)
    # Where it is zero, the root's gradient would be infinite.
    norms = jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)
    ratio = norms / (jnp.mean(norms, axis=-1, keepdims=True) + self.epsilon)
    return x + scale * (x * ratio.astype(x.dtype)) + bias
