"""Numbers for each image or sequence."""

from typing import Any

from .. import figures
from . import numeric
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
  """Draws the curves, and what is predicted over what is true."""
  del model, variables
  return [
    figures.curves(folder, history, 'loss', 'loss'),
    figures.curves(folder, history, 'mae', 'mean absolute error'),
    figures.scatter(folder, predictions, dataset.classes),
  ]


def make(options: Options) -> Task:
  """Returns the task."""
  return Task(
    size_field='num_classes',
    shown=('loss', 'rmse', 'r2'),
    places=(),
    figures=draw,
    **numeric.parts(options),
  )
