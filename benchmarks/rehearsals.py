"""Rehearses every shipped config on slices of TPUs, and writes the table.

    python benchmarks/rehearsals.py                          # what has no row yet
    python benchmarks/rehearsals.py --configs digits_lenet   # this, again

The rows are kept in `--rows`, so that a run may be stopped, or be made in parts. No TPU
is needed, but `pip install 'convscan[tpu]'` is.
"""

import argparse
import json
import pathlib
import string
import tempfile
from typing import Any

from convscan import data
from convscan.train import flags, topologies
from convscan.train.errors import ConfigError

ROOT = pathlib.Path(__file__).parents[1]
ROWS = ROOT / 'benchmarks' / 'results' / 'rehearsals.json'
OUT = ROOT / 'docs' / 'rehearsal.md'
TOPOLOGIES = ('v5e:4x4', 'v5p:2x2x2')
PACKAGES = ('jax', 'flax', 'libtpu')


def write_images(path: pathlib.Path) -> None:
  """Writes ten images of each of ten classes."""
  from PIL import Image

  for i in range(100):
    folder = path / f'class{i % 10}'
    folder.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (160, 160), (2 * i, 0, 0)).save(folder / f'{i}.png')


def write_series(path: pathlib.Path) -> None:
  """Writes a thousand hours of seven series."""
  names = [f'series{i}' for i in range(7)]
  rows = [f'{t},' + ','.join(str((t * (i + 3)) % 24) for i in range(7))
          for t in range(1000)]  # fmt: skip
  path.write_text('\n'.join([','.join(['hour', *names]), *rows]) + '\n')


def write_text(path: pathlib.Path) -> None:
  """Writes a text of a hundred characters, several times."""
  path.write_text(string.printable * 200)


# Configs for a person's own files: what writes an example of them, its name, and what
# the config is to know of it.
OWN_DATA = {
  'image_folder': (write_images, 'photos', {}),
  'series_csv': (write_series, 'series.csv', {'data.time': 'hour'}),
  'text_file': (write_text, 'book.txt', {}),
}
# What is too large to lie whole on every chip.
SPLIT = {'wikitext103_lstm'}

PAGE = """# Rehearsals

Every shipped config, compiled for slices of TPUs on a machine without one, by
`python benchmarks/rehearsals.py`. Compiled is what trains, by the same code; nothing
here was run on a TPU.

- **Mesh**: the chips along `data` and `fsdp`. It is the config's own, {split}.
- **Memory**: what a chip holds at most in a step, in GiB: the state, the batch and the
  next one, activations and temporaries, and the program; in an evaluation also a copy
  of what is evaluated. **Of**: what libtpu lets programs have.
- **Model FLOPs**: those of a training step on a chip, as they are counted: two for each
  multiply-accumulate, three times over. **Share**: of the FLOPs that are compiled, as
  XLA counts them, the products of loops in each round; above 100% where XLA leaves out
  products with padding and the gradient of inputs. **At peak**: the time that the
  model's take at least, in bfloat16, which is not what a step takes.
- **Sent**: by collectives of a training step, a chip, in MiB of the larger of what goes
  in and what comes out.
- **Compiled**: both steps, in seconds, on {cores} cores that did other things too.

{table}

{notes}

{versions}
"""
HEADER = (
  'config', 'slice', 'mesh', 'batch', 'parameters', 'training', 'evaluation', 'of',
  'fits', 'model FLOPs', 'share', 'at peak', 'sent', 'compiled',
)  # fmt: skip


