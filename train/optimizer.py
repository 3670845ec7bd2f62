"""Optimizers and learning-rate schedules: tables from a config's names to optax."""

from collections.abc import Callable
from typing import Any

import jax
import optax
from ml_collections import ConfigDict

from .errors import ConfigError, blame, choose


def _cosine(c: ConfigDict, num_steps: int) -> optax.Schedule:
  return optax.cosine_decay_schedule(c.learning_rate, num_steps, c.end_factor)


def _step(c: ConfigDict, num_steps: int) -> optax.Schedule:
  scales = {round(at * num_steps): c.step_factor for at in c.step_at}
  return optax.piecewise_constant_schedule(c.learning_rate, scales)


SCHEDULES: dict[str, Callable[[ConfigDict, int], optax.Schedule]] = {
  'constant': lambda c, num_steps: optax.constant_schedule(c.learning_rate),
  'cosine': _cosine,
  'step': _step,
}

OPTIMIZERS: dict[str, Callable[[ConfigDict, optax.Schedule], Any]] = {
  # With 0 as momentum optax would keep a sum of the gradients all the same.
  'sgd': lambda c, lr: optax.sgd(lr, momentum=c.momentum or None, nesterov=c.nesterov),
  'adam': lambda c, lr: optax.adam(lr, b1=c.b1, b2=c.b2, eps=c.eps),
  'adamw': lambda c, lr: optax.adamw(
    lr, b1=c.b1, b2=c.b2, eps=c.eps, weight_decay=c.weight_decay, mask=decays
  ),
  'rmsprop': lambda c, lr: optax.rmsprop(
    lr, decay=c.b2, eps=c.eps, momentum=c.momentum or None, nesterov=c.nesterov
  ),
}


def decays(params: Any) -> Any:
  """Marks the parameters that weight decay applies to: matrices and filters.

  Biases and the scales and offsets of norms are one-dimensional and left alone.

  >>> import jax.numpy as jnp
  >>> decays({'kernel': jnp.ones((2, 3)), 'bias': jnp.ones(3)})
  {'bias': False, 'kernel': True}
  """
  return jax.tree.map(lambda p: p.ndim > 1, params)


def scale_learning_rate(config: ConfigDict, batch_size: int) -> ConfigDict:
  """Returns `config.optimizer` with the learning rate that the batch size gives.

  Raises:
    ConfigError: `learning_rate_batch_size` is negative.

  >>> config = ConfigDict({'learning_rate': 0.1, 'learning_rate_batch_size': 256})
  >>> scale_learning_rate(config, 1024).learning_rate
  0.4
  """
  of = config.learning_rate_batch_size
  if of < 0:
    raise ConfigError(
      f'config.optimizer.learning_rate_batch_size: {of}; expected 0 or more'
    )
  scaled = config.copy_and_resolve_references()
  if of:
    scaled.learning_rate = config.learning_rate * batch_size / of
  return scaled


def learning_rate(config: ConfigDict, num_steps: int) -> optax.Schedule:
  """Returns the learning rate as a function of the step.

  `warmup_steps` of linear growth from 0 come first; the named schedule then runs
  over the steps that remain.
  """
  warmup = config.warmup_steps
  if not 0 <= warmup < num_steps:
    raise ConfigError(
      f'config.optimizer.warmup_steps: {warmup}; expected 0 to {num_steps - 1}, '
      f'fewer than the steps of the run; add --config.optimizer.warmup_steps='
      f'{num_steps // 10}, or train longer'
    )
  name = choose('config.optimizer.schedule', config.schedule, SCHEDULES)
  schedule = SCHEDULES[name](config, num_steps - warmup)
  if not warmup:
    return schedule
  ramp = optax.linear_schedule(0.0, config.learning_rate, warmup)
  return optax.join_schedules([ramp, schedule], [warmup])


def make_optimizer(config: ConfigDict, num_steps: int) -> optax.GradientTransformation:
  """Builds the optax chain that `config.optimizer` names.

  Gradients are clipped to a global norm of `clip_norm` (0 turns it off). `adamw`
  decays weights by its own, decoupled rule; the others add `weight_decay` times the
  weight to the gradient.

  Raises:
    ConfigError: an unknown name, or a value out of range.
  """
  name = choose('config.optimizer.name', config.name, OPTIMIZERS)
  for key in ('learning_rate', 'weight_decay', 'clip_norm', 'eps', 'step_factor'):
    if not config[key] >= 0:
      raise ConfigError(f'config.optimizer.{key}: {config[key]}; expected 0 or more')
  for key in ('momentum', 'b1', 'b2', 'end_factor'):
    if not 0 <= config[key] <= 1:
      raise ConfigError(f'config.optimizer.{key}: {config[key]}; expected 0 to 1')
  if not all(isinstance(at, int | float) and 0 < at < 1 for at in config.step_at):
    raise ConfigError(
      f'config.optimizer.step_at: {config.step_at}; expected shares between 0 and 1'
    )
  with blame('config.optimizer'):
    parts = []
    if config.clip_norm:
      parts.append(optax.clip_by_global_norm(config.clip_norm))
    if config.weight_decay and name != 'adamw':
      parts.append(optax.add_decayed_weights(config.weight_decay, mask=decays))
    return optax.chain(
      *parts, OPTIMIZERS[name](config, learning_rate(config, num_steps))
    )
