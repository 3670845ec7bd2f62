"""A run, from its config to its trained model."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from .. import data
from ..data.errors import DamagedRecord, DataError
from . import sequences
from . import workdir as workdirs
from .checkpoint import Checkpoints, latest_step, restore_newest
from .errors import ConfigError, Stopped, blame
from .evaluation import make_evaluate
from .experiment import check, make_experiment
from .finite import check_finite
from .mesh import make_mesh, put_batch, replicated
from .metrics import Late, MetricWriter, logger, read
from .modules import without
from .profiler import Profiler
from .report import Throughput, brief, model_flops, start_line
from .state import load_variables
from .tasks.task import Results, mean


def train_and_evaluate(
  config: ml_collections.ConfigDict,
  workdir: str,
  stop: Callable[[int], bool] = lambda step: False,
) -> dict[str, float]:
  """Trains what a config names, or goes on where an earlier run of it stopped.

  Args:
    config: a complete experiment; `convscan/configs/base.py` explains every key.
    workdir: the run's folder; see `convscan.train.workdir`.
    stop: called after each step but the last with its number, whether to stop there;
      the same in every process.

  Returns:
    The metrics of the final evaluation, such as `{'eval/loss': ..., ...}`.

  Raises:
    ConfigError: the config or the folder can't be used. The folder is as it was then.
    RunError: the run can't go on.
    Stopped: `stop` said so, and the step is saved.
  """
  log = logger()

  # What to run: all that a config can get wrong is found here, before any work.
  enable_compilation_cache()
  mesh = make_mesh(config.mesh.data, config.mesh.fsdp)
  check(config, mesh)
  dataset = build_dataset(config)
  batches = make_batches(config, dataset)
  experiment = make_experiment(config, dataset, mesh)
  num_steps, table = config.num_train_steps, experiment.table
  task, model, inputs = experiment.task, experiment.model, experiment.inputs
  loaded = {}
  if config.init_from and latest_step(workdir) is None:
    with blame('config.init_from'):
      loaded = load_variables(
        config.init_from, model, (1, *inputs.shape), experiment.fresh
      )
  workdirs.claim(workdir, config, dataset.classes, inputs)
  log.info('%s\n%s', config.model.name, table)
  if loaded:
    but = f'; afresh: {", ".join(config.init_fresh)}' if experiment.fresh else ''
    log.info('starting from %s%s', config.init_from, but)
  if experiment.frozen:
    trained = without(experiment.shapes.params, experiment.frozen)
    log.info(
      'frozen: %s; %s of %s parameters are trained', ', '.join(config.frozen),
      f'{sum(p.size for p in jax.tree.leaves(trained)):,}', f'{table.num_params:,}',
    )  # fmt: skip

  # The state, on the devices of the mesh, and the two steps as compiled functions.
  state = experiment.create(loaded)
  del loaded  # a second copy
  update = experiment.update
  evaluate = make_evaluate(config, dataset, model, task, mesh)
  whole = jax.jit(lambda variables: variables, out_shardings=replicated(mesh))

  # Where an earlier run stopped.
  start, going = 0, 'starting at step 1'
  since_log: list[Any] = []  # metrics of the steps since the last line of the log
  if restored := restore_newest(workdir, state):
    start, state, progress = restored
    batches.set_state(progress['data'])
    since_log = progress['since_log']
    going = (
      f'{"was finished at" if start == num_steps else "resuming from"} step {start}'
    )
  checkpoints = Checkpoints(workdir, config.keep_checkpoints)
  log.info(
    '%s; %s of %d', start_line(mesh, state.params, config.batch_size), going, num_steps
  )

  # All learning rates at once: for one alone, a line of the log would wait in the
  # device's queue behind the steps.
  schedule = jax.vmap(experiment.schedule)
  rates = np.asarray(jax.jit(schedule)(jnp.arange(num_steps)))
  late, began = Late(), time.perf_counter()
  flops = None if config.length_buckets else model_flops(table, experiment.frozen)
  speed = Throughput(config.batch_size, flops, mesh)
  # Closed whatever happens: what is being saved is then on disk.
  with (
    contextlib.closing(MetricWriter(workdir, start, num_steps)) as writer,
    contextlib.closing(Profiler(workdir, config.profile)) as profiler,
    contextlib.closing(checkpoints),
    contextlib.closing(batches),
  ):

    def next_batch() -> tuple[dict[str, jax.Array], np.ndarray]:
      """Returns a batch on the devices, and its examples' positions."""
      with speed.waiting():
        batch = next(batches)
      # Copied, since reader processes share its memory, which is theirs to free.
      indices = np.array(batch.pop('index'))
      return put_batch(batch, mesh), indices

    def arrive(results: Iterable[tuple[int, np.ndarray, Any]]) -> None:
      """Takes what steps computed, in order, a step late."""
      for step, indices, metrics in results:
        if config.on_nonfinite == 'stop':
          check_finite(step, metrics, indices)
        speed.count()
        if step == start + 1:
          log.info('first step, compiled, after %.1f s', time.perf_counter() - began)
        since_log.append(metrics)
        if step % config.log_every_steps == 0 or step == num_steps:
          numbers = task.derive(mean(since_log))
          numbers['learning_rate'] = float(rates[step - 1])
          since_log.clear()
          report = speed.report()
          named = {f'train/{k}': v for k, v in numbers.items()} | report
          writer.write(step, named, brief(report))

    def evaluate_at(step: int) -> tuple[Any, dict[str, float], dict[str, np.ndarray]]:
      """Returns what was evaluated, its metrics and its predictions."""
      variables = whole(state.evaluated)
      numbers, predictions = evaluate(variables)
      shown = (*task.shown, 'skipped_examples')
      hidden = {f'eval/{k}' for k in numbers if k not in shown}
      named = {f'eval/{k}': v for k, v in numbers.items()}
      writer.write(step, named, hidden=hidden)
      key = jax.random.fold_in(jax.random.key(config.seed), step)
      text = task.at_evaluation(model, variables, dataset, key, config)
      writer.text(step, 'sample', text)
      return variables, numbers, predictions

    stopped = False
    # Not evaluated is a step at which the run was stopped.
    due = 0 < start < num_steps and start % config.eval_every_steps == 0
    if due and not any(m['step'] == start and 'eval/loss' in m for m in read(workdir)):
      evaluate_at(start)
    for step in range(start + 1, num_steps + 1):
      with profiler.step(step):
        batch, indices = next_batch()
        state, metrics = update(state, batch)
        del batch  # on CPUs it is memory of the reader processes, to be freed by then
      with speed.paused():
        profiler.after(step, metrics)
      arrive(late.push((step, indices, metrics)))
      writer.progress(step)
      last = step == num_steps
      stopped = not last and stop(step)
      evaluates = step % config.eval_every_steps == 0 or last
      saves = step % config.checkpoint_every_steps == 0 or last or stopped
      if evaluates or saves:
        arrive(late.flush())  # what is not finite is neither evaluated nor saved
      with speed.paused():
        if evaluates and not stopped:
          variables, numbers, predictions = evaluate_at(step)
          if not last:
            del variables  # a copy on every device
        if saves:
          since = jax.tree.map(float, since_log)
          checkpoints.save(
            step, state, {'data': batches.get_state(), 'since_log': since}
          )
      if stopped:
        break

  if stopped:
    log.info('stopped: step %d of %d is saved, and the same command goes on from it',
             step, num_steps)  # fmt: skip
    raise Stopped

  # What a person sees.
  if start == num_steps:  # nothing was left to do
    variables = whole(state.evaluated)
    numbers, predictions = evaluate(variables)
  if jax.process_index() == 0:
    results = Results(
      workdir,
      history=read(workdir),
      predictions=predictions,
      model=model,
      variables=jax.device_get(variables),
      dataset=dataset,
      split=config.eval_split,
    )
    drawn = task.figures(results)
    summary = '  '.join(f'{k} {v:.4f}' for k, v in numbers.items() if k in task.shown)
    log.info('finished step %d of %d: %s %s',
             num_steps, num_steps, config.eval_split, summary)  # fmt: skip
    log.info('results in %s', os.path.abspath(workdir))
    allow_code = ' --allow_code' if data.is_function(config.data.name) else ''
    for name, what in [
      ('metrics.jsonl', 'every number, a JSON object a line'),
      ('tensorboard/', 'the same, for TensorBoard'),
      (
        'checkpoints/',
        f'evaluate: {sys.executable} -m convscan.train.evaluate --workdir={workdir}'
        f'{allow_code}',
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


def build_dataset(
  config: ml_collections.ConfigDict, build: Callable[..., Any] = data.build
) -> Any:
  """Opens the dataset of a config; checks that it has its task and `eval_split`.

  Args:
    config: a complete experiment.
    build: `data.build`, or `data.declare`, which does without its files.
  """
  options = {k: v for k, v in config.data.items() if k not in ('name', 'data_dir')}
  skip = config.on_bad_example == 'skip'
  try:
    with blame('config.data', *(f'config.data.{k}' for k in config.data)):
      dataset = build(
        config.data.name, data_dir=config.data.data_dir or None, **options
      )
  except DamagedRecord as e:
    if not skip:
      raise
    raise DataError(
      f'{e}. {config.data.name!r} is read whole when it is opened, so that '
      "config.on_bad_example='skip' leaves nothing of it out"
    ) from e
  if dataset.task != config.task:
    raise ConfigError(
      f'config.task: {config.task!r}; the dataset {config.data.name!r} is for '
      f'{dataset.task!r}'
    )
  # That to train on may be endless.
  legal = [split for split in dataset.splits if split != 'train']
  if config.eval_split not in legal:
    raise ConfigError(
      f'config.eval_split: {config.eval_split!r}; expected {" or ".join(legal)}, the '
      f'splits of {config.data.name!r} that are not trained on'
    )
  return data.skip_bad(dataset) if skip else dataset


def make_batches(config: ml_collections.ConfigDict, dataset: Any) -> Any:
  """Returns the iterator over this process's rows of a run's training batches."""
  sequences.check_batches(config, dataset)
  key = 'length_buckets' if config.length_buckets else 'batch_size'
  with blame(f'config.{key}', 'config.batch_size', 'config.length_buckets'):
    return data.train_batches(
      dataset,
      config.batch_size,
      config.seed,
      length_buckets=config.length_buckets,
      carry_state=config.carry_state,
      process_index=jax.process_index(),
      process_count=jax.process_count(),
      num_workers=config.num_reader_workers,
    )
