"""One class for each step of a sequence."""

from .. import figures
from . import classes
from .task import Options, Results, Task


def draw(r: Results) -> list[str]:
  """Draws the curves, and the confusion matrix over all steps."""
  return [
    figures.curves(r.folder, r.history, r.split, 'loss', 'cross-entropy (nats)'),
    figures.curves(r.folder, r.history, r.split, 'accuracy', 'accuracy'),
    figures.confusion(r.folder, r.predictions, r.dataset.classes),
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
