"""One update and one evaluation, as pure functions of the state and a batch.

Nothing here knows of devices: `jit` with shardings makes the same functions run on
one CPU or on a pod, and XLA adds the all-reduce that a split batch needs.
"""

from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from .modules import keep_statistics, without
from .state import TrainState
from .tasks.task import Batch, Metrics, Task, weighted


def train_step(
  state: TrainState,
  batch: Batch,
  *,
  model: nn.Module,
  task: Task,
  tx: optax.GradientTransformation,
  frozen: Collection[str] = (),
  aux_loss_weight: float = 0.0,
) -> tuple[TrainState, Metrics]:
  """Makes one update of the parameters.

  The loss is that of the logits and, where the model sows some into the collection
  `aux_logits`, a share of that of each of these. The metrics are of the logits alone.

  Args:
    state: the state before the step.
    batch: `inputs`, `targets` and `weights`; see `convscan.data`.
    model: a Linen module, called with `train=True`.
    task: the loss and metrics.
    tx: the optimizer, of the parameters that are trained.
    frozen: the modules whose parameters and batch statistics stay as they are.
    aux_loss_weight: that share.

  Returns:
    The state after the step, and each metric as a pair (weighted sum, sum of weights).
  """
  key = jax.random.fold_in(state.key, state.step)
  trained = without(state.params, frozen)

  def loss_fn(trained: Any) -> tuple[jax.Array, Any]:
    with keep_statistics(frozen):
      logits, updates = model.apply(
        {'params': state.params | trained, 'batch_stats': state.batch_stats},
        batch['inputs'],
        train=True,
        rngs={'dropout': key},
        mutable=['batch_stats', 'aux_logits'],
      )
    losses = task.losses(logits, batch['targets'])
    for aux in jax.tree.leaves(updates.get('aux_logits', {})):
      losses += aux_loss_weight * task.losses(aux, batch['targets'])
    total, _ = weighted(losses, batch['weights'])
    weight = task.total_weight(batch)
    return total / jnp.where(weight > 0, weight, 1), (logits, updates)

  grads, (logits, updates) = jax.grad(loss_fn, has_aux=True)(trained)
  changes, opt_state = tx.update(grads, state.opt_state, trained)
  metrics = task.metrics(logits, batch)
  metrics['grad_norm'] = (optax.tree.norm(grads), jnp.ones(()))
  state = state.replace(
    step=state.step + 1,
    params=state.params | optax.apply_updates(trained, changes),
    batch_stats=updates.get('batch_stats', {}),
    opt_state=opt_state,
  )
  return state, metrics


def eval_step(
  variables: Mapping[str, Any], batch: Batch, *, model: nn.Module, task: Task
) -> tuple[Metrics, dict[str, jax.Array]]:
  """Evaluates one batch.

  Returns:
    Each metric as a pair (weighted sum, sum of weights), and what the model makes of
    each target; see `Task.evaluate`.
  """
  outputs: Any = model.apply(variables, batch['inputs'], train=False)
  return task.evaluate(outputs, batch)
