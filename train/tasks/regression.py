"""Numbers for each image or sequence."""

from .. import figures
from . import numeric
from .task import Options, Results, Task


def draw(r: Results) -> list[str]:
  """Draws the curves, and what is predicted over what is true."""
  return [
    figures.curves(r.folder, r.history, r.split, 'loss', 'loss'),
    figures.curves(r.folder, r.history, r.split, 'mae', 'mean absolute error'),
    figures.scatter(r.folder, r.predictions, r.dataset.classes),
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
