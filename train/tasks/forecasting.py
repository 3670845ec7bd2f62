"""The steps of a series that follow a window."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import figures
from . import numeric
from .task import Batch, Metrics, Options, Results, Task, weighted


def naive_error(batch: Batch) -> tuple[jax.Array, jax.Array]:
  """Returns the error of repeating the last step, within the windows.

  The mean absolute difference between steps, as a pair (weighted sum, sum of weights);
  a window counts as its targets do.

  >>> window = {'inputs': jnp.array([[[1.0], [3.0], [2.0]]])}
  >>> naive_error(
  ...   window | {'targets': jnp.zeros((1, 1, 1)), 'weights': jnp.ones((1, 1))}
  ... )
  (Array(1.5, dtype=float32), Array(1., dtype=float32))
  """
  past = batch['inputs'][..., : batch['targets'].shape[-1]]
  change = jnp.mean(jnp.abs(jnp.diff(past, axis=1)), axis=2)
  within = jnp.ones(change.shape)
  if 'lengths' in batch:
    within *= jnp.arange(1, past.shape[1])[None] < batch['lengths'][:, None]
  steps = jnp.sum(within, axis=1)
  change = jnp.sum(change * within, axis=1) / jnp.maximum(steps, 1)
  # A window of one step has no difference.
  return weighted(change, jnp.sum(batch['weights'], axis=1) * (steps > 0))


def derive(means: Mapping[str, Any]) -> dict[str, float]:
  """Adds the mean absolute scaled error (Hyndman and Koehler 2006).

  It is the mean absolute error divided by that of repeating the last step within the
  windows: below 1 a forecast, however far, is better than that is for one step.

  >>> derive({'mse': 0.25, 'mae': 0.5, 'naive': 2.0})['mase']
  0.25
  """
  found = numeric.derive({k: v for k, v in means.items() if k != 'naive'})
  if means.get('naive'):
    found['mase'] = found['mae'] / means['naive']
  return found


def draw(r: Results) -> list[str]:
  """Draws the curves, and some windows and what follows, in the data's own units."""
  source, outputs = r.dataset.splits[r.split], len(r.dataset.classes)
  counted = np.flatnonzero(r.predictions['weights'].any(axis=1))
  positions = counted[figures.spread(len(counted))]
  windows = np.stack([source[int(i)]['inputs'][:, :outputs] for i in positions])
  if r.split in r.dataset.units:
    windows = r.dataset.units[r.split].restore(windows, positions)
  predictions = numeric.in_units(r.predictions, r.dataset, r.split)
  return [
    figures.curves(r.folder, r.history, r.split, 'loss', 'loss'),
    figures.curves(r.folder, r.history, r.split, 'mae', 'mean absolute error'),
    figures.forecasts(r.folder, windows, predictions, r.dataset.classes),
  ]


def make(options: Options) -> Task:
  """Returns the task."""
  shared = numeric.parts(options)

  def evaluate(
    outputs: jax.Array, batch: Batch
  ) -> tuple[Metrics, dict[str, jax.Array]]:
    metrics, predictions = shared['evaluate'](outputs, batch)
    return metrics | {'naive': naive_error(batch)}, predictions

  return Task(
    **shared | {'evaluate': evaluate, 'derive': derive},
    size_field='num_targets',
    shown=('loss', 'mae', 'mase'),
    places=('step',),
    figures=draw,
  )
