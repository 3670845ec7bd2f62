"""The processes of a run: how they find each other, and how they agree to stop."""

import contextlib
import dataclasses
import faulthandler
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import jax
from jax.experimental import multihost_utils

from .errors import ConfigError


def start(
  coordinator_address: str | None = None,
  num_processes: int | None = None,
  process_id: int | None = None,
  heartbeat_seconds: int = 30,
) -> None:
  """Joins the processes of a run; nothing may have touched a device before.

  Args:
    coordinator_address: `host:port` of process 0; with the next two it says all.
    num_processes: how many there are.
    process_id: which one this is, from 0.
    heartbeat_seconds: after how long without a sign of life a process is dead, and all
      others end.

  Without the first three, the cluster that JAX finds (a TPU slice, Slurm, ...) is
  joined; else this process is the only one, its coordinator bound to loopback. That
  takes 5 ms, and makes stopping the same for one process and for many.

  Raises:
    ConfigError: some of the three are given and some are not, or they do not fit.
  """
  given = (coordinator_address, num_processes, process_id)
  timeouts: dict[str, Any] = {'heartbeat_timeout_seconds': heartbeat_seconds}
  if heartbeat_seconds < 1:
    raise ConfigError(f'--heartbeat_seconds: {heartbeat_seconds}; expected 1 or more')
  if any(value is not None for value in given):
    if None in given:
      raise ConfigError(
        '--coordinator_address, --num_processes and --process_id: expected all three '
        f'or none, got {", ".join(map(repr, given))}'
      )
    if not 0 <= given[2] < given[1]:
      raise ConfigError(
        f'--process_id: {process_id}; expected 0 to {num_processes} - 1, one less than '
        '--num_processes'
      )
    jax.distributed.initialize(*given, **timeouts)
    # Where another process dies, JAX says so and aborts this one; absl would add the
    # stack of every thread.
    faulthandler.disable()
    return
  try:
    jax.distributed.initialize(**timeouts)
  except ValueError:  # JAX finds no cluster
    alone = f'127.0.0.1:{_free_port()}'
    jax.distributed.initialize(alone, 1, 0, coordinator_bind_address=alone, **timeouts)


def _free_port() -> int:
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    return s.getsockname()[1]


@dataclasses.dataclass
class StopSignals:
  """What asked a run to stop.

  Attributes:
    received: SIGTERM or SIGINT, if this process got one of them.
  """

  received: int | None = None

  def agreed(self, step: int) -> bool:
    """Returns whether all processes stop after this step; each is to ask at each step.

    A signal to any one stops all, a few steps later.
    """
    if jax.distributed.is_initialized():
      return multihost_utils.reached_preemption_sync_point(step)
    return self.received is not None

  @property
  def exit_status(self) -> int:
    """What the stopped command exits with: 130 after Ctrl-C, as in shells, or 0."""
    return 128 + signal.SIGINT if self.received == signal.SIGINT else 0


@contextlib.contextmanager
def stop_signals() -> Iterator[StopSignals]:
  """Notes SIGTERM, which preempted machines get, and SIGINT, which is Ctrl-C.

  A second SIGINT ends the process at once. Call it in the main thread, after `start`.
  """
  stop = StopSignals()
  joined = jax.distributed.is_initialized()

  def note(number: int, frame: Any) -> None:
    if stop.received == number == signal.SIGINT:
      os._exit(stop.exit_status)  # not by an exception: it would wait for the others
    stop.received = number
    if joined and number == signal.SIGINT:
      os.kill(os.getpid(), signal.SIGTERM)  # JAX's own notice, which reaches all

  # JAX has a handler for SIGTERM, once it is joined.
  numbers = (signal.SIGINT,) if joined else (signal.SIGINT, signal.SIGTERM)
  before = {number: signal.signal(number, note) for number in numbers}
  try:
    yield stop
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
