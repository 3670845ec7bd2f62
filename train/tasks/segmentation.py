"""One class for each pixel of an image."""

from typing import Any

from .. import figures
from . import classes
from .task import Options, Task


def draw(
  folder: str,
  *,
  history: list[dict[str, Any]],
  predictions: dict[str, Any],
  model: Any,
  variables: Any,
  dataset: Any,
) -> list[str]:
  """Draws the curves, the confusion matrix over pixels, and some images' classes."""
  del model, variables
  images = [dataset.splits['test'][i]['inputs'] for i in range(figures.NUM_IMAGES)]
  return [
    figures.curves(folder, history, 'loss', 'cross-entropy (nats)'),
    figures.curves(folder, history, 'mean_iou', 'mean intersection over union'),
    figures.confusion(folder, predictions, dataset.classes),
    figures.segments(folder, images, predictions, dataset.classes),
  ]


def make(options: Options) -> Task:
  """Returns the task."""
  return Task(
    size_field='num_classes',
    shown=('loss', 'accuracy', 'mean_iou'),
    places=('row', 'column'),
    figures=draw,
    **classes.parts(options),
  )
