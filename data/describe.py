"""Shows a dataset: its splits, classes and arrays, and examples drawn to a PNG.

    python -m convscan.data.describe NAME [--data_dir=DIR] [--OPTION=VALUE] [--png=FILE]

It is prepared first if need be. `NAME --help` shows the options of a dataset.
"""

import os
import re

from absl import flags

from .commands import run
from .dataset import Dataset
from .drawing import draw
from .summary import arrays, summary


def main(dataset: Dataset, values: flags.FlagValues) -> None:
  """Prints the tables, and draws the examples."""
  print(summary(dataset))
  print()
  print(arrays(dataset))
  path = values.png or re.sub(r'\W+', '_', dataset.name) + '.png'
  draw(dataset, path)
  print(f'\nexamples drawn: {os.path.abspath(path)}')


def _define(values: flags.FlagValues) -> None:
  flags.DEFINE_string('png', '', 'the file to draw to', flag_values=values)


if __name__ == '__main__':
  run(main, str(__doc__), _define)
