"""Batch normalisation: Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167.

Written so that its derivative stores the input alone: the statistics and the affine map
become one factor and one term a channel.
"""

import jax
import jax.numpy as jnp
from flax.typing import Dtype
from jax import lax


def batch_statistics(
  x: jax.Array, axis_name: str | None = None
) -> tuple[jax.Array, jax.Array]:
  """Averages each channel, and its squared distance from the average.

  The latter as the average square less the squared average, in one pass as flax does:
  where a channel's mean is a thousand times its deviation, float32 keeps nothing.

  Args:
    x: `[..., channels]`.
    axis_name: An axis of `jax.shard_map` or `jax.vmap` to average over as well.

  Returns:
    The mean and the (biased) variance, `[channels]` each, in float32 at least.

  Example:
    >>> mean, var = batch_statistics(jnp.array([[1.0, 2.0], [3.0, 2.0]]))
    >>> mean.tolist(), var.tolist()
    ([2.0, 2.0], [1.0, 0.0])
  """
  x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
  axes = tuple(range(x.ndim - 1))
  moments = jnp.mean(x, axes), jnp.mean(x * x, axes)
  mean, square = moments if axis_name is None else lax.pmean(moments, axis_name)
  return mean, jnp.maximum(square - mean * mean, 0)


def batch_norm(
  x: jax.Array,
  mean: jax.Array,
  var: jax.Array,
  scale: jax.Array | float = 1.0,
  bias: jax.Array | float = 0.0,
  epsilon: float = 1e-5,
  dtype: Dtype | None = None,
) -> jax.Array:
  r"""Normalises each channel by given statistics.

  .. math:: y = \gamma \, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

  Args:
    x: `[..., channels]`.
    mean: `[channels]`, :math:`\mu`.
    var: `[channels]`, :math:`\sigma^2`.
    scale: `[channels]` or a number, :math:`\gamma`.
    bias: `[channels]` or a number, :math:`\beta`.
    epsilon: what keeps the root from 0.
    dtype: of the output; by default that of `x`.

  Returns:
    An array of the shape of `x`, computed in float32 at least.

  Example:
    >>> x = jnp.array([[1.0, 2.0], [3.0, 2.0]])
    >>> batch_norm(x, *batch_statistics(x), epsilon=0.0001).round(2).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
  """
  factor = scale * lax.rsqrt(var + epsilon)
  term = bias - mean * factor
  wide = x.astype(jnp.promote_types(x.dtype, factor.dtype))
  shape = (1,) * (x.ndim - 1) + (-1,)
  return (wide * factor.reshape(shape) + term.reshape(shape)).astype(dtype or x.dtype)
