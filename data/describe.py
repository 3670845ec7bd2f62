"""Shows a dataset: its splits, classes and arrays, and examples drawn to a PNG.

The examples are a training batch, augmented as the dataset's options say.
`convscan.train.data_drawing` shows the batch of a config.

    python -m convscan.data.describe NAME [--data_dir=DIR] [--OPTION=VALUE] [--png=FILE]

It is prepared first if need be. `NAME --help` shows the options of a dataset.
"""

import os
import re

from absl import flags

from .commands import run
from .dataset import Dataset
from .drawing import draw
from .pipeline import train_batches
from .summary import arrays, summary

_SAMPLE = 256  # examples that values are taken from


def main(dataset: Dataset, values: flags.FlagValues) -> None:
  """Prints the tables, and draws the examples."""
  print(summary(dataset))
  size = min(_SAMPLE, len(dataset.splits['train']))
  batch = next(train_batches(dataset, size, seed=0, num_threads=0))
  print(f'\n{size} training examples{", augmented" if dataset.augment else ""}:')
  print(arrays(batch))
  path = values.png or re.sub(r'\W+', '_', dataset.name) + '.png'
  draw(dataset, batch, path)
  print(f'\nexamples drawn: {os.path.abspath(path)}')


def _define(values: flags.FlagValues) -> None:
  flags.DEFINE_string('png', '', 'the file to draw to', flag_values=values)


if __name__ == '__main__':
  run(main, str(__doc__), _define)
