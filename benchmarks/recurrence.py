"""The speed of the recurrent layers beside the peers', in one run.

    python benchmarks/recurrence.py --peers flax,torch --batch 32 --out /tmp/results

Every row is a cell at one size, in two passes: `forward`, and `gradient`, which is the
forward pass and the gradients of `sum(y**2)` with respect to parameters and inputs.
Inputs `[batch, time, hidden]` and outputs are batch-first everywhere. All peers are
timed in the same rounds; a ratio is the median over the rounds of the peer's time by
ours, so above 1 ours is faster. `limit` is the time of the bare GEMMs of the pass by
ours: near 1.0 the rest is hidden or gone. Results are written after every row.

Run it on a machine that does nothing else: torch's threads wait for each other in every
step, so a core that another process holds slows it a hundredfold.
"""

import argparse
import itertools
import math
import os
import pathlib
import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any

# Lets torch have a share of a GPU; XLA otherwise takes most of it at the start.
os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')

import jax
import jax.numpy as jnp
from jax import Array
from recurrence_peers import GATES, PASSES, PEERS, Call, gemms, variants
from rounds import (
  available_bytes,
  interleave,
  machine,
  num_cores,
  ratio,
  some_of,
  spread,
  table,
  versions,
  write,
)

BASE = 'ours/RNN'
NOTE = (
  'A ratio is the time of a peer by ours: above 1 ours is faster. `limit` is the time '
  'of the bare GEMMs, as XLA runs them in a loop, by ours: near 1.0 the rest is hidden '
  'or gone. `spread` is the slowest '
  'round by the median one, of the call where that is worst: large where something '
  'else ran. In bfloat16 the parameters and carries of ours and flax are float32, '
  'those of haiku and torch bfloat16.'
)


def inputs(batch: int, time: int, hidden: int, dtype: str) -> Array:
  return jax.random.normal(jax.random.key(1), (batch, time, hidden), jnp.dtype(dtype))


def bytes_needed(cell: str, batch: int, hidden: int, time: int) -> int:
  """Estimates, generously, what the hungriest peer's gradient holds at once."""
  gates = GATES[cell]
  activations = (6 * gates + 10) * time * batch * hidden
  return 4 * (activations + 8 * 2 * gates * hidden**2)


def compare(times: dict[str, list[float]], peers: Sequence[str]) -> dict[str, Any]:
  """Returns the medians of all, and the ratio of each peer's fastest variant."""
  medians = {name: statistics.median(ts) for name, ts in times.items()}
  ratios = {}
  for peer in peers:
    own = [name for name in times if name.split('/')[0] == peer]
    fastest = min(own, key=medians.__getitem__)
    ratios[peer] = ratio(times[fastest], times[BASE])
  return {
    'rounds': len(times[BASE]),
    'seconds': medians,
    'ratios': ratios,
    'spread': spread(times.values()),
  }


def measure(cell: str, x: Array, args: argparse.Namespace) -> dict[str, dict[str, Any]]:
  """Measures one row; returns its passes."""
  models, bare = variants(cell, x, args.peers), gemms(cell, x)
  measured = {}
  for name, passes in models.items():
    shape = tuple(passes['forward']().shape)
    assert shape == x.shape, (name, shape)
  for key in PASSES:
    calls = {name: passes[key] for name, passes in models.items()} | {'gemm': bare[key]}
    times = interleave(calls, args.rounds, max_seconds=args.max_seconds)
    measured[key] = compare(times, args.peers)
    measured[key]['limit'] = ratio(times['gemm'], times[BASE])
  return measured


def measure_compilation(cell: str, args: argparse.Namespace) -> list[dict[str, Any]]:
  """Times tracing, lowering and compiling, which hardly depend on the sizes."""
  x = inputs(args.batch[0], args.time[0], args.hidden[0], args.dtype)
  models = variants(cell, x, ['flax'])
  rows = []
  for key in PASSES:
    calls: dict[str, Call] = {name: p[key].compile for name, p in models.items()}
    times = interleave(calls, min(args.rounds, 5), min_seconds=0)
    rows.append({'cell': cell, 'pass': key, **compare(times, ['flax'])})
  return rows


def summarize(rows: Sequence[dict[str, Any]], peers: Sequence[str]) -> list[list[str]]:
  """Returns the lines `cell, pass, geometric mean (minimum) of each ratio`."""

  def mean(values: Sequence[float]) -> str:
    if not values:
      return '-'
    return f'{statistics.geometric_mean(values):.2f} ({min(values):.2f})'

  lines = []
  cells = list(dict.fromkeys(row['cell'] for row in rows))
  for cell, key in itertools.product([*cells, 'all'], [*PASSES, 'both']):
    some = [
      r for r in rows if cell in (r['cell'], 'all') and key in (r['pass'], 'both')
    ]
    ratios = [[r['ratios'][peer] for r in some] for peer in peers]
    every = [x for values in ratios for x in values]
    limits = [r['limit'] for r in some]
    lines.append([cell, key, *map(mean, ratios), mean(every), mean(limits)])
  return lines


