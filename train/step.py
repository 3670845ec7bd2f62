"""One update and one evaluation, as pure functions of the state and a batch.

Nothing here knows of devices: `jit` with shardings makes the same functions run on
one CPU or on a pod, and XLA adds the all-reduce that a split batch needs.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from .modules import keep_statistics, without
from .sequences import arguments
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
  accumulate_steps: int = 1,
  ema_decay: float = 0.0,
  average_from_step: int = 0,
  skip_nonfinite: bool = False,
  mix: Callable[[jax.Array, Batch], Batch] | None = None,
  gather: Callable[[Any], Any] = lambda params: params,
  scatter: Callable[[Any], Any] = lambda grads: grads,
) -> tuple[TrainState, Metrics]:
  """Makes one update of the parameters.

  The loss is that of the logits and, where the model sows some into the collection
  `aux_logits`, a share of that of each of these; what it sows into `losses`, one number
  a target, is added as it is. The metrics are of the logits alone.

  Args:
    state: the state before the step.
    batch: `inputs`, `targets` and `weights`, where sequences have them `lengths` or
      `resets`, and `skipped` where examples may be; see `convscan.data`.
    model: a Linen module, called with `train=True`.
    task: the loss and metrics.
    tx: the optimizer, of the parameters that are trained.
    frozen: the modules whose parameters and batch statistics stay as they are.
    aux_loss_weight: that share.
    accumulate_steps: in how many parts the batch is passed through the model, one after
      the other, to save memory. The gradient is the whole batch's. Batch norms see a
      part each, and update their running statistics after each.
    ema_decay: of the moving averages, where the state has averages; see `average`.
    average_from_step: where not 0, these are plain means instead, from that update on.
    skip_nonfinite: whether a loss or gradient that is not finite leaves all but the
      step's number as it was.
    mix: mixes the batch's examples first, given a key; see `convscan.train.mixing`.
    gather: where the parameters are split over devices, makes them whole for the model.
    scatter: splits the gradients as the parameters are, for the optimizer.

  Returns:
    The state after the step, and the metrics.
    `grad_norm` is the gradient's global norm. `skipped`, with `skip_nonfinite`, counts
    a step that was left out; its other metrics are all 0. A model that carries its
    state goes on from where it was before that step. `skipped_examples` counts those of
    the batch.
  """
  key = jax.random.fold_in(state.key, state.step)
  if state.carry:
    batch = {**batch, 'carry': state.carry}
  params = gather(state.params)
  if mix:
    mix_key, key = jax.random.split(key)
    batch = mix(mix_key, batch)
  total_weight = task.total_weight(batch)
  total_weight = jnp.where(total_weight > 0, total_weight, 1)

  def loss_fn(
    trained: Any, batch_stats: Any, part: Batch, key: jax.Array
  ) -> tuple[jax.Array, Any]:
    with keep_statistics(frozen):
      logits, updates = model.apply(
        {'params': params | trained, 'batch_stats': batch_stats},
        part['inputs'],
        train=True,
        rngs={'dropout': key},
        mutable=['batch_stats', 'aux_logits', 'losses'],
        **arguments(part),
      )
    carry, logits = logits if 'carry' in part else ((), logits)
    losses = task.losses(logits, part['targets'])
    for aux in jax.tree.leaves(updates.get('aux_logits', {})):
      losses += aux_loss_weight * task.losses(aux, part['targets'])
    losses += sum(jax.tree.leaves(updates.get('losses', {})))
    loss, _ = weighted(losses, part['weights'])
    metrics = task.metrics(logits, part)
    return loss / total_weight, (updates.get('batch_stats', {}), (metrics, carry))

  def grad_fn(*args: Any) -> Any:
    grads, aux = jax.grad(loss_fn, has_aux=True)(without(params, frozen), *args)
    return scatter(grads), aux

  trained = without(state.params, frozen)
  if accumulate_steps == 1:
    grads, (batch_stats, (metrics, carry)) = grad_fn(state.batch_stats, batch, key)
  else:

    def accumulate(sums: Any, inputs: Any) -> tuple[Any, Any]:
      (grads, batch_stats), (part, key) = sums, inputs
      more, (batch_stats, results) = grad_fn(batch_stats, part, key)
      return (jax.tree.map(jnp.add, grads, more), batch_stats), results

    start = jax.tree.map(jnp.zeros_like, trained), state.batch_stats
    inputs = split(batch, accumulate_steps), jax.random.split(key, accumulate_steps)
    (grads, batch_stats), results = jax.lax.scan(accumulate, start, inputs)
    metrics = jax.tree.map(lambda m: jnp.sum(m, axis=0), results[0])
    carry = join(results[1])

  changes, opt_state = tx.update(grads, state.opt_state, trained)
  metrics['grad_norm'] = (optax.tree.norm(grads), jnp.ones(()))
  after = state.replace(
    params=state.params | optax.apply_updates(trained, changes),
    batch_stats=batch_stats,
    opt_state=opt_state,
    carry=carry,
  )
  if state.ema:
    after = after.replace(
      ema=average(state.ema, after.variables, state.step, ema_decay, average_from_step)
    )
  if skip_nonfinite:
    finite = jnp.isfinite(metrics['loss'][0]) & jnp.isfinite(metrics['grad_norm'][0])
    after = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, state)
    metrics = jax.tree.map(lambda m: jnp.where(finite, m, jnp.zeros_like(m)), metrics)
    metrics['skipped'] = (1.0 - finite, None)
  return after.replace(step=state.step + 1), metrics | count_skipped(batch)


def split(batch: Batch, parts: int) -> Batch:
  """Returns the batch as `[parts, batch / parts, ...]`.

  Part p has the rows p, p + parts, and so on: of a batch that lies on several devices
  in blocks, each part takes as much from each, and nothing moves.

  >>> split({'x': jnp.arange(6)}, 2)['x'].tolist()
  [[0, 2, 4], [1, 3, 5]]
  """
  return jax.tree.map(
    lambda x: jnp.swapaxes(x.reshape(-1, parts, *x.shape[1:]), 0, 1), batch
  )


def join(parts: Any) -> Any:
  """Returns `[batch, ...]` of what `split` made parts of.

  >>> join(split({'x': jnp.arange(6)}, 2))['x'].tolist()
  [0, 1, 2, 3, 4, 5]
  """
  return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:]), parts)


def average(
  ema: Any, variables: Any, step: jax.Array, decay: float, start: int = 0
) -> Any:
  r"""Moves averages towards the variables after update `step`, counted from 0.

  .. math:: a \leftarrow d a + (1 - d) v, \quad
    d = \min(\text{decay}, \frac{1 + \text{step}}{10 + \text{step}}),

  so that a short run is not dominated by what it was initialised with; the form is that
  of TensorFlow's `ExponentialMovingAverage` with `num_updates`.

  With a `start`, :math:`a` is the mean of :math:`v` after each update from number
  `start` on, counted from 1 (Polyak and Juditsky 1992), and until then :math:`v`.
  Updates are counted by the step: one that was left out, by `skip_nonfinite`, leaves
  the mean as it was, and the next counts it, too, as if it had given that mean.

  >>> round(float(average(jnp.zeros(()), jnp.ones(()), step=0, decay=0.999)), 6)
  0.9
  >>> mean = average(jnp.array(1.0), jnp.array(3.0), step=1, decay=0, start=1)
  >>> skipped = 1  # so that the third update has a weight of 1 / 4
  >>> mean, average(mean, jnp.array(6.0), step=2 + skipped, decay=0, start=1)
  (Array(2., dtype=float32), Array(3., dtype=float32))
  """
  d = jnp.minimum(decay, (1 + step) / (10 + step))
  if start:
    averaged = jnp.maximum(0, step + 1 - start)
    d = averaged / (averaged + 1)
  return jax.tree.map(
    lambda a, v: (d * a + (1 - d) * v).astype(a.dtype), ema, variables
  )


def eval_step(
  variables: Mapping[str, Any], batch: Batch, *, model: nn.Module, task: Task
) -> tuple[Metrics, dict[str, jax.Array]]:
  """Evaluates one batch.

  Returns:
    Each metric as a pair (weighted sum, sum of weights), and what the model makes of
    each target; see `Task.evaluate`.
  """
  outputs: Any = model.apply(
    variables, batch['inputs'], train=False, **arguments(batch)
  )
  metrics, predictions = task.evaluate(outputs, batch)
  return metrics | count_skipped(batch), predictions


def count_skipped(batch: Batch) -> Metrics:
  """Returns how many examples stand for such as can't be read, if that is known.

  >>> count_skipped({'skipped': jnp.array([0.0, 1.0, 1.0])})
  {'skipped_examples': (Array(2., dtype=float32), None)}
  >>> count_skipped({'inputs': jnp.ones(3)})
  {}
  """
  if 'skipped' not in batch:
    return {}
  return {'skipped_examples': (jnp.sum(batch['skipped']), None)}
