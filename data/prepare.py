"""Downloads and prepares a dataset, so that a run finds it ready.

    python -m convscan.data.prepare NAME [--data_dir=DIR] [--OPTION=VALUE]

`NAME --help` shows the options of a dataset, those that a config has in `config.data`.
What is prepared already is left as it is.
"""

from absl import flags

from .commands import run
from .dataset import Dataset
from .prepared import opened
from .summary import summary


def main(dataset: Dataset, values: flags.FlagValues) -> None:
  """Says what there is now, and where."""
  print(summary(dataset))
  if opened:
    print(f'ready, in {", ".join(opened)}')
  else:
    print('ready: there is nothing to prepare, it is read or made when it is used')


if __name__ == '__main__':
  run(main, str(__doc__))
