"""What a task adds to training: a loss, its metrics, and what a person wants to see."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

Batch = Mapping[str, jax.Array]
# Each metric as (weighted sum, sum of weights): adding pairs over batches and devices
# and dividing at the end gives the exact mean over a whole split.
Metrics = dict[str, tuple[jax.Array, jax.Array]]


@dataclasses.dataclass(frozen=True)
class Task:
  """The functions that make a task.

  Attributes:
    size_field: the field of the model that the number of classes sets.
    losses: `(logits, targets) -> losses`, one loss a target.
    metrics: `(logits, batch) -> Metrics`.
    derive: adds to the means of the metrics what follows from them.
    at_evaluation: text to show after an evaluation, or `''`.
    figures: draws the task's PNGs into a folder and returns their paths.
  """

  size_field: str
  losses: Callable[[jax.Array, jax.Array], jax.Array]
  metrics: Callable[[jax.Array, Batch], Metrics]
  derive: Callable[[dict[str, float]], dict[str, float]]
  at_evaluation: Callable[..., str]
  figures: Callable[..., list[str]]


def weighted(values: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the weighted sum of `values`, and the sum of `weights`.

  >>> weighted(jnp.array([1.0, 2.0, 9.0]), jnp.array([1.0, 1.0, 0.0]))
  (Array(3., dtype=float32), Array(2., dtype=float32))
  """
  return jnp.sum(values * weights), jnp.sum(weights)


class_losses = optax.softmax_cross_entropy_with_integer_labels


def class_metrics(logits: jax.Array, batch: Batch) -> Metrics:
  """Returns the cross-entropy in nats, and the share of targets that are right."""
  right = jnp.argmax(logits, axis=-1) == batch['targets']
  return {
    'loss': weighted(class_losses(logits, batch['targets']), batch['weights']),
    'accuracy': weighted(right, batch['weights']),
  }


def mean(batches: list[dict[str, tuple[Any, Any]]]) -> dict[str, float]:
  """Adds up the metrics of several batches, and divides once.

  >>> mean([{'loss': (3.0, 2.0)}, {'loss': (1.0, 2.0)}])
  {'loss': 1.0}
  """
  totals = {
    name: np.sum([np.asarray(m[name], np.float64) for m in batches], axis=0)
    for name in batches[0]
  }
  return {
    name: float(total / max(weight, 1)) for name, (total, weight) in totals.items()
  }
