"""A run, from its config to its trained model."""

import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from .. import architectures, data
from . import tasks
from . import workdir as workdirs
from .checkpoint import Checkpoints, latest_step
from .errors import ConfigError, blame
from .mesh import batch_sharded, check_batch_size, make_mesh, put_batch, replicated
from .metrics import MetricWriter, logger, read
from .modules import select, select_frozen, without
from .optimizer import learning_rate, make_optimizer
from .state import create_state, load_variables
from .step import eval_step, train_step
from .tasks.task import Task, mean


def train_and_evaluate(
  config: ml_collections.ConfigDict, workdir: str
) -> dict[str, float]:
  """Trains what a config names, or goes on where an earlier run of it stopped.

  Args:
    config: a complete experiment; `convscan/configs/base.py` explains every key.
    workdir: the run's folder; see `convscan.train.workdir`.

  Returns:
    The metrics of the final evaluation, such as `{'eval/loss': ..., ...}`.

  Raises:
    ConfigError: the config or the folder can't be used. The folder is as it was then.
  """
  log = logger()

  # What to run: all that a config can get wrong is found here, before any work.
  enable_compilation_cache()
  num_steps = check_numbers(config)
  mesh = make_mesh(config.mesh.data)
  check_batch_size(config.batch_size, mesh)
  tx = make_optimizer(config.optimizer, num_steps)
  dataset = build_dataset(config)
  task = tasks.build(config, dataset)
  model = workdirs.build_model(config, dataset.classes)
  processes = {
    'process_index': jax.process_index(),
    'process_count': jax.process_count(),
  }
  with blame('config.batch_size'):
    batches = data.train_batches(dataset, config.batch_size, config.seed, **processes)
  inputs = dataset.splits['train'][0]['inputs']
  shape = (config.batch_size, *inputs.shape)
  with blame(f'config.model: {config.model.name!r} does not take this data'):
    table = architectures.summary(model, shape, inputs.dtype)
  key, one = jax.random.key(config.seed), jnp.zeros((1, *inputs.shape), inputs.dtype)
  outputs, variables = jax.eval_shape(
    functools.partial(model.init_with_output, train=False), key, one
  )
  tasks.check_outputs(config, outputs, dataset)
  params = variables['params']
  frozen = select_frozen(config.frozen, params)
  fresh = select('config.init_fresh', config.init_fresh, params)
  loaded = {}
  if config.init_from and latest_step(workdir) is None:
    with blame('config.init_from'):
      loaded = load_variables(config.init_from, model, one.shape, fresh)
  workdirs.claim(workdir, config, dataset.classes, inputs)
  log.info('%s\n%s', config.model.name, table)
  if loaded:
    but = f'; afresh: {", ".join(config.init_fresh)}' if fresh else ''
    log.info('starting from %s%s', config.init_from, but)
  if frozen:
    trained = sum(p.size for p in jax.tree.leaves(without(params, frozen)))
    log.info(
      'frozen: %s; %s of %s parameters are trained',
      ', '.join(config.frozen), f'{trained:,}', f'{table.num_params:,}',
    )  # fmt: skip

  # The state, on every device of the mesh, and the two steps as compiled functions.
  everywhere, split = replicated(mesh), batch_sharded(mesh)
  parts = {'model': model, 'tx': tx, 'frozen': frozen}
  create = functools.partial(create_state, **parts)
  state = jax.jit(create, out_shardings=everywhere)(key, one, loaded)
  del loaded  # a second copy
  update = jax.jit(
    functools.partial(
      train_step, task=task, aux_loss_weight=config.aux_loss_weight, **parts
    ),
    in_shardings=(everywhere, split),
    out_shardings=everywhere,
    donate_argnums=0,
  )
  evaluate = make_evaluate(config, dataset, model, task, mesh)

  # Where an earlier run stopped.
  checkpoints = Checkpoints(workdir, config.keep_checkpoints)
  start = checkpoints.latest_step() or 0
  iterator = iter(batches)
  since_log: list[Any] = []  # metrics of the steps since the last line of the log
  if start:
    state, progress = checkpoints.restore(start, state)
    iterator.set_state(progress['data'])
    since_log = progress['since_log']
    done = 'was finished at' if start == num_steps else 'resuming from'
    log.info('%s step %d', done, start)
  log.info(
    '%d steps of %d examples on %d %s device(s); results in %s',
    num_steps, config.batch_size, mesh.size, jax.default_backend(), workdir,
  )  # fmt: skip

  schedule = learning_rate(config.optimizer, num_steps)
  began = time.perf_counter()
  # Closed whatever happens: what is being saved is then on disk.
  with (
    contextlib.closing(MetricWriter(workdir, start, num_steps)) as writer,
    contextlib.closing(checkpoints),
  ):
    for step in range(start + 1, num_steps + 1):
      state, metrics = update(state, put_batch(next(iterator), mesh))
      since_log.append(metrics)
      if step == start + 1:
        jax.block_until_ready(metrics)
        log.info('first step, compiled, after %.1f s', time.perf_counter() - began)
      writer.progress(step)
      last = step == num_steps
      if step % config.log_every_steps == 0 or last:
        numbers = task.derive(mean(jax.device_get(since_log)))
        since_log = []
        rate = {'learning_rate': float(schedule(step - 1))}
        writer.write(step, {f'train/{k}': v for k, v in (numbers | rate).items()})
      if step % config.eval_every_steps == 0 or last:
        numbers, predictions = evaluate(state.variables)
        hidden = {f'eval/{k}' for k in numbers if k not in task.shown}
        writer.write(step, {f'eval/{k}': v for k, v in numbers.items()}, hidden)
        key = jax.random.fold_in(jax.random.key(config.seed), step)
        shown = task.at_evaluation(model, state.variables, dataset, key, config)
        writer.text(step, 'sample', shown)
      if step % config.checkpoint_every_steps == 0 or last:
        since = jax.tree.map(float, jax.device_get(since_log))
        checkpoints.save(
          step, state, {'data': iterator.get_state(), 'since_log': since}
        )

  # What a person sees.
  if start == num_steps:  # nothing was left to do
    numbers, predictions = evaluate(state.variables)
  if jax.process_index() == 0:
    drawn = task.figures(
      workdir,
      history=read(workdir),
      predictions=predictions,
      model=model,
      variables=jax.device_get(state.variables),
      dataset=dataset,
    )
    summary = '  '.join(f'{k} {v:.4f}' for k, v in numbers.items() if k in task.shown)
    log.info('finished step %d of %d: test %s', num_steps, num_steps, summary)
    log.info('results in %s', os.path.abspath(workdir))
    for name, what in [
      ('metrics.jsonl', 'every number, a JSON object a line'),
      ('tensorboard/', 'the same, for TensorBoard'),
      (
        'checkpoints/',
        f'evaluate: {sys.executable} -m convscan.train.evaluate --workdir={workdir}',
      ),
      *((os.path.basename(path), 'figure') for path in drawn),
    ]:
      log.info('  %-22s %s', name, what)
  return {f'eval/{k}': v for k, v in numbers.items()}


