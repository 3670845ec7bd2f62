"""Compiles a config's real steps for devices that need not be there.

    python -m convscan.train.rehearse --config=digits_resnet --topology=v5e:4x4
    python -m convscan.train.rehearse --config=my.py --topology=v5e:4x4,v5p:2x2x2
    python -m convscan.train.rehearse --config=my.py --topology=v5e --find=slice
    python -m convscan.train.rehearse --config=my.py --topology=v5e:4x4 --find=batch

Says what each device needs of its memory and whether that is there; what a step
computes, sends and at least takes; and, where it does not fit, what makes it.
No TPU is needed, but its compiler is: `pip install 'convscan[tpu]'`. No data are, of
sets whose size is known. `cpu`, `cpu:8` and `gpu` are this machine's own devices.
"""

import os
import signal

from absl import flags
from ml_collections import ConfigDict, config_flags

from . import topologies
from .errors import ConfigError, RunError
from .flags import define_config, keys, run
from .topologies import Topology

TOPOLOGY = flags.DEFINE_list(
  'topology', None, 'one or several of such as v5e:4x4, v5p:2x2x2, cpu, cpu:8, gpu'
)
FIND = flags.DEFINE_enum(
  'find', None, ['slice', 'batch'],
  'the smallest slice, of those given or of all, or the largest batch that fits',
)  # fmt: skip
REMEDIES = flags.DEFINE_bool('remedies', True, 'try what could make fit what does not')
flags.mark_flag_as_required('topology')


def main(config: ConfigDict) -> None:
  """Rehearses, and prints what was found.

  Raises:
    RunError: it does not fit, on all that was asked for.
  """
  # There is nothing to save, and Python's own handler would wait for the compiler.
  signal.signal(signal.SIGINT, signal.SIG_DFL)
  if not any(TOPOLOGY.value or ()):
    raise ConfigError('--topology: none; expected one or several, such as v5e:4x4')
  by_slice = FIND.value == 'slice'
  wanted = [topologies.parse(t, families=by_slice) for t in TOPOLOGY.value or ()]
  topologies.prepare(wanted)
  # Flags are checked, and the environment is set, before jax is loaded.
  from .. import data
  from . import rehearsal_text as text
  from .loop import build_dataset
  from .rehearsal import rehearse
  from .remedies import find_batch, find_slice, try_remedies

  path = config_flags.get_config_filename(flags.FLAGS['config'])
  name = os.path.basename(path).removesuffix('.py')
  dataset = build_dataset(config, data.declare)
  known, too_large = keys(config), []
  if by_slice:
    for family, slices in candidates(wanted).items():
      smallest = find_slice(config, dataset, slices)
      if smallest:
        print(text.report(name, smallest))
        print(f'the smallest slice of {family} that fits: {smallest.topology}\n')
      else:
        too_large.append(f'any slice of {family}, of {", ".join(map(str, slices))}')
  for topology in () if by_slice else wanted:
    rehearsal = rehearse(config, dataset, topology)
    print(text.report(name, rehearsal), flush=True)
    if FIND.value == 'batch':
      largest = find_batch(config, dataset, rehearsal)
      if largest:
        print(
          'the largest batch that fits and that the data has, of powers of two for a '
          f'device: {text.trial(largest, known)}'
        )
      else:
        too_large.append(f'{topology} in a batch of any size')
    elif not rehearsal.fits and REMEDIES.value:
      for tried in try_remedies(config, dataset, rehearsal):
        print(text.trial(tried, known), flush=True)
    if FIND.value != 'batch' and not rehearsal.fits:
      too_large.append(str(topology))
    print()
  if too_large:
    raise RunError(f'it does not fit on {"; nor on ".join(too_large)}')


def candidates(wanted: list[Topology]) -> dict[str, list[Topology]]:
  """Returns the slices among which to find the smallest, by their family.

  They are those that are given, where a family has several, or else all of it.

  >>> [str(t) for t in candidates([topologies.parse('v4:2x2x1')])['v4']][:3]
  ['v4:2x2x1', 'v4:2x2x2', 'v4:2x2x4']
  """
  return {
    family: topologies.by_size([t for t in wanted if t.family == family])
    for family in dict.fromkeys(t.family for t in wanted)
  }


if __name__ == '__main__':
  run(main, define_config())
