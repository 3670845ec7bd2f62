"""One label for each image or sequence."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from .. import figures
from . import classes
from .task import Options, Results, Task


def draw(r: Results) -> list[str]:
  """Draws the curves, the confusion matrix and, for a CNN, its first layer."""
  drawn = [
    figures.curves(r.folder, r.history, r.split, 'loss', 'cross-entropy (nats)'),
    figures.curves(r.folder, r.history, r.split, 'accuracy', 'accuracy'),
    figures.confusion(r.folder, r.predictions, r.dataset.classes),
  ]
  image = r.dataset.splits[r.split][0]['inputs']
  if found := first_convolution(r.model, r.variables, image):
    drawn.append(figures.first_layer(r.folder, image, *found))
  return drawn


def first_convolution(
  model: nn.Module, variables: Any, image: Any
) -> tuple[np.ndarray, np.ndarray] | None:
  """Returns the kernel of a model's first convolution, and what it makes of an image.

  None without a convolution over the image's height and width.
  """
  found: list[tuple[np.ndarray, np.ndarray]] = []

  def observe(
    call: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context: nn.module.InterceptorContext,
  ) -> Any:
    outputs = call(*args, **kwargs)
    kernel: Any = context.module.variables.get('params', {}).get('kernel')
    if not found and np.ndim(kernel) == getattr(outputs, 'ndim', None) == 4:
      found.append((kernel, outputs[0]))
    return outputs

  with nn.intercept_methods(observe):
    model.apply(variables, jnp.asarray(image)[None], train=False)
  return found[0] if found else None


def make(options: Options) -> Task:
  """Returns the task."""
  return Task(
    size_field='num_classes',
    shown=('loss', 'accuracy'),
    places=(),
    figures=draw,
    **classes.parts(options),
  )
