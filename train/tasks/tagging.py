"""One class for each step of a sequence."""

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
  """Draws the curves, and the confusion matrix over all steps."""
  del model, variables
  return [
    figures.curves(folder, history, 'loss', 'cross-entropy (nats)'),
    figures.curves(folder, history, 'accuracy', 'accuracy'),
    figures.confusion(folder, predictions, dataset.classes),
  ]


def make(options: Options) -> Task:
  """Returns the task."""
  return Task(
    size_field='num_tags',
    shown=('loss', 'accuracy', 'f1_macro'),
    places=('position',),
    figures=draw,
    **classes.parts(options),
  )
