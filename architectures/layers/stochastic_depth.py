"""Stochastic depth: dropping what a block adds to its shortcut."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array


class StochasticDepth(nn.Module):
  """Zeroes its input at random while training, and scales up what it keeps.

  Huang et al. 2016, https://arxiv.org/abs/1603.09382, who scale at test time instead.

  Attributes:
    rate: the probability of zeroing, 0 <= rate < 1.
    mode: `'row'` draws for each example, `'batch'` once for all.

  Raises:
    ValueError: `rate` or `mode` is none of these.

  >>> x = jnp.ones((8, 1, 1, 3))
  >>> rngs = {'dropout': jax.random.key(0)}
  >>> y = StochasticDepth(0.5).apply({}, x, deterministic=False, rngs=rngs)
  >>> sorted(set(y.ravel().tolist()))
  [0.0, 2.0]
  """

  rate: float
  mode: str = 'row'

  def __post_init__(self) -> None:
    """Checks the fields."""
    if not 0 <= self.rate < 1:
      raise ValueError(
        f'stochastic_depth_rate: got {self.rate}, expected 0 <= rate < 1'
      )
    if self.mode not in ('row', 'batch'):
      raise ValueError(f"mode: got {self.mode!r}, expected 'row' or 'batch'")
    super().__post_init__()

  @nn.compact
  def __call__(self, x: Array, *, deterministic: bool) -> Array:
    """Keeps or zeroes the rows of an array.

    Args:
      x: `[batch, ...]`.
      deterministic: whether to return `x` as it is; else the rng stream `dropout` is
        drawn from.
    """
    if deterministic or self.rate == 0:
      return x
    rows = x.shape[0] if self.mode == 'row' else 1
    keep = 1 - self.rate
    kept = jax.random.bernoulli(
      self.make_rng('dropout'), keep, (rows,) + (1,) * (x.ndim - 1)
    )
    return jnp.where(kept, x / keep, jnp.zeros_like(x))
