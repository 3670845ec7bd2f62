"""Batch normalisation by the whole batch, by parts of it, or by frozen statistics."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array


class BatchNorm(nn.BatchNorm):
  """`flax.linen.BatchNorm`, which also takes its statistics of parts of the batch.

  Its fields and variables are flax's. What a batch is depends on where it runs:

  - Under `jax.jit` the batch is the whole array, on however many devices it lies: the
    statistics are synchronised.
  - Under `jax.jit` with `ghost_batch`, every so many consecutive examples have
    statistics of their own (Hoffer et al. 2017, https://arxiv.org/abs/1705.08741). The
    running ones move towards the average of all: at once, and not once a group as
    there. With the number of examples that a device has, these are the statistics of
    each device, and only the running ones need communication.
  - Under `jax.shard_map` the batch is the device's own; `axis_name`, of flax, names the
    axes of the mesh to synchronise over.

  Attributes:
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

  ghost_batch: int | None = None
  frozen: bool = False

  def __post_init__(self) -> None:
    """Checks the fields."""
    if self.ghost_batch is not None and self.ghost_batch < 1:
      raise ValueError(
        f'ghost_batch: got {self.ghost_batch}, expected a positive number of examples'
      )
    if self.frozen:
      self.use_running_average = True
    super().__post_init__()

  def __call__(
    self,
    x: Array,
    use_running_average: bool | None = None,
    *,
    mask: Array | None = None,
  ) -> Array:
    """Normalises `[batch, ..., features]`.

    Args:
      x: the array.
      use_running_average: as the field, if that is None.
      mask: which entries the statistics are of, broadcastable to `x`.
    """
    if self.frozen:
      use_running_average = None
    average = nn.merge_param(
      'use_running_average', self.use_running_average, use_running_average
    )
    grouped = self.ghost_batch is not None and not average
    if self.is_initializing() or not (self.frozen or grouped):
      return super().__call__(x, use_running_average, mask=mask)
    plain = self.clone(
      name=None, use_running_average=average, ghost_batch=None, frozen=False
    )
    if self.frozen:
      return plain.apply(jax.lax.stop_gradient(self.variables), x)
    return self._by_groups(plain, x, mask)

  @nn.nowrap
  def _by_groups(self, plain: nn.Module, x: Array, mask: Array | None) -> Array:
    """Applies a plain normalisation to each group, and averages what it keeps."""
    if x.shape[0] % self.ghost_batch:
      raise ValueError(
        f'ghost_batch: got {self.ghost_batch}, expected a divisor of the batch of '
        f'{x.shape[0]}'
      )

    def split(x: Array) -> Array:
      return x.reshape(-1, self.ghost_batch, *x.shape[1:])

    groups = split(x), None if mask is None else split(jnp.broadcast_to(mask, x.shape))
    y, updates = jax.vmap(
      lambda x, mask: plain.apply(self.variables, x, mask=mask, mutable='batch_stats')
    )(*groups)
    for name, values in updates['batch_stats'].items():
      self.put_variable('batch_stats', name, values.mean(0))
    return y.reshape(x.shape)
