"""Trains every trial of a config file's `sweep()`, several at once.

    python -m convscan.train.sweep --config=digits_lenet --workdir=runs/lenets
    python -m convscan.train.sweep --config=my.py --workdir=DIR --config.batch_size=64
    python -m convscan.train.sweep --config=my.py --workdir=DIR --launcher=print

Each trial is `python -m convscan.train.main`, in DIR/NAME. The same command again goes
on where the sweep was stopped or killed: what has finished is not trained again, and
what has failed is tried anew. `convscan/configs/sweeps.py` says how a file names its
trials. Without RAY_ADDRESS they run on this machine; with it on that Ray cluster, whose
machines must all see the config file and DIR.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from .errors import ConfigError, RunError
from .flags import call, define_config, define_workdir, portable, run
from .sweeping import plan, records, table, trials
from .sweeping.driver import Driver, Listed, Source, alone
from .sweeping.screen import Screen
from .sweeping.stopping import Stopper

LAUNCHER = flags.DEFINE_enum(
  'launcher',
  'ray',
  ['ray', 'print', 'none'],
  'what runs the trials: Ray; print writes the commands; none tells how they stand, '
  'and draws that anew',
)
FORMAT = flags.DEFINE_enum(
  'format',
  'shell',
  ['shell', 'slurm', 'skypilot', 'xpk'],
  'of --launcher=print: for whom the commands are',
)
CPUS = flags.DEFINE_float('cpus_per_trial', 1, 'cores of a trial, or a share of one', 0)
GPUS = flags.DEFINE_float('gpus_per_trial', 0, 'GPUs of a trial, or a share of one', 0)
TPUS = flags.DEFINE_float('tpus_per_trial', 0, 'TPU chips of a trial, all on a host', 0)
PARALLEL = flags.DEFINE_integer(
  'parallel', None, 'the most trials at once; as many as there is room for', 1
)
RETRIES = flags.DEFINE_integer(
  'retries', 2, 'how often a trial that fails is started again', 0
)
LOOPBACK = flags.DEFINE_bool(
  'loopback', True, 'Ray, where it is started here, listens on 127.0.0.1 alone'
)
METRIC = flags.DEFINE_string(
  'metric', 'eval/loss', 'in metrics.jsonl; trials are compared by the best they had'
)
MODE = flags.DEFINE_enum(
  'mode', 'auto', ['auto', 'max', 'min'], 'which of its values are better'
)
STOP = flags.DEFINE_enum(
  'stop',
  None,
  ['median', 'halving'],
  'ends trials early: by the median rule, or by asynchronous successive halving',
)
STOP_AFTER = flags.DEFINE_integer(
  'stop_after_steps', None, 'no trial is ended before; default: its first evaluation', 1
)
STOP_FACTOR = flags.DEFINE_integer(
  'stop_factor', 3, 'halving: 1 of so many go on, and so many times further', 2
)
SAMPLER = flags.DEFINE_enum(
  'sampler',
  None,
  ['random', 'tpe', 'gp', 'cmaes', 'qmc'],
  "Optuna's, which draws trials from the config file's space() in place of sweep()",
)
NUM_TRIALS = flags.DEFINE_integer('num_trials', 20, 'of a --sampler', 1)
SAMPLER_SEED = flags.DEFINE_integer('sampler_seed', 0, 'of a --sampler', 0)


def main(config: ConfigDict, workdir: str) -> None:
  """Runs the sweep, and says how its trials stand."""
  path = os.path.abspath(config_flags.get_config_filename(flags.FLAGS['config']))
  root = os.path.abspath(workdir)
  common: dict[str, Any] = config_flags.get_override_values(flags.FLAGS['config'])
  metric = table.make_metric(METRIC.value, MODE.value)
  if LAUNCHER.value == 'print':
    _print(config, path, root, common)
    return
  listed = []
  if not SAMPLER.value:
    listed = plan.make_trials(call(path, 'sweep'), config, common)
  names = [trial.name for trial in listed]
  if LAUNCHER.value == 'none':
    plan.check_begun(root, names)
    _report(config, root, _source(config, path, root, common, metric, listed), metric)
    return
  plan.check_folder(root, names)
  with alone(root):
    records.unpause(root)
    # A study's direction, and what its trials were judged by, stay as they were.
    by = f' for the {metric.mode} of {metric.name}'
    space = f'space() = {call(path, "space")}{by}' if SAMPLER.value else ''
    if said := plan.remember(root, config, listed, space):
      print(said)
    source = _source(config, path, root, common, metric, listed)
    try:
      _drive(config, path, root, common, metric, source)
    except KeyboardInterrupt:
      with contextlib.suppress(RunError, ConfigError):
        _report(config, root, source, metric)
      raise
    _report(config, root, source, metric)


def _print(config: ConfigDict, path: str, root: str, common: dict[str, Any]) -> None:
  """Prints the commands of the trials that have not ended."""
  from .sweeping.printing import commands

  if SAMPLER.value:
    raise ConfigError(
      '--launcher=print: expected no --sampler, which waits for results'
    )
  listed = plan.make_trials(call(path, 'sweep'), config, common)
  ended = ('finished', 'stopped')
  left = [trial for trial in listed if records.state(root, trial.name) not in ended]
  print(commands(FORMAT.value, portable(path), root, common, left))


def _source(
  config: ConfigDict,
  path: str,
  root: str,
  common: dict[str, Any],
  metric: table.Metric,
  listed: list[plan.Trial],
) -> Source:
  """Returns where trials come from: the `--sampler`, or the list."""
  if not SAMPLER.value:
    return Listed(listed)
  from .sweeping.sampling import Sampled

  return Sampled(
    root,
    call(path, 'space'),
    SAMPLER.value,
    NUM_TRIALS.value,
    SAMPLER_SEED.value,
    metric,
    lambda overrides: plan.make_trial(overrides, config, common),
  )


def _drive(
  config: ConfigDict,
  path: str,
  root: str,
  common: dict[str, Any],
  metric: table.Metric,
  source: Source,
) -> None:
  """Runs the trials on Ray."""
  from .sweeping.ray_launcher import RayLauncher

  config_name, digest = portable(path), trials.digest(path)

  def job(trial: plan.Trial) -> trials.Job:
    return trials.Job(
      root=root,
      trial=trial,
      config=config_name,
      digest=digest,
      common=common,
      cwd=os.getcwd(),
      retries=RETRIES.value,
      environment=trials.environment(CPUS.value, GPUS.value, TPUS.value),
    )

  stopper = None
  if STOP.value:
    first = STOP_AFTER.value or config.eval_every_steps
    last = config.num_train_steps
    stopper = Stopper(STOP.value, first, STOP_FACTOR.value, last)
  resources = {'cpus': CPUS.value, 'gpus': GPUS.value, 'tpus': TPUS.value}
  # A sampler is asked for no more than there is room for; of a list all wait in Ray,
  # which may then start machines for them.
  total = NUM_TRIALS.value if SAMPLER.value else len(source.known())
  parallel = PARALLEL.value or (None if SAMPLER.value else total)
  screen = Screen(metric, total)
  try:
    with _ended_by_sigterm(), RayLauncher(root, resources, LOOPBACK.value) as launcher:
      driver = Driver(root, source, launcher, job, parallel, metric, stopper, screen)
      try:
        driver.run()
      except KeyboardInterrupt:
        screen.clear()
        print(
          'stopping: trials that run save first; the same command goes on', flush=True
        )
        raise
  finally:
    screen.clear()


def _report(
  config: ConfigDict, root: str, source: Source, metric: table.Metric
) -> None:
  """Prints and draws how the trials stand.

  Raises:
    RunError: some failed.
  """
  from .sweeping import pictures
  from .sweeping.tensorboard import write_hparams

  rows = [table.read_row(root, trial, metric) for trial in source.known()]
  print(table.as_text(rows, metric))
  if said := table.unknown_metric(root, rows, metric):
    raise ConfigError(said)
  files = [(table.write_csv(root, rows, metric), 'the table')]
  files += [(drawn, 'figure') for drawn in pictures.draw(root, rows, metric)]
  write_hparams(rows, root, metric)
  print(f'results in {root}')
  for file, what in files:
    print(f'  {os.path.basename(file):26} {what}')
  print(f'  {"trials/":26} the log and state of each trial')
  print(f'  tensorboard --logdir={root} shows them under HPARAMS')
  if metric.name.startswith('eval/') and config.eval_split == 'test':
    print(
      'The best was chosen on the test split, so its number there is no estimate of '
      'what it does\non new data: see config.eval_split.'
    )
  if said := table.failures(root, rows):
    failed = sum(row.state == 'failed' for row in rows)
    raise RunError(
      f'{failed} of {len(rows)} trials failed; the same command tries again\n{said}'
    )


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
  """Has SIGTERM end the sweep as Ctrl-C does: trials save what they have done."""

  def leave(number: int, frame: Any) -> None:
    raise KeyboardInterrupt

  before = signal.signal(signal.SIGTERM, leave)
  try:
    yield
  finally:
    signal.signal(signal.SIGTERM, before)


if __name__ == '__main__':
  run(main, define_config(), define_workdir())
