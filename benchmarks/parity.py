"""Compares every published network with torchvision's, and writes the table.

    python benchmarks/parity.py                            # what has no row yet
    python benchmarks/parity.py --networks resnet18 vgg11  # these, again

The rows are kept in `--rows`, so that a run may be stopped, or be made in parts. The
largest network, regnet_y_128gf, takes 15 GB of memory. Fails where a figure is wrong.
"""

import argparse
import csv
import gc
import json
import pathlib
import sys
from typing import Any

import jax
import torch
from rounds import machine, table, versions
from seeded import calibrate, logits_and_maps, make_images, norm_options, varies
from seeded import relative_error as error
from torch_networks import logits_and_maps as torch_logits_and_maps
from torch_networks import norm_options as torch_norm_options
from torch_networks import prepared

import convscan.architectures as arch

ROOT = pathlib.Path(__file__).parents[1]
FIGURES = ROOT / 'tests' / 'architectures' / 'cnn' / 'torchvision_cnn.csv'
ROWS = ROOT / 'benchmarks' / 'results' / 'parity.json'
OUT = ROOT / 'docs' / 'parity.md'
PACKAGES = ('jax', 'flax', 'torch', 'torchvision')
TOLERANCE = 1e-3
# The published count leaves out the auxiliary heads.
COUNTED = {'googlenet': {'aux_logits': False}}

PAGE = """# Parity with torchvision

Every classifier of torchvision's, built here by the same name, beside the original.
Both get the same weights, by `arch.weights.from_torch`, and the same images. Torch
computes in float64 and JAX in float32, on a CPU; so the errors are those of float32
here. An error is the largest difference of any number of an array from torchvision's,
over the largest of those; the worst case is shown.

- **Parameters, MACs**: counted here by `arch.summary`, and as published in the metadata
  of torchvision's weights. MACs are the multiply-accumulates, in thousand millions, for
  one image of the published size. The published parameters of googlenet leave out its
  auxiliary heads, those of inception_v3 do not.
- **Logits**: the error of the logits for two images of 75 x 67 pixels, and for two of
  64 x 80 (87 x 79 and 76 x 92 for inception_v3, whose minimum is 75).
- **Maps**: that of the feature maps of every stage, for the same images.
- **Statistics**: that of every layer's running mean and variance after a pass in
  training mode, of eight images of 96 x 96 pixels (108 x 108 for inception_v3). A
  variance here is the batch's own. Torch's is n/(n-1) times that, for n values a
  channel, and was multiplied by (n-1)/n. A dash is for a network without batch
  normalisation.
- **Top-1, top-5**: the accuracy on ImageNet in percent that is published for
  torchvision's default weights. It is quoted, and was not measured here.

{table}

Weights as they are initialised would prove little: the logits of some networks would be
the same for all images, to 14 digits. These are random at the scale of He et al. 2015,
with random biases and normalisation scales, and with the statistics of a batch; with
them the logits of the images differ.

Made by `python benchmarks/parity.py`, which fails where a count differs or an error is
not below {tolerance:g}: on {date}, {cpu},
{versions}.

The test suite has no torch. `tests/architectures/cnn/references_test.py` compares with
numbers that torchvision's networks gave in float64, which
`python benchmarks/record_references.py` recorded.
"""
HEADER = (
  'network',
  'parameters',
  'published',
  'MACs',
  'published',
  'logits',
  'maps',
  'statistics',
  'top-1',
  'top-5',
)


