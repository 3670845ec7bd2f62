"""Downloads and prepares a dataset, so that a run finds it ready.

    python -m convscan.data.prepare NAME [--data_dir=DIR] [--OPTION=VALUE]

`NAME --help` shows the options of a dataset, those that a config has in `config.data`.
What is prepared already is left as it is.
"""

from absl import flags

from .commands import run
from .dataset import Dataset
from .prepared import root
from .summary import summary


def main(dataset: Dataset, values: flags.FlagValues) -> None:
  """Says what there is now, and where."""
  print(summary(dataset))
  print(f'ready, in {root(values.data_dir)}')


if __name__ == '__main__':
  run(main, str(__doc__))
