"""The exact metrics of a whole split, on any devices."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import ml_collections
import numpy as np

from .. import data
from .mesh import batch_sharded, put_batch, replicated
from .metrics import Late
from .step import eval_step
from .tasks.task import Task, mean


def make_eval_step(model: Any, task: Task, mesh: jax.sharding.Mesh) -> Any:
  """Returns `eval_step` as compiled when called: `(variables, batch) -> results`.

  Every device holds the variables whole, and its part of the batch.
  """
  everywhere = replicated(mesh)
  return jax.jit(
    functools.partial(eval_step, model=model, task=task),
    in_shardings=(everywhere, batch_sharded(mesh)),
    out_shardings=everywhere,
  )


def make_evaluate(
  config: ml_collections.ConfigDict,
  dataset: Any,
  model: Any,
  task: Task,
  mesh: jax.sharding.Mesh,
) -> Callable[[Any], tuple[dict[str, float], dict[str, np.ndarray]]]:
  """Returns a function from variables to the exact metrics of `config.eval_split`.

  It also returns the predictions (see `convscan.train.step.eval_step`) with their
  targets and weights; those of weight 0, such as what fills the last batch, are to be
  left out.
  """
  compiled = make_eval_step(model, task, mesh)

  def batches() -> Iterator[dict[str, np.ndarray]]:
    return data.eval_batches(
      dataset,
      config.eval_split,
      config.batch_size,
      process_index=jax.process_index(),
      process_count=jax.process_count(),
    )

  def evaluate(variables: Any) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    late, outputs = Late(), []
    for batch in batches():
      outputs += late.push(compiled(variables, put_batch(batch, mesh)))
    outputs += late.flush()
    metrics, predictions = zip(*outputs, strict=True)
    joined = {k: np.concatenate([p[k] for p in predictions]) for k in predictions[0]}
    return task.derive(mean(list(metrics))), joined

  return evaluate
