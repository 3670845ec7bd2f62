"""One label for each image or sequence."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from .. import figures
from .task import Batch, Metrics, Task, weighted


def metrics(logits: jax.Array, batch: Batch) -> Metrics:
  """Returns the cross-entropy in nats, and the share of labels that are right."""
  right = jnp.argmax(logits, axis=-1) == batch['targets']
  return {
    'loss': weighted(
      optax.softmax_cross_entropy_with_integer_labels(logits, batch['targets']),
      batch['weights'],
    ),
    'accuracy': weighted(right, batch['weights']),
  }


def draw(
  folder: str,
  *,
  history: list[dict[str, Any]],
  predictions: dict[str, Any],
  model: Any,
  variables: Any,
  dataset: Any,
) -> list[str]:
  """Draws the curves, the confusion matrix and, for a CNN, its first layer."""
  drawn = [
    figures.curves(folder, history, 'loss', 'cross-entropy (nats)'),
    figures.curves(folder, history, 'accuracy', 'accuracy'),
    figures.confusion(folder, predictions, dataset.classes),
  ]
  if hasattr(model, 'features'):
    image = jnp.asarray(dataset.splits['test'][0]['inputs'])[None]
    maps = model.apply(variables, image, train=False, method='features')
    drawn.append(figures.first_layer(folder, variables['params'], image, maps))
  return drawn


TASK = Task(
  size_field='num_classes',
  losses=optax.softmax_cross_entropy_with_integer_labels,
  metrics=metrics,
  derive=lambda means: means,
  at_evaluation=lambda *args, **kwargs: '',
  figures=draw,
)
