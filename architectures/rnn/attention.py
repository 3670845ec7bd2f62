"""Attention: a weighted mean of a sequence, the weights from a query."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike


class Attention(nn.Module):
  r"""Attends over keys, which are the values too; base of the modules.

  .. math::
    \alpha_{ts} = \frac{\exp(\mathrm{score}(q_t, k_s))}
      {\sum_{s'} \exp(\mathrm{score}(q_t, k_{s'}))}, \qquad
    c_t = \sum_s \alpha_{ts} k_s

  A subclass writes `score`, and `project` for that part of it which is the same for
  every query.
  """

  def project(self, keys: Array) -> Array:
    """Returns what the scores need of `keys [batch, source, features]`."""
    return keys

  def score(self, query: Array, projected: Array) -> Array:
    """Returns the scores `[batch, steps, source]`.

    Args:
      query: `[batch, steps, features]`.
      projected: what `project` returned, `[batch, source, ...]`.
    """
    raise NotImplementedError

  def __call__(
    self,
    query: Array,
    keys: Array,
    *,
    mask: Array | None = None,
    projected: Array | None = None,
  ) -> tuple[Array, Array]:
    """Attends.

    Args:
      query: `[batch, steps, query_features]`.
      keys: `[batch, source, features]`.
      mask: bool `[batch, source]`, by default all True: which keys there are. Where
        none is, the weights and the context are zero.
      projected: what `project(keys)` returned, to compute it once for many calls.

    Returns:
      `(context, weights)`: `[batch, steps, features]`, and `[batch, steps, source]` in
      float32 or wider.

    Raises:
      ValueError: shapes or dtypes that do not fit.
    """
    if query.ndim != 3 or keys.ndim != 3 or len(query) != len(keys):
      raise ValueError(
        f'query, keys: got shapes {query.shape} and {keys.shape}, expected '
        '[batch, steps, query_features] and [batch, source, features]'
      )
    if mask is not None and (mask.shape != keys.shape[:2] or mask.dtype != bool):
      raise ValueError(
        f'mask: got {mask.dtype}{mask.shape}, expected bool{keys.shape[:2]}'
      )
    projected = self.project(keys) if projected is None else projected
    scores = self.score(query, projected)
    scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    if mask is None:
      weights = jax.nn.softmax(scores)
    else:
      # The finite minimum, and zeros afterwards: no NaN where no key is left.
      valid = mask[:, None]
      lowest = jnp.finfo(scores.dtype).min
      weights = jax.nn.softmax(jnp.where(valid, scores, lowest))
      weights = jnp.where(valid, weights, 0)
    context = jnp.einsum('bts,bsk->btk', weights.astype(keys.dtype), keys)
    return context, weights


class AdditiveAttention(Attention):
  r"""Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473, appendix A.1.2.

  .. math::
    \mathrm{score}(q, k) = v^\top \tanh(W q + U k)

  The parameters are `query/kernel` (W), `key/kernel` (U) and `score/kernel` (v).

  Attributes:
    features: the size of the sum.
    dtype: dtype of the computation.

  >>> attention = AdditiveAttention(4)
  >>> q, k = jnp.ones((2, 3, 5)), jnp.ones((2, 7, 6))
  >>> mask = jnp.arange(7)[None] < jnp.array([[7], [2]])
  >>> (c, a), variables = attention.init_with_output(jax.random.key(0), q, k, mask=mask)
  >>> c.shape, a.shape, a[1, 0]
  ((2, 3, 6), (2, 3, 7), Array([0.5, 0.5, 0. , 0. , 0. , 0. , 0. ], dtype=float32))
  """

  features: int
  dtype: DTypeLike | None = None

  def setup(self) -> None:
    """Makes the layers."""
    if self.features < 1:
      raise ValueError(f'features: got {self.features}, expected 1 or more')
    self.query = nn.Dense(self.features, use_bias=False, dtype=self.dtype)
    self.key = nn.Dense(self.features, use_bias=False, dtype=self.dtype)
    self.weight = nn.Dense(1, use_bias=False, dtype=self.dtype, name='score')

  def project(self, keys: Array) -> Array:
    """Returns U k."""
    return self.key(keys)

  def score(self, query: Array, projected: Array) -> Array:
    """Returns the scores."""
    total = self.query(query)[:, :, None] + projected[:, None]
    return self.weight(jnp.tanh(total))[..., 0]


class DotAttention(Attention):
  r"""Luong et al. 2015, https://arxiv.org/abs/1508.04025, equation 8, dot.

  .. math::
    \mathrm{score}(q, k) = q^\top k

  >>> q, k = jnp.array([[[0.0, 0.0]]]), jnp.array([[[1.0, 2.0], [3.0, 4.0]]])
  >>> DotAttention().apply({}, q, k)[0]
  Array([[[2., 3.]]], dtype=float32)
  """

  def score(self, query: Array, projected: Array) -> Array:
    """Returns the scores.

    Raises:
      ValueError: queries and keys differ in size.
    """
    if query.shape[-1] != projected.shape[-1]:
      raise ValueError(
        f'query, keys: got {query.shape[-1]} and {projected.shape[-1]} features, '
        f'expected as many for {type(self).__name__}; GeneralAttention takes any'
      )
    return jnp.einsum('btk,bsk->bts', query, projected)


class ScaledDotAttention(DotAttention):
  r"""Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, equation 1.

  .. math::
    \mathrm{score}(q, k) = q^\top k / \sqrt{d}

  with d the number of features.

  >>> q, k = jnp.zeros((2, 3, 4)), jnp.zeros((2, 7, 4))
  >>> ScaledDotAttention().apply({}, q, k)[0].shape
  (2, 3, 4)
  """

  def score(self, query: Array, projected: Array) -> Array:
    """Returns the scores; errors as for `DotAttention`."""
    return super().score(query, projected) / math.sqrt(query.shape[-1])


class GeneralAttention(DotAttention):
  r"""Luong et al. 2015, https://arxiv.org/abs/1508.04025, equation 8, general.

  .. math::
    \mathrm{score}(q, k) = q^\top W k

  The parameter W is `query/kernel [query_features, features]`.

  Attributes:
    dtype: dtype of the computation.

  >>> attention = GeneralAttention()
  >>> q, k = jnp.ones((2, 3, 5)), jnp.ones((2, 7, 6))
  >>> (c, _), variables = attention.init_with_output(jax.random.key(0), q, k)
  >>> c.shape, variables['params']['query']['kernel'].shape
  ((2, 3, 6), (5, 6))
  """

  dtype: DTypeLike | None = None

  @nn.compact
  def score(self, query: Array, projected: Array) -> Array:
    """Returns the scores."""
    dense = nn.Dense(
      projected.shape[-1], use_bias=False, dtype=self.dtype, name='query'
    )
    return super().score(dense(query), projected)
