"""Batch normalisation by the whole batch, by parts of it, or by frozen statistics."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Dtype, Initializer
from jax import Array

from ..ops.batch_norm import batch_norm, batch_statistics


class BatchNorm(nn.Module):
  """Normalises each channel by the batch's statistics, or by running ones.

  Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167. The variables are those of
  `flax.linen.BatchNorm`, and so are the fields that it shares; the channels are last,
  and the derivative stores the input alone.
  What a batch is depends on where it runs:

  - Under `jax.jit` the batch is the whole array, on however many devices it lies: the
    statistics are synchronised.
  - Under `jax.jit` with `ghost_batch`, every so many consecutive examples have
    statistics of their own (Hoffer et al. 2017, https://arxiv.org/abs/1705.08741). The
    running ones move towards the average of all: at once, and not once a group as
    there. With the number of examples that a device has, these are the statistics of
    each device, and only the running ones need communication.
  - Under `jax.shard_map` the batch is the device's own; `axis_name` names the axis of
    the mesh to synchronise over.

  Attributes:
    use_running_average: whether to normalise by the running statistics.
    momentum: how much of the running statistics a batch leaves.
    epsilon: added to the variance.
    dtype: of the output; by default that which the input and the parameters promote to.
      The computation is in float32 at least.
    param_dtype: of the parameters.
    use_bias: whether to add a bias.
    use_scale: whether to scale.
    bias_init: of `bias`, `[features]`.
    scale_init: of `scale`, `[features]`.
    axis_name: the axis of `jax.shard_map` or `jax.vmap` to synchronise over.
    ghost_batch: how many examples share statistics; None for all.
    frozen: whether to normalise by the running statistics, and by the scale and bias as
      they are, in training too, as torchvision's `FrozenBatchNorm2d`: their gradients
      are 0. It wins over `use_running_average`. An optimizer that decays weights is to
      leave the parameters out.

  Raises:
    ValueError: `ghost_batch` is not positive, or does not divide the batch.

  >>> layer = BatchNorm(use_running_average=False, ghost_batch=2)
  >>> x = jnp.array([[1.0], [3.0], [50.0], [70.0]])
  >>> y, variables = layer.init_with_output(jax.random.key(0), x)
  >>> y, updated = layer.apply(variables, x, mutable='batch_stats')
  >>> y.ravel().round(2).tolist()
  [-1.0, 1.0, -1.0, 1.0]
  """

  use_running_average: bool | None = None
  momentum: float = 0.99
  epsilon: float = 1e-5
  dtype: Dtype | None = None
  param_dtype: Dtype = jnp.float32
  use_bias: bool = True
  use_scale: bool = True
  bias_init: Initializer = nn.initializers.zeros_init()
  scale_init: Initializer = nn.initializers.ones_init()
  axis_name: str | None = None
  ghost_batch: int | None = None
  frozen: bool = False

  def __post_init__(self) -> None:
    """Checks the fields."""
    if self.ghost_batch is not None and self.ghost_batch < 1:
      raise ValueError(
        f'ghost_batch: got {self.ghost_batch}, expected a positive number of examples'
      )
    super().__post_init__()

  @nn.compact
  def __call__(self, x: Array, use_running_average: bool | None = None) -> Array:
    """Normalises `[batch, ..., features]`.

    Args:
      x: the array.
      use_running_average: as the field, if that is None.
    """
    running = self.frozen or nn.merge_param(
      'use_running_average', self.use_running_average, use_running_average
    )
    shape = x.shape[-1:]
    mean = self.variable('batch_stats', 'mean', jnp.zeros, shape, jnp.float32)
    var = self.variable('batch_stats', 'var', jnp.ones, shape, jnp.float32)
    scale: Array | float = 1.0
    bias: Array | float = 0.0
    if self.use_scale:
      scale = self.param('scale', self.scale_init, shape, self.param_dtype)
    if self.use_bias:
      bias = self.param('bias', self.bias_init, shape, self.param_dtype)
    given = mean.value, var.value, scale, bias
    dtype = self.dtype or jnp.result_type(x, scale, bias)
    if running:
      given = jax.lax.stop_gradient(given) if self.frozen else given
      return batch_norm(x, *given, self.epsilon, dtype)

    # No axis has a name yet while a model is initialised.
    axis_name = None if self.is_initializing() else self.axis_name

    def normalise(x: Array) -> tuple[Array, tuple[Array, Array]]:
      statistics = batch_statistics(x, axis_name)
      return batch_norm(x, *statistics, scale, bias, self.epsilon, dtype), statistics

    if self.is_initializing():
      return normalise(x)[0]
    if self.ghost_batch is None:
      y, statistics = normalise(x)
    else:
      if len(x) % self.ghost_batch:
        raise ValueError(
          f'ghost_batch: got {self.ghost_batch}, expected a divisor of the batch of '
          f'{len(x)}'
        )
      y, groups = jax.vmap(normalise)(x.reshape(-1, self.ghost_batch, *x.shape[1:]))
      y, statistics = y.reshape(x.shape), jax.tree.map(lambda s: s.mean(0), groups)
    for kept, new in zip((mean, var), statistics, strict=True):
      kept.value = self.momentum * kept.value + (1 - self.momentum) * new
    return y
