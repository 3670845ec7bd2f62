"""One class for each pixel of an image."""

from .. import figures
from . import classes
from .task import Options, Results, Task


def draw(r: Results) -> list[str]:
  """Draws the curves, the confusion matrix over pixels, and some images' classes."""
  images = [r.dataset.splits[r.split][i]['inputs'] for i in range(figures.NUM_IMAGES)]
  return [
    figures.curves(r.folder, r.history, r.split, 'loss', 'cross-entropy (nats)'),
    figures.curves(
      r.folder, r.history, r.split, 'mean_iou', 'mean intersection over union'
    ),
    figures.confusion(r.folder, r.predictions, r.dataset.classes),
    figures.segments(r.folder, images, r.predictions, r.dataset.classes),
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
