"""Stochastic depth: dropping what a block adds to its shortcut."""

import flax.linen as nn
from jax import Array

from .dropout import check_rates


class StochasticDepth(nn.Module):
  """Zeroes its input at random while training, and scales up what it keeps.

  Huang et al. 2016, https://arxiv.org/abs/1603.09382, who scale at test time instead.

  Attributes:
    rate: the probability of zeroing, 0 <= rate < 1.
    mode: `'row'` draws for each example, `'batch'` once for all.

  Raises:
    ValueError: `rate` or `mode` is none of these.

  >>> import jax
  >>> x = jax.numpy.ones((8, 1, 1, 3))
  >>> rngs = {'dropout': jax.random.key(0)}
  >>> y = StochasticDepth(0.5).apply({}, x, deterministic=False, rngs=rngs)
  >>> sorted(set(y.ravel().tolist()))
  [0.0, 2.0]
  """

  rate: float
  mode: str = 'row'

  def __post_init__(self) -> None:
    """Checks the fields."""
    check_rates(self)
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
    shared = range(1 if self.mode == 'row' else 0, x.ndim)
    return nn.Dropout(self.rate, shared)(x, deterministic=deterministic)
