"""What a task adds to training: a loss, its metrics, and what a person wants to see."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Batch = Mapping[str, jax.Array]
# Each metric as (weighted sum, sum of weights): adding pairs over batches and devices
# and dividing at the end gives the exact mean over a whole split. The sum may be an
# array, such as a count for each class. What is itself a count has None in place of the
# sum of weights: it is added up alone.
Metrics = dict[str, tuple[jax.Array, jax.Array | None]]


@dataclasses.dataclass(frozen=True)
class Options:
  """What can be chosen about a task's loss; `configs/base.py` explains each.

  `origin` is for R2: a number for each output, of the size that its targets have.
  `unit` is what a language model predicts: 'char', 'byte', 'word' or the like.
  """

  label_smoothing: float = 0.0
  class_weights: tuple[float, ...] = ()
  loss: str = 'squared'
  delta: float = 1.0
  origin: Any = 0.0
  unit: str = 'char'


@dataclasses.dataclass(frozen=True)
class Results:
  """What a finished run's figures are drawn from.

  Attributes:
    folder: where they are to lie.
    history: every line of `metrics.jsonl`.
    predictions: what the last evaluation gave; see `Task.evaluate`.
    model: the model.
    variables: what was evaluated.
    dataset: the dataset.
    split: what it was evaluated on.
  """

  folder: str
  history: list[dict[str, Any]]
  predictions: dict[str, Any]
  model: Any
  variables: Any
  dataset: Any
  split: str


@dataclasses.dataclass(frozen=True)
class Task:
  """The functions that make a task.

  A batch has `inputs`, `targets` and `weights`, one weight a target. The targets are
  classes, int32 `[batch, ...]`, or have one axis more than the weights: shares of each
  class or, where a task predicts numbers, one for each output.

  Attributes:
    size_field: the field of the model that the number of classes or outputs sets.
    losses: `(outputs, targets) -> losses`, one loss a target.
    total_weight: `batch ->` what the sum of weighted losses is divided by: the sum of
      the weights, each times that of its class.
    metrics: `(outputs, batch) -> Metrics`, in training: few, and scalars.
    evaluate: `(outputs, batch) -> (Metrics, predictions)`, in an evaluation: the same
      and more, and arrays by name with a place for each target, `targets`, `weights`
      and `predicted` among them.
    derive: makes of the means of the metrics the numbers that are reported.
    shown: those of them that the log shows; `metrics.jsonl` has all.
    places: names the axes of an example's targets.
    record: `(predictions, place, classes) ->` what a table of predictions says of one
      target, by column.
    at_evaluation: text to show after an evaluation, or `''`.
    figures: draws the task's PNGs and returns their paths.
  """

  size_field: str
  losses: Callable[[jax.Array, jax.Array], jax.Array]
  total_weight: Callable[[Batch], jax.Array]
  metrics: Callable[[jax.Array, Batch], Metrics]
  evaluate: Callable[[jax.Array, Batch], tuple[Metrics, dict[str, jax.Array]]]
  derive: Callable[[dict[str, Any]], dict[str, float]]
  shown: tuple[str, ...]
  places: tuple[str, ...]
  record: Callable[
    [Mapping[str, Any], tuple[int, ...], tuple[str, ...]], dict[str, Any]
  ]
  figures: Callable[[Results], list[str]]
  at_evaluation: Callable[..., str] = lambda *args, **kwargs: ''


def weighted(values: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the weighted sum of `values`, and the sum of `weights`.

  >>> weighted(jnp.array([1.0, 2.0, 9.0]), jnp.array([1.0, 1.0, 0.0]))
  (Array(3., dtype=float32), Array(2., dtype=float32))
  """
  return jnp.sum(values * weights), jnp.sum(weights)


def weighted_rows(values: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the same for values with one axis more, which stays.

  >>> weighted_rows(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([1.0, 2.0]))
  (Array([ 7., 10.], dtype=float32), Array(3., dtype=float32))
  """
  axes = tuple(range(weights.ndim))
  return jnp.sum(values * weights[..., None], axes), jnp.sum(weights)


def mean(batches: list[dict[str, tuple[Any, Any]]]) -> dict[str, Any]:
  """Adds up the metrics of several batches, and divides once; counts are not divided.

  One that only some batches have is that of these.

  Returns:
    A float for each metric, or a float64 array where its sums are arrays. Without any
    weight a mean is not a number.

  >>> mean([{'loss': (3.0, 2.0), 'n': (1, None)}, {'loss': (1.0, 2.0), 'n': (2, None)}])
  {'loss': 1.0, 'n': 3.0}
  >>> mean([{'loss': (3.0, 2.0)}, {'loss': (1.0, 2.0), 'n': (2, None)}])
  {'loss': 1.0, 'n': 2.0}
  """
  numbers = {}
  for name in dict.fromkeys(name for m in batches for name in m):
    sums, weights = zip(*(m[name] for m in batches if name in m), strict=True)
    value = np.sum([np.asarray(x, np.float64) for x in sums], axis=0)
    if weights[0] is not None:
      value = value / (np.sum([float(w) for w in weights]) or np.nan)
    numbers[name] = value if value.ndim else float(value)
  return numbers
