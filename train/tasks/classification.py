"""One label for each image or sequence."""

from typing import Any

import jax.numpy as jnp

from .. import figures
from .task import Task, class_losses, class_metrics


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
  losses=class_losses,
  metrics=class_metrics,
  derive=lambda means: means,
  at_evaluation=lambda *args, **kwargs: '',
  figures=draw,
)
