"""Dropout that keeps the mean and the variance of what SELU gives."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from .dropout import check_rates

# What SELU tends to at minus infinity: minus its scale times its alpha.
_LOWEST = -1.0507009873554805 * 1.6732632423543772


class AlphaDropout(nn.Module):
  r"""Replaces values by SELU's lowest at random, then scales and shifts all.

  .. math:: y = a (x d + \alpha' (1 - d)) + b, \qquad
    a = \left((1 - p)(1 + p \alpha'^2)\right)^{-1/2}, \qquad b = -a p \alpha'

  with d = 1 at a probability of 1 - p, so that a mean of 0 and a variance of 1 stay so:
  Klambauer et al. 2017, https://arxiv.org/abs/1706.02515, section "Alpha dropout".

  Attributes:
    rate: the probability p, 0 <= rate < 1.
    broadcast_dims: axes along which all is replaced or nothing, as of `Dropout`.

  Raises:
    ValueError: `rate` is not in [0, 1).

  >>> x, rngs = jnp.zeros((1, 1000)), {'dropout': jax.random.key(0)}
  >>> y = AlphaDropout(0.5).apply({}, x, deterministic=False, rngs=rngs)
  >>> sorted({round(value, 3) for value in y.ravel().tolist()})
  [-0.779, 0.779]
  """

  rate: float
  broadcast_dims: Sequence[int] = ()

  def __post_init__(self) -> None:
    """Checks the rate."""
    check_rates(self)
    super().__post_init__()

  @nn.compact
  def __call__(self, x: Array, *, deterministic: bool) -> Array:
    """Drops entries of an array.

    Args:
      x: the array, of a floating dtype.
      deterministic: whether to return `x` as it is; else the rng stream `dropout` is
        drawn from.
    """
    if deterministic or self.rate == 0:
      return x
    shape = list(x.shape)
    for axis in self.broadcast_dims:
      shape[axis] = 1
    keep = 1 - self.rate
    kept = jax.random.bernoulli(self.make_rng('dropout'), keep, shape)
    a = 1 / math.sqrt(keep * (1 + self.rate * _LOWEST**2))
    b = -a * self.rate * _LOWEST
    return jnp.where(kept, a * x + b, jnp.asarray(a * _LOWEST + b, x.dtype))
