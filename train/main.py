"""Trains what a config file names.

    python -m convscan.train.main --config=digits_lenet --workdir=runs/digits
    python -m convscan.train.main --config=my.py --workdir=DIR --config.seed=1

The same command again goes on where the run was stopped.
"""

from ml_collections import ConfigDict

from .allocator import keep_freed_memory
from .flags import define_config, define_workdir, run


def main(config: ConfigDict, workdir: str) -> None:
  """Trains."""
  keep_freed_memory()
  from .loop import train_and_evaluate  # flags are checked before jax is loaded

  train_and_evaluate(config, workdir)


if __name__ == '__main__':
  run(main, define_config(), define_workdir())