def markdown(results: dict[str, Any]) -> str:
  peers = results['settings']['peers']
  done = [row for row in results['rows'] if 'ratios' in row]
  sizes = ('cell', 'batch', 'hidden', 'time')
  lines = [
    [*(row[k] for k in (*sizes, 'pass')), f'{1e3 * row["seconds"][BASE]:.3g}']
    + [f'{row["ratios"][peer]:.2f}' for peer in peers]
    + [f'{row["limit"]:.2f}', row['rounds'], f'{row["spread"]:.1f}']
    for row in done
  ]
  compiled = [
    [
      *(row['cell'], row['pass']),
      *(f'{row["seconds"][BASE]:.2f}', f'{row["ratios"]["flax"]:.2f}'),
    ]
    for row in results['compilation']
  ]
  parts = ['# Recurrent layers beside their peers']
  for part in ('machine', 'versions', 'settings', 'left_out'):
    facts = ', '.join(f'{k} {v}' for k, v in results[part].items())
    parts += [f'{part.replace("_", " ").capitalize()}: {facts}.'] if facts else []
  parts += [
    NOTE,
    'Geometric means, and minima in brackets:',
    table(['cell', 'pass', *peers, 'all peers', 'limit'], summarize(done, peers)),
    'All rows:',
    table([*sizes, 'pass', 'ours, ms', *peers, 'limit', 'rounds', 'spread'], lines),
  ]
  if compiled:
    parts += [
      'Tracing and compiling, with cold caches, at the first size:',
      table(['cell', 'pass', 'ours, s', 'flax'], compiled),
    ]
  skipped = [row for row in results['rows'] if 'skipped' in row]
  if skipped:
    parts += [
      'Skipped:',
      table([*sizes, 'why'], ([*(r[k] for k in sizes), r['skipped']] for r in skipped)),
    ]
  return '\n\n'.join(parts) + '\n'


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
  def sizes(text: str) -> list[int]:
    return [int(size) for size in text.split(',')]

  here = pathlib.Path(__file__).parent
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  add = partial(parser.add_argument, metavar='...')
  add('--cells', type=partial(some_of, list(GATES)), default=list(GATES))
  add('--batch', type=sizes, default=[1, 32, 128])
  add('--hidden', type=sizes, default=[128, 512, 1024])
  add('--time', type=sizes, default=[64, 512])
  add('--rounds', type=int, default=9)
  add('--max-seconds', type=float, default=120, help='of a row and pass')
  add('--max-gflop', type=float, default=math.inf, help='of a gradient; else skipped')
  add('--dtype', choices=('float32', 'bfloat16'), default='float32')
  add('--peers', type=partial(some_of, list(PEERS)), default=list(PEERS))
  add('--out', type=pathlib.Path, default=here / 'results')
  return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
  args = parse(argv)
  # What is timed as compilation must not come from a disk.
  jax.config.update('jax_enable_compilation_cache', False)
  left_out = {}
  for peer in args.peers:
    try:
      PEERS[peer]('lstm', inputs(1, 1, 8, args.dtype))
    except ImportError as error:
      left_out[peer] = str(error)
      print(f'{peer} is left out: {error}')
  args.peers = [peer for peer in args.peers if peer not in left_out]
  results: dict[str, Any] = {
    'machine': machine(),
    'versions': versions(['jax', 'jaxlib', 'flax', 'dm-haiku', 'torch']),
    'settings': {k: v for k, v in vars(args).items() if k != 'out'},
    'left_out': left_out,
    'compilation': [],
    'rows': [],
  }
  if results['machine']['load'] > 0.3 * num_cores():
    print(f'the machine is busy: load {results["machine"]["load"]}; torch suffers most')
  paths = write('recurrence', results, markdown(results), args.out)
  if 'flax' in args.peers:
    for cell in args.cells:
      results['compilation'] += measure_compilation(cell, args)
      paths = write('recurrence', results, markdown(results), args.out)
  for cell, batch, hidden, time in itertools.product(
    args.cells, args.batch, args.hidden, args.time
  ):
    row = {'cell': cell, 'batch': batch, 'hidden': hidden, 'time': time}
    title = f'{cell} batch={batch} hidden={hidden} time={time}'
    need, have = bytes_needed(cell, batch, hidden, time), available_bytes()
    gflop = 12e-9 * time * batch * GATES[cell] * hidden**2
    if need > 0.8 * have or gflop > args.max_gflop:
      why = f'needs about {need / 1e9:.1f} GB of {have / 1e9:.1f}'
      if gflop > args.max_gflop:
        why = f'a gradient takes {gflop:.0f} GFLOP'
      results['rows'].append({**row, 'skipped': why})
      print(f'{title}: skipped, {why}', flush=True)
    else:
      x = inputs(batch, time, hidden, args.dtype)
      for key, measured in measure(cell, x, args).items():
        results['rows'].append({**row, 'pass': key, **measured})
        ratios = ' '.join(f'{p} {r:.2f}' for p, r in measured['ratios'].items())
        took = f'{1e3 * measured["seconds"][BASE]:.3g} ms'
        print(
          f'{title} {key}: {took}; {ratios} limit {measured["limit"]:.2f}', flush=True
        )
    paths = write('recurrence', results, markdown(results), args.out)
  print('\n' + markdown(results))
  print(f'written: {paths}')


if __name__ == '__main__':
  main()
