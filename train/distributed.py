"""The processes of a run: how they start together, stop together, and end.

The one file that knows `jax.distributed`, signals, and what is private in them.
"""

import contextlib
import ctypes
import functools
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from absl import logging

from .errors import ConfigError, Stopped, in_one_line

_DEAD = (
  'convscan: another process of this run has ended, or can no longer be reached, so '
  'this one ends too. The same commands go on from the newest checkpoint\n'
)


@contextlib.contextmanager
def processes(
  distributed: bool,
  coordinator_address: str | None,
  num_processes: int | None,
  process_id: int | None,
  heartbeat_seconds: int,
  stopped_status: int = 0,
) -> Iterator[Callable[[int], bool]]:
  """Joins the processes of a run for a block, and gives it the end that they agree on.

  SIGTERM, as a machine sends it that is about to be taken away, and Ctrl-C stop the
  run: the function that the block gets, called by every process after every step, says
  at one and the same step that it is to save and to raise `Stopped`. That becomes exit
  status `stopped_status`, or 130 in the processes that got the Ctrl-C. A second Ctrl-C,
  or one before the first step, ends the process at once.

  With several processes, one that fails ends without waiting for the others; they end
  by `heartbeat_seconds` with one message and status 1.

  Call it in the main thread, and before JAX has used a device.

  Args:
    distributed: whether to start `jax.distributed`. Without it there is one process.
    coordinator_address: host and port of process 0. None is what the cluster says (a
      TPU pod, Slurm, Kubernetes, ...); without a cluster, one process by itself.
    num_processes: how many processes there are; None likewise.
    process_id: which of them this is; None likewise.
    heartbeat_seconds: a process that was silent for this long is dead.
    stopped_status: the exit status after SIGTERM. It is another than 0 where what
      started the run takes 0 for its end, and does not start it again.

  Raises:
    ConfigError: the arguments do not name a process of a group.
  """
  given = {
    'coordinator_address': coordinator_address,
    'num_processes': num_processes,
    'process_id': process_id,
  }
  _check(distributed, given, heartbeat_seconds)
  if not 0 <= stopped_status <= 125:
    raise ConfigError(f'--stopped_status: {stopped_status}; expected 0 to 125')
  stop = _Stop(distributed)
  try:
    if distributed:
      _start({k: v for k, v in given.items() if v is not None}, heartbeat_seconds)
    yield stop
  except Stopped:
    sys.exit(stop.status or stopped_status)
  except Exception as e:
    if not distributed or _process_count() == 1:
      raise
    _leave(e)


def _check(distributed: bool, given: dict[str, Any], heartbeat_seconds: int) -> None:
  if heartbeat_seconds < 1:
    raise ConfigError(f'--heartbeat_seconds: {heartbeat_seconds}; expected 1 or more')
  for name, value in given.items():
    if value is not None and not distributed:
      raise ConfigError(f'--{name} and --distributed=false exclude each other')
  address, count, index = given.values()
  host, _, port = (address or 'host:0').rpartition(':')
  if not (host and port.isdecimal()):
    raise ConfigError(f'--coordinator_address: {address!r}; expected HOST:PORT')
  if count is not None and count < 1:
    raise ConfigError(f'--num_processes: {count}; expected 1 or more')
  if index is not None and not 0 <= index < (count or index + 1):
    upto = 'or more' if count is None else f'to {count - 1}'
    raise ConfigError(f'--process_id: {index}; expected 0 {upto}')


def _start(given: dict[str, Any], heartbeat_seconds: int) -> None:
  named = bool(given) or 'JAX_COORDINATOR_ADDRESS' in os.environ
  if named:
    # Of XLA's own messages those alone that it dies of: the others come with a Python
    # error, or with a peer's death, which is told in one line.
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  import jax

  heartbeat: Any = {'heartbeat_timeout_seconds': heartbeat_seconds}
  try:
    with _one_message_at_a_peer_s_death():
      jax.distributed.initialize(**given, **heartbeat)
  except ValueError as e:  # what is not given was not found either
    if named:
      raise ConfigError(
        f'--coordinator_address, --num_processes and --process_id: {e} Give all three, '
        'or start in a cluster that JAX knows'
      ) from e
    _start_alone(heartbeat)