def enable_compilation_cache() -> None:
  """Keeps compiled programs between runs, in `JAX_COMPILATION_CACHE_DIR` if set."""
  if 'JAX_COMPILATION_CACHE_DIR' not in os.environ:
    home = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    jax.config.update('jax_compilation_cache_dir', os.path.join(home, 'convscan/xla'))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', 0)


def check_numbers(config: ml_collections.ConfigDict) -> int:
  """Returns the number of steps; checks the numbers that nothing else does."""
  for key in ('log_every_steps', 'eval_every_steps', 'checkpoint_every_steps',
              'num_train_steps', 'keep_checkpoints'):  # fmt: skip
    if config[key] < 1:
      raise ConfigError(f'config.{key}: {config[key]}; expected 1 or more')
  if config.seed < 0:
    raise ConfigError(f'config.seed: {config.seed}; expected 0 or more')
  if not config.aux_loss_weight >= 0:
    raise ConfigError(
      f'config.aux_loss_weight: {config.aux_loss_weight}; expected 0 or more'
    )
  if config.sample.length < 1 or config.sample.temperature < 0:
    raise ConfigError(
      f'config.sample: length {config.sample.length}, temperature '
      f'{config.sample.temperature}; expected 1 or more, and 0 or more'
    )
  return config.num_train_steps


def build_dataset(config: ml_collections.ConfigDict) -> Any:
  """Opens the dataset of a config, and checks that its task is the config's."""
  options = {k: v for k, v in config.data.items() if k not in ('name', 'data_dir')}
  with blame('config.data'):
    dataset = data.build(
      config.data.name, data_dir=config.data.data_dir or None, **options
    )
  if dataset.task != config.task:
    raise ConfigError(
      f'config.task: {config.task!r}; the dataset {config.data.name!r} is for '
      f'{dataset.task!r}'
    )
  return dataset


def make_evaluate(
  config: ml_collections.ConfigDict,
  dataset: Any,
  model: Any,
  task: Task,
  mesh: jax.sharding.Mesh,
) -> Callable[[Any], tuple[dict[str, float], dict[str, np.ndarray]]]:
  """Returns a function from variables to the exact metrics of the test split.

  It also returns the predictions (see `convscan.train.step.eval_step`) with their
  targets and weights; those of weight 0, such as what fills the last batch, are to be
  left out.
  """
  everywhere, split = replicated(mesh), batch_sharded(mesh)
  compiled = jax.jit(
    functools.partial(eval_step, model=model, task=task),
    in_shardings=(everywhere, split),
    out_shardings=everywhere,
  )

  def batches() -> Iterator[dict[str, np.ndarray]]:
    return data.eval_batches(
      dataset,
      'test',
      config.batch_size,
      process_index=jax.process_index(),
      process_count=jax.process_count(),
    )

  def evaluate(variables: Any) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    outputs = [compiled(variables, put_batch(batch, mesh)) for batch in batches()]
    metrics, predictions = zip(*jax.device_get(outputs), strict=True)
    joined = {k: np.concatenate([p[k] for p in predictions]) for k in predictions[0]}
    return task.derive(mean(list(metrics))), joined

  return evaluate
