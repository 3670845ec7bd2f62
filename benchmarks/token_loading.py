"""How many windows of tokens a second a loader makes, beside torch's and plain Grain.

    python benchmarks/token_loading.py --out /tmp/results

The work is the same for all: windows of `--length` tokens at random places of one array
in memory, each place once an epoch; of a window its inputs, its targets a token on, and
a weight for each; collated to batches. `convscan` is `convscan.data.train_batches` as
the training loop calls it. `torch` is a `DataLoader` over a map-style dataset that
slices a tensor, with its own `default_collate`; in `torch, gathering` the dataset
takes a batch's places at once (`__getitems__`) and gathers, as one may by hand. Torch
computes in one thread, as it does in its workers. `grain` is
`MapDataset.source(...).shuffle().repeat().batch(...)`. Workers are spawned processes;
0 is none, where convscan and Grain have their threads.

A round makes each loader anew, and times it once its first batches have come.
"""

import argparse
import functools
import itertools
import pathlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grain
import numpy as np
import torch
from absl import flags
from rounds import machine, num_cores, ratio, spread, table, versions, write

from convscan import data
from convscan.data.text import START, StreamWindows

WARM_UP = 60  # batches, more than any loader makes ahead
NOTE = (
  'Examples a second. `ratio` is the median over the rounds of the time of `torch`, of '
  'as many workers, by that of the loader in the same round: above 1 it is faster.'
)


class Windows(torch.utils.data.Dataset):
  """What `StreamWindows` gives, of torch's tensors."""

  def __init__(self, stream: np.ndarray, length: int) -> None:
    self.stream, self.length = torch.from_numpy(stream), length

  def __len__(self) -> int:
    return len(self.stream) - self.length

  def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
    return self.example(self.stream[index : index + self.length + 1])

  def example(self, window: torch.Tensor) -> dict[str, torch.Tensor]:
    targets = window[..., 1:]
    return {
      'inputs': window[..., :-1],
      'targets': targets,
      'weights': (targets != START).float(),
    }


class Gathered(Windows):
  """The same, a batch at once."""

  def __getitems__(self, indices: list[int]) -> dict[str, torch.Tensor]:
    steps = torch.arange(self.length + 1)
    return self.example(self.stream[torch.tensor(indices)[:, None] + steps])


def as_it_is(batch: Any) -> Any:
  return batch


Make = Callable[[int], tuple[Iterator[Any], Callable[[], None]]]


def loaders(stream: np.ndarray, length: int, batch_size: int) -> dict[str, Make]:
  """Returns what makes each loader, and ends it, given a number of workers."""
  windows = StreamWindows([stream[1:]], length)
  splits = {'train': windows, 'test': windows}
  dataset = data.Dataset('tokens', 'language_model', (), splits)

  def ours(workers: int) -> tuple[Iterator[Any], Callable[[], None]]:
    batches = data.train_batches(dataset, batch_size, 0, num_workers=workers)
    return batches, batches.close

  def torchs(workers: int, kind: type[Windows], **options: Any) -> Any:
    loader = torch.utils.data.DataLoader(
      kind(stream, length),
      batch_size,
      shuffle=True,
      num_workers=workers,
      # As Grain's: jax has threads, which a fork would not survive.
      multiprocessing_context='spawn' if workers else None,
      **options,
    )
    return itertools.chain.from_iterable(itertools.repeat(loader)), lambda: None

  def grains(workers: int) -> tuple[Iterator[Any], Callable[[], None]]:
    examples = grain.MapDataset.source(windows).seed(0).shuffle().repeat()
    batches = examples.batch(batch_size).to_iter_dataset(
      grain.ReadOptions(num_threads=4, prefetch_buffer_size=4)
    )
    iterator: Any = iter(batches.mp_prefetch(grain.MultiprocessingOptions(workers)))
    return iterator, iterator.close

  return {
    'torch': functools.partial(torchs, kind=Windows),
    'torch, gathering': functools.partial(torchs, kind=Gathered, collate_fn=as_it_is),
    'grain': grains,
    'convscan': ours,
  }


def seconds(make: Make, workers: int, count: int) -> float:
  """Returns the seconds of a batch."""
  batches, close = make(workers)
  for _ in range(WARM_UP):
    next(batches)
  began = time.perf_counter()
  for _ in range(count):
    next(batches)
  took = time.perf_counter() - began
  del batches
  close()
  return took / count


def markdown(results: dict[str, Any]) -> str:
  size = results['settings']['batch_size']
  lines = []
  for case, times in results['times'].items():
    name, workers = case.rsplit(' ', 1)
    base = results['times'][f'torch {workers}']
    rate = size / statistics.median(times)
    lines.append([name, workers, f'{rate:,.0f}', f'{1 / ratio(times, base):.2f}'])
  parts = ['# Loading windows of tokens']
  for part in ('machine', 'versions', 'settings'):
    facts = ', '.join(f'{k} {v}' for k, v in results[part].items())
    parts.append(f'{part.capitalize()}: {facts}.')
  parts += [NOTE, table(['', 'workers', 'examples a second', 'ratio'], lines)]
  parts.append(f'Spread of the rounds: {spread(results["times"].values()):.1f}.')
  return '\n\n'.join(parts) + '\n'


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
  here = pathlib.Path(__file__).parent
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  add = functools.partial(parser.add_argument, metavar='...')
  add('--length', type=int, default=256, help='tokens in a window')
  add('--batch-size', type=int, default=64)
  add('--tokens', type=int, default=2_000_000, help='in the array')
  add('--batches', type=int, default=1500, help='timed in a round')
  add('--workers', type=int, nargs='+', default=[0, 2])
  add('--rounds', type=int, default=5)
  add('--out', type=pathlib.Path, default=here / 'results')
  return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
  args = parse(argv)
  here = machine()
  if here['load'] > 0.3 * num_cores():
    print(f'the machine is busy: load {here["load"]}')
  flags.FLAGS.mark_as_parsed()  # Grain's worker processes read absl's flags
  torch.set_num_threads(1)
  rng = np.random.default_rng(0)
  stream = rng.integers(1, 100, args.tokens).astype(np.int32)
  stream[0] = START
  makers = loaders(stream, args.length, args.batch_size)
  cases = [(name, workers) for workers in args.workers for name in makers]
  times: dict[str, list[float]] = {f'{name} {workers}': [] for name, workers in cases}
  for i in range(args.rounds):
    for name, workers in cases[i % len(cases) :] + cases[: i % len(cases)]:
      took = seconds(makers[name], workers, args.batches)
      times[f'{name} {workers}'].append(took)
    rates = (f'{case}: {args.batch_size / ts[-1]:,.0f}' for case, ts in times.items())
    print(f'round {i + 1} of {args.rounds}: {"  ".join(rates)}', flush=True)
  results: dict[str, Any] = {
    'machine': here,
    'versions': versions(['grain', 'numpy', 'torch']),
    'settings': {k: v for k, v in vars(args).items() if k != 'out'},
    'times': times,
  }
  page = markdown(results)
  print(page)
  print('results in', write('token-loading', results, page, args.out))


if __name__ == '__main__':
  main()
