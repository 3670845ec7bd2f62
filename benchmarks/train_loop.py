"""What the training loop costs beside its step, in one run.

    python benchmarks/train_loop.py --step-ms 5 --out /tmp/results

Four ways to take the same steps of `digits_lenet`, at the batch size whose step takes
about `--step-ms`, are timed in the same rounds. `bare` is the least one would write:
`state, metrics = step(state, put(next(batches)))` in a `for`, and a wait at the end.
`loop` is `train_and_evaluate` as it is shipped, its lines of the log written to a file
every `log_every_steps`; evaluations and checkpoints never come. Each takes its batches
from `memory`, a list of arrays made before, and from the `reader`, the pipeline, which
shuffles, augments and stacks examples in threads of the same process.

The loop's own overhead is `loop, memory` by `bare, memory`. The time of a round is that
between two requests for a batch, so many steps apart, once every function is compiled:
it is taken by what hands out the batches, not by the loop.
"""

import argparse
import contextlib
import functools
import itertools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
from rounds import machine, num_cores, ratio, spread, table, versions, write

from convscan import data
from convscan.configs import digits_lenet
from convscan.train import loop, tasks
from convscan.train.mesh import batch_sharded, make_mesh, put_batch, replicated
from convscan.train.optimizer import make_optimizer
from convscan.train.state import create_state
from convscan.train.step import train_step
from convscan.train.workdir import build_model

BASE = 'bare, memory'
CASES = (BASE, 'loop, memory', 'bare, reader', 'loop, reader')
NEVER = 10**9
WARM_UP = 10  # steps, in which everything is compiled
NOTE = (
  '`bare` is a `for` around the jitted step; `loop` is the shipped training loop, with '
  'its log, without evaluations and checkpoints. `memory`: batches are taken from a '
  'list; `reader`: from the shipped pipeline. `overhead` is the median over the rounds '
  f'of the time by that of `{BASE}` in the same round, less one. On CPUs the step, the '
  'loop and the reader share the cores; an accelerator has its own.'
)


class Enough(Exception):
  """Ends a loop from within its iterator."""


class Timed:
  """An iterator over batches that notes when each was asked for."""

  def __init__(self, batches: Iterator[Any], steps: int) -> None:
    self.batches, self.steps = batches, steps
    self.asked: list[float] = []

  def __iter__(self) -> Iterator[Any]:
    return self

  def __next__(self) -> Any:
    self.asked.append(time.perf_counter())
    if len(self.asked) > WARM_UP + self.steps:
      raise Enough
    return dict(next(self.batches))

  def close(self) -> None:
    pass

  def seconds_per_step(self) -> float:
    return (self.asked[WARM_UP + self.steps] - self.asked[WARM_UP]) / self.steps


class Experiment:
  """The same steps, by hand and by the loop."""

  def __init__(self, batch_size: int) -> None:
    self.config = config = digits_lenet.get_config()
    config.batch_size = batch_size
    config.num_train_steps = 100_000
    config.eval_every_steps = config.checkpoint_every_steps = NEVER
    self.mesh = make_mesh(config.mesh.data)
    self.dataset = dataset = loop.build_dataset(config)
    everywhere, split = replicated(self.mesh), batch_sharded(self.mesh)
    parts = {
      'model': build_model(config, dataset.classes),
      'tx': make_optimizer(config.optimizer, config.num_train_steps),
    }
    one = jnp.asarray(dataset.splits['train'][0]['inputs'])[None]
    create = functools.partial(create_state, **parts)
    self.create = jax.jit(create, out_shardings=everywhere)
    self.arguments = jax.random.key(0), one, {}
    self.step = jax.jit(
      functools.partial(train_step, task=tasks.get(config.task), **parts),
      in_shardings=(everywhere, split),
      out_shardings=everywhere,
      donate_argnums=0,
    )
    self.held = list(itertools.islice(self.reader(), 16))

  def reader(self) -> Iterator[Any]:
    return data.train_batches(self.dataset, self.config.batch_size, 0)

  def batches(self, case: str, steps: int) -> Timed:
    source = itertools.cycle(self.held) if 'memory' in case else self.reader()
    return Timed(source, steps)

  def bare(self, batches: Timed) -> None:
    state = self.create(*self.arguments)
    for batch in batches:
      del batch['index']
      state, metrics = self.step(state, put_batch(batch, self.mesh))
      # The clock runs from a step that is done to a step that is done.
      if len(batches.asked) in (WARM_UP, WARM_UP + batches.steps):
        jax.block_until_ready(metrics)

  def loop(self, batches: Timed) -> None:
    with (
      tempfile.TemporaryDirectory() as folder,
      open(f'{folder}/log', 'w') as log,
      contextlib.redirect_stderr(log),
      mock.patch.object(data, 'train_batches', return_value=batches),
    ):
      loop.train_and_evaluate(self.config, f'{folder}/run')

  def time(self, case: str, steps: int) -> float:
    """Returns the seconds of a step."""
    batches = self.batches(case, steps)
    call: Callable[[Timed], None] = self.bare if 'bare' in case else self.loop
    with contextlib.suppress(Enough):
      call(batches)
    return batches.seconds_per_step()


