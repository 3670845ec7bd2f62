"""Measures how fast a config's batches are made, and whether a run waits for them.

    python -m convscan.train.data_speed --config=digits_lenet
    python -m convscan.train.data_speed --config=digits_lenet --workdir=runs/digits

It makes batches as the run would, without a model. With the folder of a run, it says
beside it how fast that trains, and what share of its time it waited for data.
"""

import os
import statistics
import time
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from .flags import define_config, run

# A run that waits for no more of its time would gain as little by faster reading.
_LITTLE = 0.1
_WARM_UP = 20  # batches, more than are made ahead


def measure(config: ConfigDict, seconds: float) -> float:
  """Returns how many examples a second are read, for about so many seconds."""
  from .loop import build_dataset, make_batches

  batches = make_batches(config, build_dataset(config))
  for _ in range(_WARM_UP):
    next(batches)
  count, began = 0, time.perf_counter()
  while (took := time.perf_counter() - began) < seconds:
    next(batches)
    count += 1
  batches.close()
  return count * config.batch_size / took


def read_speed(workdir: str) -> dict[str, float]:
  """Returns the medians of the speeds that a run has logged, by name.

  Raises:
    ConfigError: it has logged none.
  """
  from .errors import ConfigError
  from .metrics import read

  names = ('perf/examples_per_second', 'perf/data_wait_share')
  lines = [m for m in read(workdir) if all(name in m for name in names)]
  if not lines:
    raise ConfigError(f'--workdir: {workdir!r} has no metrics.jsonl with a speed yet')
  return {name: statistics.median(m[name] for m in lines) for name in names}


def verdict(
  read: float, trained: float, waited: float, workers: int, had: int, cores: int
) -> str:
  """Says whether a run waits for data, and what to do.

  Args:
    read: examples a second, of batches without a model.
    trained: examples a second, of the run, its waiting included.
    waited: the share of its time that it waited for data.
    workers: `config.num_reader_workers`, with which `read` was measured.
    had: those of the run.
    cores: of this machine.

  >>> verdict(read=9000.0, trained=4950.0, waited=0.01, workers=0, had=0, cores=2)
  'It does not wait for data: reading is 1.8 times as fast as the step alone, 5,000 \
examples a second.'
  """
  alone = trained / max(1 - waited, 0.01)
  times = (
    f'reading is {read / alone:.1f} times as fast as the step alone, {alone:,.0f} '
    'examples a second'
  )
  more = min(max(2, 2 * workers), cores)
  advice = (
    f'Raise config.num_reader_workers from {workers} to {more}; this machine has '
    f'{cores} cores.'
    if more > workers
    else f'More than {workers} reader workers gain nothing, since this machine has '
    f'{cores} cores: it takes more of these, or examples that cost less to make.'
  )
  if had != workers:
    said = f'That run had {had} reader workers. With {workers}, {times}.'
    return said if read >= alone else f'{said} {advice}'
  if waited <= _LITTLE:
    return f'It does not wait for data: {times}.'
  return f'It waits for data, {waited:.0%} of its time: {times}. {advice}'


def main(config: ConfigDict, workdir: str | None, seconds: float) -> None:
  """Measures and prints."""
  from .workdir import read_config

  logged: Any = read_speed(workdir) if workdir else None
  had = read_config(workdir).num_reader_workers if workdir else 0
  rate, workers = measure(config, seconds), config.num_reader_workers
  print(
    f'reading   {rate:12,.0f} examples a second, '
    f'{rate / config.batch_size:,.1f} batches of {config.batch_size}, '
    f'with {workers} reader workers'
  )
  if logged:
    trained, waited = logged.values()
    print(
      f'training  {trained:12,.0f} examples a second, {waited:.0%} waiting for data'
    )
    cores = os.cpu_count() or 1
    print(verdict(rate, trained, waited, workers, had, cores))


if __name__ == '__main__':
  run(
    main,
    define_config(),
    flags.DEFINE_string('workdir', None, 'the folder of a run of this config'),
    flags.DEFINE_float('seconds', 5.0, 'how long to read'),
  )