def compare(name: str, figures: dict[str, str]) -> dict[str, Any]:
  """Returns one network's row.

  Args:
    name: the network's.
    figures: its row of the published figures.

  Raises:
    ValueError: the logits are about the same for all images, or the normalisations have
      not the same options.
  """
  model: Any = arch.build(name)
  net = prepared(name, model.min_size, torch.float64)
  if torch_norm_options(net) not in (None, norm_options(model)):
    raise ValueError(f'{name}: the options of the normalisations differ')
  images = {size: make_images(size, model.min_size) for size in ('odd', 'even')}
  expected = {s: torch_logits_and_maps(net, name, x) for s, x in images.items()}
  shape = (1, *images['even'].shape[1:])
  variables = arch.weights.from_torch(model, net.state_dict(), shape)
  del net  # the largest are gigabytes
  evaluate = logits_and_maps(model)
  logit_errors, map_errors = [], []
  for size, (logits, maps) in expected.items():
    if not varies(logits):
      raise ValueError(f'{name}: the logits do not tell the images apart')
    our_logits, our_maps = evaluate(variables, images[size])
    logit_errors.append(error(our_logits, logits))
    map_errors += [error(*pair) for pair in zip(our_maps.values(), maps, strict=True)]
  statistics = variables.get('batch_stats', {})
  calibrated = calibrate(model, variables).get('batch_stats', {})
  statistics_errors = jax.tree.leaves(jax.tree.map(error, calibrated, statistics))
  size = int(figures['crop_size'])
  counted = arch.build(name, **COUNTED.get(name, {}))
  summary = arch.summary(counted, (1, size, size, 3))
  return {
    'num_params': summary.num_params,
    'macs': summary.macs,
    'logits': max(logit_errors),
    'maps': max(map_errors),
    'statistics': max(statistics_errors, default=None),
  }


def problems(row: dict[str, Any], figures: dict[str, str]) -> list[str]:
  """Names what is wrong in a row."""
  errors = {key: row[key] or 0.0 for key in ('logits', 'maps', 'statistics')}
  wrong = [key for key, value in errors.items() if not value < TOLERANCE]
  if row['num_params'] != int(figures['num_params']):
    wrong.append('num_params')
  digits = len(figures['gmacs'].partition('.')[2])
  if abs(row['macs'] / 1e9 - float(figures['gmacs'])) > 0.51 * 10**-digits:
    wrong.append('macs')
  return wrong


def cells(name: str, row: dict[str, Any], figures: dict[str, str]) -> list[str]:
  """Returns a line of the table."""
  errors = [row[key] for key in ('logits', 'maps', 'statistics')]
  return [
    name,
    f'{row["num_params"]:,}',
    f'{int(figures["num_params"]):,}',
    f'{row["macs"] / 1e9:.3f}',
    f'{float(figures["gmacs"]):.3f}',
    *('-' if value is None else f'{value:.0e}' for value in errors),
    *(f'{float(figures[key]):.3f}' for key in ('top1', 'top5')),
  ]


def page(kept: dict[str, Any], figures: dict[str, dict[str, str]]) -> str:
  """Returns the document."""
  rows = kept['rows']
  lines = [cells(name, rows[name], figures[name]) for name in figures if name in rows]
  return PAGE.format(
    table=table(HEADER, lines),
    tolerance=TOLERANCE,
    date=kept['machine']['date'][:10],
    cpu=kept['machine']['cpu'],
    versions=', '.join(
      f'{key} {value}' for key, value in sorted(kept['versions'].items())
    ),
  )


def main() -> int:
  """Compares, and writes after each network."""
  parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
  parser.add_argument('--networks', nargs='*', default=[], help='default: all others')
  parser.add_argument('--rows', type=pathlib.Path, default=ROWS)
  parser.add_argument('--out', type=pathlib.Path, default=OUT)
  arguments = parser.parse_args()
  figures = {r['name']: r for r in csv.DictReader(FIGURES.read_text().splitlines())}
  kept: dict[str, Any] = {}
  if arguments.rows.exists():
    kept = json.loads(arguments.rows.read_text())
  if kept.get('versions') != versions(PACKAGES):  # else a table would mix them
    kept = {'rows': {}}
  names = arguments.networks or [name for name in figures if name not in kept['rows']]
  for name in names:
    row = compare(name, figures[name])
    jax.clear_caches()
    gc.collect()
    kept['rows'][name] = row
    kept |= {'versions': versions(PACKAGES), 'machine': machine()}
    arguments.rows.write_text(json.dumps(kept, indent=2, sort_keys=True) + '\n')
    arguments.out.write_text(page(kept, figures))
    print(name, row, flush=True)
  wrong = {name: problems(row, figures[name]) for name, row in kept['rows'].items()}
  wrong = {name: found for name, found in wrong.items() if found}
  for name, found in wrong.items():
    print(f'{name}: {", ".join(found)}', file=sys.stderr)
  return bool(wrong)


if __name__ == '__main__':
  sys.exit(main())
