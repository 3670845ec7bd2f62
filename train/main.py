"""Trains what a config file names.

    python -m convscan.train.main --config=digits_lenet --workdir=runs/digits
    python -m convscan.train.main --config=my.py --workdir=DIR --config.seed=1

The same command again goes on where the run was stopped. SIGTERM and Ctrl-C save first;
a second Ctrl-C does not.
"""

from absl import flags
from ml_collections import ConfigDict

from .allocator import keep_freed_memory
from .distributed import processes
from .flags import define_config, define_workdir, run

DISTRIBUTED = flags.DEFINE_bool(
  'distributed', True, 'join the processes of a cluster, or be the only one of one'
)
COORDINATOR_ADDRESS = flags.DEFINE_string(
  'coordinator_address', None, 'host:port of process 0, where JAX does not find it'
)
NUM_PROCESSES = flags.DEFINE_integer('num_processes', None, 'how many there are')
PROCESS_ID = flags.DEFINE_integer('process_id', None, 'which one this is, from 0')
HEARTBEAT_SECONDS = flags.DEFINE_integer(
  'heartbeat_seconds', 30, 'the silence after which a process counts as dead'
)
STOPPED_STATUS = flags.DEFINE_integer(
  'stopped_status', 0, 'the exit status of a run that SIGTERM stopped, and that goes on'
)


def main(config: ConfigDict, workdir: str) -> None:
  """Trains, as the one process of a run or as one of several."""
  keep_freed_memory()
  with processes(
    DISTRIBUTED.value,
    COORDINATOR_ADDRESS.value,
    NUM_PROCESSES.value,
    PROCESS_ID.value,
    HEARTBEAT_SECONDS.value,
    STOPPED_STATUS.value,
  ) as stop:
    from .loop import train_and_evaluate  # flags are checked before jax is loaded

    train_and_evaluate(config, workdir, stop)


if __name__ == '__main__':
  run(main, define_config(), define_workdir())
