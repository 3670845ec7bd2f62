"""Squeeze and excitation: channels weighted by what all of the map holds."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from .conv import Conv


class SqueezeExcite(nn.Module):
  """Scales the channels by gates computed of their averages.

  Hu et al. 2017, https://arxiv.org/abs/1709.01507, equations 2 to 4. The two layers are
  1x1 convolutions of the averages, `reduce` and `expand`.

  Attributes:
    features: the number of channels between the two.
    act: the activation between them, delta there.
    gate: the activation after both, sigma there.
    conv: makes a convolution, as `Conv` does.

  >>> import jax
  >>> layer = SqueezeExcite(2)
  >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((1, 5, 5, 8)))
  >>> y.shape, variables['params']['reduce']['kernel'].shape
  ((1, 5, 5, 8), (1, 1, 8, 2))
  """

  features: int
  act: Callable[[Array], Array] = nn.relu
  gate: Callable[[Array], Array] = nn.sigmoid
  conv: Callable[..., Any] = Conv

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[batch, *spatial, channels]` to an array of the same shape."""
    window = (1,) * (x.ndim - 2)
    y = jnp.mean(x, axis=range(1, x.ndim - 1), keepdims=True)
    y = self.act(self.conv(self.features, window, name='reduce')(y))
    return x * self.gate(self.conv(x.shape[-1], window, name='expand')(y))