def calibrate(step_ms: float) -> int:
  """Returns the batch size at which a bare step takes about so long."""
  size = 8 * jax.device_count()
  while size < 1024:
    took = 1e3 * Experiment(size).time(BASE, 30)
    if took > step_ms / 2:
      return max(1, round(size * step_ms / took / 8)) * 8
    size *= 2
  return size


def markdown(results: dict[str, Any]) -> str:
  base = results['times'][BASE]
  lines = []
  for case, times in results['times'].items():
    ms = 1e3 * statistics.median(times)
    more = statistics.median(1e6 * (t - b) for t, b in zip(times, base, strict=True))
    lines.append([case, f'{ms:.3f}', f'{more:+.0f}', f'{ratio(times, base) - 1:+.1%}'])
  parts = ['# The training loop beside a bare loop']
  for part in ('machine', 'versions', 'settings'):
    facts = ', '.join(f'{k} {v}' for k, v in results[part].items())
    parts.append(f'{part.capitalize()}: {facts}.')
  header = ['', 'a step, ms', 'more than the first, µs', 'overhead']
  parts += [NOTE, table(header, lines)]
  parts.append(f'Spread of the rounds: {spread(results["times"].values()):.1f}.')
  return '\n\n'.join(parts) + '\n'


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
  here = pathlib.Path(__file__).parent
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  add = functools.partial(parser.add_argument, metavar='...')
  add('--step-ms', type=float, default=5, help='of a bare step, about')
  add('--batch-size', type=int, help='instead of one found by --step-ms')
  add('--steps', type=int, default=240, help='in a round; whole windows of the log')
  add('--rounds', type=int, default=15)
  add('--out', type=pathlib.Path, default=here / 'results')
  return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
  args = parse(argv)
  loop.enable_compilation_cache()
  batch_size = args.batch_size or calibrate(args.step_ms)
  here = machine()
  if here['load'] > 0.3 * num_cores():
    print(f'the machine is busy: load {here["load"]}')
  experiment = Experiment(batch_size)
  times: dict[str, list[float]] = {case: [] for case in CASES}
  for i in range(args.rounds):
    for case in CASES[i % len(CASES) :] + CASES[: i % len(CASES)]:
      times[case].append(experiment.time(case, args.steps))
    shown = '  '.join(f'{case} {1e3 * ts[-1]:.3f} ms' for case, ts in times.items())
    print(f'round {i + 1} of {args.rounds}: {shown}', flush=True)
  results: dict[str, Any] = {
    'machine': here,
    'versions': versions(['jax', 'jaxlib', 'flax', 'grain']),
    'settings': {
      'batch_size': batch_size,
      'steps': args.steps,
      'rounds': args.rounds,
      'log_every_steps': experiment.config.log_every_steps,
    },
    'times': times,
  }
  page = markdown(results)
  print(page)
  print('results in', write('train-loop', results, page, args.out))


if __name__ == '__main__':
  main()
