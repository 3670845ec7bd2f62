"""Mixup and CutMix: each image of a batch with another, and so their targets.

The other is the one before it in the batch, the last before the first. A batch is
shuffled, so that one is as random as any; and where the batch lies in blocks on several
devices, each sends its last row to the next, and all others stay where they are.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .errors import ConfigError
from .tasks.losses import shares
from .tasks.task import Batch


def make_mix(
  config: Any, num_classes: int, input_ndim: int
) -> Callable[[jax.Array, Batch], Batch] | None:
  """Returns the function `(key, batch) -> batch` of a config, or None for none.

  Args:
    config: a complete experiment.
    num_classes: how many classes the targets have.
    input_ndim: how many axes an example's input has.

  Raises:
    ConfigError: a negative number, or a task that is not classification of images.
  """
  alphas = {key: config[key] for key in ('mixup_alpha', 'cutmix_alpha')}
  for key, alpha in alphas.items():
    if not 0 <= alpha < float('inf'):
      raise ConfigError(f'config.{key}: {alpha}; expected 0 or more')
    if alpha and (config.task != 'classification' or input_ndim != 3):
      raise ConfigError(
        f'config.{key}: {alpha}; expected 0, since only the classification of images '
        'mixes them'
      )
  if not any(alphas.values()):
    return None
  return lambda key, batch: mix(key, batch, num_classes=num_classes, **alphas)


def mix(
  key: jax.Array,
  batch: Batch,
  *,
  num_classes: int,
  mixup_alpha: float = 0.0,
  cutmix_alpha: float = 0.0,
) -> Batch:
  """Mixes a batch in one of the ways whose `alpha` is not 0, each as often.

  Args:
    key: of the way and its shares.
    batch: `inputs` floating `[batch, height, width, channels]`, `targets` int `[batch]`
      or shares of the classes `[batch, num_classes]`, `weights` `[batch]`.
    num_classes: how many classes there are.
    mixup_alpha: see `mixup`.
    cutmix_alpha: see `cutmix`.

  Returns:
    The batch, with targets float32 `[batch, num_classes]`.

  >>> batch = {'inputs': jnp.arange(3.0).reshape(3, 1, 1, 1), 'targets': jnp.arange(3)}
  >>> batch |= {'weights': jnp.ones(3)}
  >>> mixed = mix(jax.random.key(0), batch, num_classes=3, mixup_alpha=1.0)
  >>> mixed['targets'].sum(-1).tolist()
  [1.0, 1.0, 1.0]
  """
  which, key = jax.random.split(key)
  batch = {**batch, 'targets': shares(batch['targets'], num_classes, ndim=1)}
  if not cutmix_alpha:
    return mixup(key, batch, mixup_alpha)
  if not mixup_alpha:
    return cutmix(key, batch, cutmix_alpha)
  return jax.lax.cond(
    jax.random.bernoulli(which),
    lambda: mixup(key, batch, mixup_alpha),
    lambda: cutmix(key, batch, cutmix_alpha),
  )


def mixup(key: jax.Array, batch: Batch, alpha: float) -> Batch:
  r"""Returns :math:`\lambda x_i + (1 - \lambda) x_{i-1}`, and targets likewise.

  Zhang et al. 2018, https://arxiv.org/abs/1710.09412; as in the authors' code one
  :math:`\lambda \sim Beta(\alpha, \alpha)` is drawn for a batch. There the other image
  is that at a random place.

  Args:
    key: of the share.
    batch: as `mix` takes it, with targets as shares.
    alpha: more than 0.
  """
  share = jax.random.beta(key, alpha, alpha)
  return _combine(batch, share, share)


def cutmix(key: jax.Array, batch: Batch, alpha: float) -> Batch:
  r"""Pastes a rectangle of image i - 1 into image i; targets share by area.

  Yun et al. 2019, https://arxiv.org/abs/1905.04899; as in the authors' code each batch
  has one rectangle, of :math:`\sqrt{1 - \lambda}` of the height and width, where
  :math:`\lambda \sim Beta(\alpha, \alpha)`, around a pixel drawn uniformly, cut off at
  the image's edge.

  Args:
    key: of the rectangle.
    batch: as `mix` takes it, with targets as shares.
    alpha: more than 0.
  """
  height, width = batch['inputs'].shape[1:3]
  for_share, *for_centre = jax.random.split(key, 3)
  size = jnp.sqrt(1 - jax.random.beta(for_share, alpha, alpha))
  rows, columns = (
    _within(jax.random.randint(key, (), 0, length), size, length)
    for key, length in zip(for_centre, (height, width), strict=True)
  )
  inside = rows[:, None] & columns[None]
  share = 1 - jnp.mean(inside, dtype=jnp.float32)
  return _combine(batch, ~inside[None, :, :, None], share)


def _within(centre: jax.Array, size: jax.Array, length: int) -> jax.Array:
  """Marks the places that a share `size` of the length around the centre covers."""
  half = jnp.floor(size * length).astype(jnp.int32) // 2
  places = jnp.arange(length)
  return (places >= centre - half) & (places < centre + half)


def _combine(batch: Batch, pixels: jax.Array, share: jax.Array) -> Batch:
  """Takes these pixels and this share of the targets; the rest from the other."""

  def before(name: str) -> jax.Array:
    return jnp.roll(batch[name], 1, axis=0)

  def between(name: str, share: jax.Array) -> jax.Array:
    rows = batch[name]
    return (share * rows + (1 - share) * before(name)).astype(rows.dtype)

  return {
    **batch,
    'inputs': between('inputs', pixels),
    'targets': between('targets', share),
    # One that does not count has no target to share.
    'weights': jnp.minimum(batch['weights'], before('weights')),
  }
