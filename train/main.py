"""Trains what a config file names.

    python -m convscan.train.main --config=digits_lenet --workdir=runs/digits
    python -m convscan.train.main --config=my.py --workdir=DIR --config.seed=1

The same command again goes on where the run was stopped.
"""

from absl import flags

from .flags import define_config, define_workdir, run

_CONFIG = define_config()
_WORKDIR = define_workdir()
flags.mark_flag_as_required('config')


def main() -> None:
  """Trains."""
  from .loop import train_and_evaluate  # flags are checked before jax is loaded

  train_and_evaluate(_CONFIG.value, _WORKDIR.value)


if __name__ == '__main__':
  run(main)