def _start_alone(heartbeat: dict[str, Any]) -> None:
  import jax

  # Else the devices of one process would talk through sockets, 20 times slower.
  jax.config.update('jax_cpu_collectives_implementation', None)
  # Else a proxy is asked for the way to this very machine.
  direct = f'127.0.0.1,{os.environ.get("no_proxy", "")}'
  os.environ['no_grpc_proxy'] = direct  # noqa: SIM112
  jax.config.update('jax_check_proxy_envs', False)
  with socket.socket() as held:
    # gRPC sets this too, so it can bind to the port while this holds it from others.
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(('127.0.0.1', 0))
    address = f'127.0.0.1:{held.getsockname()[1]}'
    jax.distributed.initialize(
      address, 1, 0, coordinator_bind_address=address, **heartbeat
    )


@contextlib.contextmanager
def _one_message_at_a_peer_s_death() -> Iterator[None]:
  """Has a process that its peers' death ends say so in one line, with status 1.

  JAX's own answer is a fatal error in C++, with a stack trace. Its client takes a
  callback instead, which is not public, and which jaxlib 0.10 can't call: it fails to
  make a Python object of the argument, and so ends in C++'s terminate handler. Where
  these two are not to be had, JAX's own answer comes.
  """

  def die(*unused: Any) -> None:
    os.write(2, _DEAD.encode())
    os._exit(1)

  try:
    from jax._src.lib import _jax

    original = _jax.get_distributed_runtime_client
    set_terminate = ctypes.CDLL('libstdc++.so.6')['_ZSt13set_terminatePFvvE']
  except (ImportError, AttributeError, OSError):
    yield
    return
  _handlers.append(ctypes.CFUNCTYPE(None)(die))
  set_terminate.restype = ctypes.c_void_p
  before = set_terminate(_handlers[-1])
  _jax.get_distributed_runtime_client = functools.partial(
    original, missed_heartbeat_callback=die
  )
  try:
    yield
  except Exception:  # it has no peers
    set_terminate(ctypes.c_void_p(before))
    raise
  finally:
    _jax.get_distributed_runtime_client = original


_handlers: list[Any] = []  # C++ holds them as long as the process lives


def _process_count() -> int:
  import jax

  return jax.process_count() if jax.distributed.is_initialized() else 1


def _leave(error: Exception) -> None:
  """Ends this process of several: an exit as usual would wait for the others first."""
  lost = ('Gloo', 'UNAVAILABLE', 'coordination service', 'Connection reset')
  status = 1
  if known := in_one_line(error):
    line, status = known
    print(f'convscan: {line}', file=sys.stderr)
  elif any(sign in str(error) for sign in lost):
    sys.stderr.write(_DEAD)
  else:
    traceback.print_exception(error)
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(status)


class _Stop:
  """Whether the run is to stop: called after each step, with its number.

  A thread acts on the signals, so that the second Ctrl-C is heard while the main thread
  compiles. With `jax.distributed` SIGTERM belongs to JAX, which agrees with the other
  processes on the step; the first Ctrl-C becomes a SIGTERM of our own.
  """

  def __init__(self, distributed: bool) -> None:
    self.status = 0
    self._distributed = distributed
    self._steps = 0
    self._asked = False
    ours = (signal.SIGINT,) if distributed else (signal.SIGINT, signal.SIGTERM)
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in ours:
      signal.signal(number, lambda *unused: None)
    threading.Thread(target=self._listen, args=(read,), daemon=True).start()

  def __call__(self, step: int) -> bool:
    self._steps += 1
    if not self._distributed:
      return self._asked
    from jax.experimental import multihost_utils

    agreed = multihost_utils.reached_preemption_sync_point(step)
    if agreed:
      logging.set_verbosity(logging.ERROR)  # orbax finds the same, and warns of it
    return agreed

  def _listen(self, read: int) -> None:
    while received := os.read(read, 1):
      number = received[0]
      if number not in (signal.SIGINT, signal.SIGTERM):
        continue
      interrupted = number == signal.SIGINT
      if not self._steps or (interrupted and self.status):
        os._exit(128 + number)
      self._asked = True
      if interrupted:
        self.status = 128 + number
        os.write(2, b'\nstopping after a checkpoint; Ctrl-C again stops at once\n')
        if self._distributed:
          os.kill(os.getpid(), signal.SIGTERM)
