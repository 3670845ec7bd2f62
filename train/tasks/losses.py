"""Losses of one target, as torch defines them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from .task import Batch


def shares(targets: jax.Array, num_classes: int, ndim: int) -> jax.Array:
  """Returns targets as shares of each class, float32 `[..., num_classes]`.

  Args:
    targets: integers with `ndim` axes, or such shares.
    num_classes: how many classes there are.
    ndim: how many axes the weights have.

  >>> shares(jnp.array([1, 0]), 2, ndim=1).tolist()
  [[0.0, 1.0], [1.0, 0.0]]
  """
  if targets.ndim > ndim:
    return targets.astype(jnp.float32)
  return jax.nn.one_hot(targets, num_classes)


def cross_entropy(
  logits: jax.Array,
  targets: jax.Array,
  *,
  label_smoothing: float = 0.0,
  class_weights: tuple[float, ...] = (),
) -> jax.Array:
  r"""Returns the cross-entropy of each target, in nats.

  .. math:: -\sum_c w_c \left((1 - \epsilon) t_c + \frac{\epsilon}{C}\right) \log p_c

  as `torch.nn.functional.cross_entropy(..., reduction='none')` has it. Its mean is over
  `total_weight`.

  Args:
    logits: floating `[..., classes]`.
    targets: int `[...]`, each a class, or shares :math:`t` of the classes
      `[..., classes]`, such as mixed images have.
    label_smoothing: :math:`\epsilon` (Szegedy et al. 2016, section 7).
    class_weights: :math:`w`, one a class; () for 1.

  >>> cross_entropy(jnp.zeros((1, 4)), jnp.array([2])).round(4)
  Array([1.3863], dtype=float32)
  """
  logits = logits.astype(jnp.float32)
  hard = targets.ndim < logits.ndim
  if hard and not label_smoothing and not class_weights:
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets)
  num_classes = logits.shape[-1]
  t = shares(targets, num_classes, logits.ndim - 1)
  t = (1 - label_smoothing) * t + label_smoothing / num_classes
  if class_weights:
    t *= _vector(class_weights, t.ndim)
  return -jnp.sum(t * jax.nn.log_softmax(logits), axis=-1)


def total_weight(batch: Batch, class_weights: tuple[float, ...] = ()) -> jax.Array:
  """Returns what torch's 'mean' divides the sum of a batch's cross-entropies by.

  That is the sum of the weights, each times that of its class; where targets are shares
  it is the sum of the weights alone.

  >>> batch = {'targets': jnp.array([0, 1]), 'weights': jnp.ones(2)}
  >>> total_weight(batch, (1.0, 3.0))
  Array(4., dtype=float32)
  """
  targets, weights = batch['targets'], batch['weights']
  if class_weights and targets.ndim == weights.ndim:
    t = shares(targets, len(class_weights), weights.ndim)
    weights = weights * jnp.sum(t * _vector(class_weights, t.ndim), axis=-1)
  return jnp.sum(weights)


def _vector(values: tuple[float, ...], ndim: int) -> jax.Array:
  return jnp.asarray(values, jnp.float32).reshape(*[1] * (ndim - 1), -1)


def _huber(error: jax.Array, delta: float) -> jax.Array:
  size = jnp.abs(error)
  near = jnp.minimum(size, delta)
  return near * (size - near / 2)


# Of an error and `config.loss.delta`.
LOSSES: dict[str, Callable[[jax.Array, float], jax.Array]] = {
  'squared': lambda error, delta: jnp.square(error),
  'absolute': lambda error, delta: jnp.abs(error),
  'huber': _huber,
}


def error_losses(
  outputs: jax.Array, targets: jax.Array, *, name: str, delta: float
) -> jax.Array:
  """Returns the loss of each target, the mean over its numbers.

  As torch's `MSELoss`, `L1Loss` and `HuberLoss`.

  Args:
    outputs: `[..., numbers]`.
    targets: `[..., numbers]`.
    name: 'squared', 'absolute' or 'huber'.
    delta: where huber's loss turns from half the square to a line.

  >>> error_losses(jnp.array([[3.0]]), jnp.zeros((1, 1)), name='huber', delta=1.0)
  Array([2.5], dtype=float32)
  """
  error = outputs.astype(jnp.float32) - targets
  return jnp.mean(LOSSES[name](error, delta), axis=-1)
