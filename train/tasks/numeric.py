"""What all tasks that predict numbers measure."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .losses import error_losses, total_weight
from .task import Batch, Metrics, Options, weighted, weighted_rows


def parts(options: Options) -> dict[str, Any]:
  """Returns the fields of a `Task` that all of these share."""
  losses = functools.partial(error_losses, name=options.loss, delta=options.delta)

  def few(outputs: jax.Array, batch: Batch) -> Metrics:
    """Returns the loss, and the mean squared and absolute error over all numbers."""
    error = outputs.astype(jnp.float32) - batch['targets']
    means = {
      'loss': losses(outputs, batch['targets']),
      'mse': jnp.mean(jnp.square(error), axis=-1),
      'mae': jnp.mean(jnp.abs(error), axis=-1),
    }
    return {name: weighted(m, batch['weights']) for name, m in means.items()}

  def evaluate(
    outputs: jax.Array, batch: Batch
  ) -> tuple[Metrics, dict[str, jax.Array]]:
    """Returns also the sums that R2 needs, and each number that was predicted."""
    targets = batch['targets']
    # Of each output, since the variance of numbers far from 0 would cancel out.
    shift = targets - jnp.broadcast_to(options.origin, targets.shape)
    sums = {
      'residual': jnp.square(outputs.astype(jnp.float32) - batch['targets']),
      'shifted': shift,
      'shifted_squared': jnp.square(shift),
    }
    metrics = {n: weighted_rows(s, batch['weights']) for n, s in sums.items()}
    predictions = {
      'targets': batch['targets'],
      'weights': batch['weights'],
      'predicted': outputs.astype(jnp.float32),
    }
    return few(outputs, batch) | metrics, predictions

  return {
    'losses': losses,
    'total_weight': total_weight,
    'metrics': few,
    'evaluate': evaluate,
    'derive': derive,
    'record': record,
  }


def derive(means: Mapping[str, Any]) -> dict[str, float]:
  """Adds the root of the mean squared error, and R2 in place of its sums.

  R2 is the mean over outputs, as scikit-learn has it: of a constant target it is 1
  where the prediction is exact, else 0.

  >>> means = {'mse': 1.0, 'residual': np.ones(1), 'shifted': np.ones(1)}
  >>> derive(means | {'shifted_squared': np.full(1, 5.0)})
  {'mse': 1.0, 'rmse': 1.0, 'r2': 0.75}
  """
  rest = {k: v for k, v in means.items() if np.ndim(v) == 0}
  rest['rmse'] = float(np.sqrt(means['mse']))
  if 'residual' in means:
    residual = means['residual']
    variance = means['shifted_squared'] - np.square(means['shifted'])
    constant = variance <= 0
    share = np.where(constant, residual > 0, residual / np.where(constant, 1, variance))
    rest['r2'] = float(np.mean(1 - share))
  return rest


def record(
  predictions: Mapping[str, Any], place: tuple[int, ...], classes: tuple[str, ...]
) -> dict[str, Any]:
  """Returns each output's target and prediction."""
  return {
    f'{kind}_{name}': f'{predictions[key][place][i]:.6g}'
    for i, name in enumerate(classes)
    for kind, key in [('target', 'targets'), ('predicted', 'predicted')]
  }


def in_units(
  predictions: Mapping[str, Any], dataset: Any, split: str
) -> Mapping[str, Any]:
  """Returns the predictions of a split as the data has its numbers, not normalised.

  Args:
    predictions: what an evaluation of the split gave.
    dataset: the dataset; without `units` they stay as they are.
    split: the split.
  """
  if split not in dataset.units:
    return predictions
  positions = np.arange(len(dataset.splits[split]))
  return {
    name: dataset.units[split].restore(array[: len(positions)], positions)
    if name in ('targets', 'predicted')
    else array[: len(positions)]
    for name, array in predictions.items()
  }