def rehearse(
  name: str, topology: topologies.Topology, folder: pathlib.Path
) -> dict[str, Any]:
  """Returns the row of a config and a slice; where it can't be split so, why not.

  Args:
    name: the config's.
    topology: the slice.
    folder: where to write what stands for a person's own files.
  """
  from convscan.train import rehearsal
  from convscan.train.loop import build_dataset
  from convscan.train.machines import peak_flops
  from convscan.train.remedies import changed

  config = flags.load(flags.find(name))
  if name in OWN_DATA:
    write, file, told = OWN_DATA[name]
    path = folder / file
    write(path)
    config = changed(config, {'data.path': str(path), **told})
  if name in SPLIT:
    count = len(topologies.devices(topology))
    config = changed(config, {'mesh.data': 1, 'mesh.fsdp': count})
  try:
    dataset = build_dataset(config, data.declare)
    found = rehearsal.rehearse(config, dataset, topology)
  except ConfigError as error:
    return {'error': str(error)}
  peak, program = peak_flops(found.kind), found.training.program
  return {
    'mesh': [found.mesh['data'], found.mesh['fsdp']],
    'batch': found.batch_size,
    'parameters': found.num_params,
    'training': found.training.needs,
    'evaluation': found.evaluation.needs,
    'limit': found.limit,
    'flops': found.flops,
    'xla_flops': found.training.flops,
    'least_seconds': found.flops / peak if peak else None,
    'sent': sum(program.bytes.values()) if program else None,
    'compiled_seconds': found.training.seconds + found.evaluation.seconds,
  }


def line(name: str, where: str, row: dict[str, Any]) -> list[str]:
  """Returns a row as it is shown."""
  from convscan.train.rehearsal_text import duration

  least, sent, counted = row['least_seconds'], row['sent'], row['xla_flops']
  return [
    name,
    where,
    '{} x {}'.format(*row['mesh']),
    f'{row["batch"]:,}',
    f'{row["parameters"]:,}',
    f'{row["training"] / 2**30:.3f}',
    f'{row["evaluation"] / 2**30:.3f}',
    f'{row["limit"] / 2**30:.2f}',
    'yes' if max(row['training'], row['evaluation']) <= row['limit'] else '**no**',
    f'{row["flops"] / 1e9:,.2f} G',
    f'{row["flops"] / counted:.0%}' if counted else '-',
    '-' if least is None else duration(least),
    '-' if sent is None else f'{sent / 2**20:,.2f}',
    f'{row["compiled_seconds"]:.0f}',
  ]


def page(kept: dict[str, Any], table: Any) -> str:
  """Returns the document of all rows, by config and, within one, as they were asked."""
  cells, notes = [], []
  for name in sorted(kept['rows']):
    for where, row in kept['rows'][name].items():
      if 'error' in row:
        notes.append(f'- {name} on {where}: {row["error"]}.')
      else:
        cells.append(line(name, where, row))
  notes.append(
    f'- {", ".join(sorted(OWN_DATA))} train on files of yours. Here these are made up: '
    'ten classes of images, seven series, a text of a hundred characters.'
  )
  return PAGE.format(
    split=f'but {", ".join(sorted(SPLIT))} is split over all chips',
    cores=kept['machine']['cores'],
    table=table(HEADER, cells),
    notes='\n'.join(notes),
    versions=', '.join(f'{k} {v}' for k, v in kept['versions'].items()) + '.',
  )


def main() -> None:
  """Rehearses, and writes after each config and slice."""
  parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
  shipped = [*flags.shipped()]
  parser.add_argument('--configs', nargs='*', default=[], choices=shipped)
  parser.add_argument('--topologies', nargs='*', default=TOPOLOGIES)
  parser.add_argument('--rows', type=pathlib.Path, default=ROWS)
  parser.add_argument('--out', type=pathlib.Path, default=OUT)
  arguments = parser.parse_args()
  wanted = [topologies.parse(text) for text in arguments.topologies]
  topologies.prepare(wanted)
  # These load jax, which reads what was prepared.
  from rounds import machine, table, versions

  kept: dict[str, Any] = {}
  if arguments.rows.exists():
    kept = json.loads(arguments.rows.read_text())
  if kept.get('versions') != versions(PACKAGES):  # else a table would mix them
    kept = {'rows': {}}
  for name in arguments.configs or shipped:
    rows = kept['rows'].setdefault(name, {})
    for topology in wanted:
      if str(topology) in rows and not arguments.configs:
        continue
      with tempfile.TemporaryDirectory() as folder:
        rows[str(topology)] = rehearse(name, topology, pathlib.Path(folder))
      kept |= {'versions': versions(PACKAGES), 'machine': machine()}
      arguments.rows.write_text(json.dumps(kept, indent=1, sort_keys=True) + '\n')
      arguments.out.write_text(page(kept, table))
      print(name, topology, rows[str(topology)], flush=True)


if __name__ == '__main__':
  main()
