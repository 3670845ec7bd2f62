"""What a config trains, and how: the model, the state and the update, before any work.

All that the loop runs and the rehearsal compiles is made here, from shapes alone.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import optax
from flax import linen as nn

from .. import architectures
from ..architectures.summary import Summary
from . import sequences, tasks
from .batch_norm import normalise_by
from .errors import ConfigError, blame, choose
from .mesh import (
  batch_sharded,
  check_batch_size,
  constrain,
  replicated,
  state_sharding,
)
from .mixing import make_mix
from .modules import select, select_frozen
from .optimizer import learning_rate, make_optimizer, scale_learning_rate
from .profiler import check_profile
from .state import TrainState, create_state
from .step import train_step
from .tasks.task import Batch, Metrics, Task
from .workdir import build_model


@dataclasses.dataclass(frozen=True)
class Experiment:
  """What a config trains, on the devices of a mesh.

  Attributes:
    task: the loss and metrics.
    model: the Linen module.
    table: its layers.
    inputs: an example's input, for its shape and dtype.
    tx: the optimizer.
    schedule: the learning rate of each step, counted from 0.
    frozen: the modules that are not trained.
    fresh: those that start from random weights where others are loaded.
    shapes: the state's shapes and dtypes.
    places: the state's shardings.
    create: compiled when called, `(loaded) -> state`, where `loaded` is what
      `create_state` takes instead of initial variables.
    update: compiled when called, `(state, batch) -> (state, metrics)`. The state that
      it is given is used up.
  """

  task: Task
  model: nn.Module
  table: Summary
  inputs: Any
  tx: optax.GradientTransformation
  schedule: optax.Schedule
  frozen: frozenset[str]
  fresh: frozenset[str]
  shapes: TrainState
  places: TrainState
  create: Callable[[Mapping[str, Any]], TrainState]
  # A compiled function, whose methods `lower` and `eval_shape` are needed, too.
  update: Any


def make_experiment(
  config: ml_collections.ConfigDict, dataset: Any, mesh: jax.sharding.Mesh
) -> Experiment:
  """Makes what a config trains. Nothing is computed, and no device is asked.

  Args:
    config: a complete experiment, which `check` has passed.
    dataset: that of `config.data`; of its examples the first few are looked at.
    mesh: the devices, which need not be there.

  Raises:
    ConfigError: the model does not fit the data, or a key can't be used.
  """
  optimizer = scale_learning_rate(config.optimizer, config.batch_size)
  tx = make_optimizer(optimizer, config.num_train_steps)
  task = tasks.build(config, dataset)
  model = build_model(config, dataset.classes)
  examples_a_pass = config.batch_size // config.accumulate_steps // mesh.size
  model = normalise_by(config.batch_norm, model, examples_a_pass)
  sequences.check_model(config, dataset, model)
  inputs = dataset.splits['train'][0]['inputs']
  shape = (config.batch_size, *inputs.shape)
  with blame(f'config.model: {config.model.name!r} does not take this data'):
    table = architectures.summary(model, shape, inputs.dtype)
  key, one = jax.random.key(config.seed), jnp.zeros((1, *inputs.shape), inputs.dtype)
  outputs, variables = jax.eval_shape(
    functools.partial(model.init_with_output, train=False), key, one
  )
  tasks.check_outputs(config, outputs, dataset)
  mix = make_mix(config, len(dataset.classes), inputs.ndim)
  params = variables['params']
  if config.init_fresh and not config.init_from:
    raise ConfigError(
      f'config.init_fresh: {tuple(config.init_fresh)}; expected () without a file in '
      'config.init_from, since all modules start afresh then'
    )
  frozen = select_frozen(config.frozen, params)
  fresh = select('config.init_fresh', config.init_fresh, params)

  parts = {'model': model, 'tx': tx, 'frozen': frozen}
  tokens, carry = jax.ShapeDtypeStruct(shape, inputs.dtype), ()
  if config.carry_state:
    carry = sequences.carry_shapes(model, variables, tokens)
  create = functools.partial(
    create_state,
    ema=config.ema_decay > 0 or config.average_from_step > 0,
    carry=carry,
    **parts,
  )
  shapes = jax.eval_shape(create, key, one, {})
  places = state_sharding(shapes, mesh, config.mesh.fsdp_min_size)
  split = jax.tree.map(lambda _: batch_sharded(mesh), carry)
  places = places.replace(carry=split)
  compiled = jax.jit(create, out_shardings=places)
  update: Callable[[TrainState, Batch], tuple[TrainState, Metrics]] = functools.partial(
    train_step,
    task=task,
    aux_loss_weight=config.aux_loss_weight,
    accumulate_steps=config.accumulate_steps,
    ema_decay=config.ema_decay,
    average_from_step=config.average_from_step,
    skip_nonfinite=config.on_nonfinite == 'skip',
    mix=mix,
    gather=constrain(replicated(mesh)),
    scatter=constrain(places.params),
    **parts,
  )
  return Experiment(
    task=task,
    model=model,
    table=table,
    inputs=inputs,
    tx=tx,
    schedule=learning_rate(optimizer, config.num_train_steps),
    frozen=frozen,
    fresh=fresh,
    shapes=shapes,
    places=places,
    create=lambda loaded: compiled(key, one, loaded),
    update=jax.jit(
      update,
      in_shardings=(places, batch_sharded(mesh)),
      out_shardings=(places, replicated(mesh)),
      donate_argnums=0,
    ),
  )


def check(config: ml_collections.ConfigDict, mesh: jax.sharding.Mesh) -> None:
  """Refuses what is wrong whatever the data are, which may take hours to prepare.

  Raises:
    ConfigError: a number or a name can't be used.
  """
  for key in ('log_every_steps', 'eval_every_steps', 'checkpoint_every_steps',
              'num_train_steps', 'keep_checkpoints'):  # fmt: skip
    if config[key] < 1:
      raise ConfigError(f'config.{key}: {config[key]}; expected 1 or more')
  for key in ('on_bad_example', 'on_nonfinite'):
    choose(f'config.{key}', config[key], ('stop', 'skip'))
  if not 0 <= config.ema_decay < 1:
    raise ConfigError(f'config.ema_decay: {config.ema_decay}; expected 0 to below 1')
  if config.average_from_step and config.ema_decay:
    raise ConfigError(
      f'config.average_from_step: {config.average_from_step}; expected 0 with '
      f'config.ema_decay: {config.ema_decay}'
    )
  for key in ('seed', 'num_reader_workers', 'average_from_step'):
    if config[key] < 0:
      raise ConfigError(f'config.{key}: {config[key]}; expected 0 or more')
  if not config.aux_loss_weight >= 0:
    raise ConfigError(
      f'config.aux_loss_weight: {config.aux_loss_weight}; expected 0 or more'
    )
  if config.sample.length < 1 or config.sample.temperature < 0:
    raise ConfigError(
      f'config.sample: length {config.sample.length}, temperature '
      f'{config.sample.temperature}; expected 1 or more, and 0 or more'
    )
  check_profile(config.profile, config.num_train_steps)
  check_batch_size(config.batch_size, config.accumulate_steps, mesh)
  make_optimizer(
    scale_learning_rate(config.optimizer, config.batch_size), config.num_train_steps
  )
