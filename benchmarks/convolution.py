"""The speed of the convolutional networks beside the peers', in one run.

    python benchmarks/convolution.py --networks resnet50,vgg11 --out /tmp/results

Every row is a network in one of two passes: `training` is a step of SGD with momentum,
with the batch's statistics and the networks' own dropout; `inference` is the logits.
`flax` is the same network of `flax.linen.Conv`, `flax.linen.BatchNorm` and flax's
pooling; `torch` is torchvision's, channels last. All are timed in the same rounds; a
ratio is the median over the rounds of the peer's time by ours, so above 1 ours is
faster. On CPUs all run under the memory allocator's settings that training has, unless
`--allocator default` is given. Results are written after every row.

Run it on a machine that does nothing else: torch's threads wait for each other in every
layer, so a core that another process holds slows it a hundredfold.
"""

import argparse
import os
import pathlib
import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any

# Lets torch have a share of a GPU; XLA otherwise takes most of it at the start.
os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')

import jax
import numpy as np
from convolution_peers import PASSES, Jax, Torch
from rounds import (
  interleave,
  machine,
  num_cores,
  ratio,
  some_of,
  spread,
  table,
  write,
)
from rounds import versions as versions_of

from convscan.train.allocator import keep_freed_memory

NETWORKS = (
  'resnet18',
  'resnet50',
  'vgg11',
  'densenet121',
  'mobilenet_v2',
  'efficientnet_b0',
  'shufflenet_v2_x1_0',
  'convnext_tiny',
  'regnet_y_400mf',
)
PEERS = ('flax', 'torch')
NOTE = (
  'A ratio is the time of a peer by ours: above 1 ours is faster. `spread` is the '
  'slowest round by the median one, of the call where that is worst: large where '
  'something else ran. Compile times are of one pass, traced and compiled without a '
  'cache; memory is what the pass needs besides its arguments, by the plan of XLA.'
)


def measure(name: str, args: argparse.Namespace) -> list[dict[str, Any]]:
  """Measures a network; returns a row for each pass."""
  shape = (args.batch, args.size, args.size, 3)
  images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
  compiled = {'ours': Jax(name, images, args.dtype)}
  if 'flax' in args.peers:
    compiled['flax'] = Jax(name, images, args.dtype, flax=True)
  networks: dict[str, Any] = dict(compiled)
  if 'torch' in args.peers:
    networks['torch'] = Torch(name, images, args.dtype)
  rows = []
  for key in PASSES:
    calls = {peer: getattr(network, key) for peer, network in networks.items()}
    times = interleave(calls, args.rounds, max_seconds=args.max_seconds)
    rows.append({
      'network': name,
      'pass': key,
      'rounds': len(times['ours']),
      'seconds': {peer: statistics.median(ts) for peer, ts in times.items()},
      'ratios': {peer: ratio(times[peer], times['ours']) for peer in args.peers},
      'spread': spread(times.values()),
      'compile_seconds': {peer: n.seconds[key] for peer, n in compiled.items()},
      'peak_mib': {peer: n.peak_bytes[key] / 2**20 for peer, n in compiled.items()},
    })  # fmt: skip
  return rows


def summarize(rows: Sequence[dict[str, Any]], peers: Sequence[str]) -> list[list[str]]:
  """Returns the lines `pass, geometric mean (least) of each peer's ratios`."""
  lines = []
  for key in PASSES:
    ratios = {p: [r['ratios'][p] for r in rows if r['pass'] == key] for p in peers}
    lines.append(
      [key]
      + [f'{statistics.geometric_mean(v):.2f} ({min(v):.2f})' for v in ratios.values()]
    )
  return lines


def markdown(results: dict[str, Any]) -> str:
  peers, rows = results['settings']['peers'], results['rows']

  def pair(values: dict[str, float], digits: int) -> str:
    return ' / '.join(f'{value:.{digits}f}' for value in values.values())

  lines = [
    [row['network'], row['pass'], f'{1e3 * row["seconds"]["ours"]:.1f}']
    + [f'{row["ratios"][peer]:.2f}' for peer in peers]
    + [pair(row['compile_seconds'], 1), pair(row['peak_mib'], 0)]
    + [row['rounds'], f'{row["spread"]:.1f}']
    for row in rows
  ]
  compiled = ' / '.join(['ours', *(['flax'] if 'flax' in peers else [])])
  parts = ['# Convolutional networks beside their peers']
  for part in ('machine', 'versions', 'settings'):
    facts = ', '.join(f'{k} {v}' for k, v in results[part].items())
    parts.append(f'{part.capitalize()}: {facts}.')
  header = ['network', 'pass', 'ours, ms', *peers]
  header += [f'compiling, s: {compiled}', f'memory, MiB: {compiled}']
  parts += [
    NOTE,
    'Geometric means, and minima in brackets:',
    table(['pass', *peers], summarize(rows, peers)),
    table([*header, 'rounds', 'spread'], lines),
  ]
  return '\n\n'.join(parts) + '\n'


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
  here = pathlib.Path(__file__).parent
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  add = partial(parser.add_argument, metavar='...')
  add('--networks', type=partial(some_of, NETWORKS), default=list(NETWORKS))
  add('--peers', type=partial(some_of, PEERS), default=list(PEERS))
  add('--batch', type=int, default=16)
  add('--size', type=int, default=96, help='height and width of an image')
  add('--dtype', choices=('float32', 'bfloat16'), default='float32')
  add('--rounds', type=int, default=9)
  add('--max-seconds', type=float, default=60, help='of a network and pass')
  add('--allocator', choices=('training', 'default'), default='training')
  add('--out', type=pathlib.Path, default=here / 'results')
  return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
  args = parse(argv)
  if args.allocator == 'training':
    keep_freed_memory()
  # What is timed as compilation must not come from a disk.
  jax.config.update('jax_enable_compilation_cache', False)
  results: dict[str, Any] = {
    'machine': machine(),
    'versions': versions_of(['jax', 'jaxlib', 'flax', 'torch', 'torchvision']),
    'settings': {k: v for k, v in vars(args).items() if k != 'out'},
    'rows': [],
  }
  if results['machine']['load'] > 0.3 * num_cores():
    print(f'the machine is busy: load {results["machine"]["load"]}; torch suffers most')
  for name in args.networks:
    for row in measure(name, args):
      results['rows'].append(row)
      ratios = ' '.join(f'{p} {r:.2f}' for p, r in row['ratios'].items())
      took = f'{1e3 * row["seconds"]["ours"]:.1f} ms'
      print(f'{name} {row["pass"]}: {took}; {ratios}', flush=True)
    paths = write('convolution', results, markdown(results), args.out)
    jax.clear_caches()
  print('\n' + markdown(results))
  print(f'written: {paths}')


if __name__ == '__main__':
  main()
