"""Trials on Ray: on this machine without any service, or on a cluster.

The one file that knows Ray. It keeps no state in it: a worker runs `trials.run`, which
leaves all that there is to know on disk, in a folder that all machines see.
"""

import os
import signal
import time
import warnings
from types import TracebackType
from typing import Any

from ..errors import ConfigError, RunError
from ..files import write
from . import records, trials

# How often Ray starts a trial again whose worker or machine was lost.
_LOST_RETRIES = 3
_STORE_BYTES = 100 * 2**20
_END_SECONDS = 150


class RayLauncher:
  """Starts trials, each with its share of a machine.

  Without `RAY_ADDRESS` Ray lives and dies with this process. It then listens on
  127.0.0.1 alone, and asks for a token of its own.

  Args:
    root: the sweep's folder, which gets the token.
    resources: what a trial takes: `cpus` and `gpus`, in shares, and `tpus`, chips.
    loopback: whether Ray, where it is started here, listens on 127.0.0.1 alone.

  Raises:
    ConfigError: Ray is not installed, or no machine has so much of a resource.
    RunError: it can't be reached.
  """

  def __init__(self, root: str, resources: dict[str, float], loopback: bool) -> None:
    self.address = os.environ.get('RAY_ADDRESS', '')
    self._root, self._resources = root, resources
    self._running: dict[Any, str] = {}
    _set_environment(root, self.address, loopback)
    try:
      import ray
    except ImportError as e:
      raise ConfigError(
        "--launcher=ray needs Ray: pip install 'convscan[sweep]', or --launcher=print"
      ) from e
    options: dict[str, Any] = {'log_to_driver': False, 'logging_level': 'ERROR'}
    if not self.address:
      # 'local': a cluster that someone has started here is not looked for.
      options |= {'address': 'local', 'include_dashboard': False}
      options |= {'object_store_memory': _STORE_BYTES}
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    with warnings.catch_warnings(action='ignore'):
      try:
        ray.init(**options)
      except (ConnectionError, RuntimeError, ValueError) as e:
        where = f'RAY_ADDRESS={self.address!r}: ' if self.address else ''
        raise RunError(f'{where}Ray: {str(e).strip().splitlines()[0]}') from e
    for number, handler in handlers.items():
      signal.signal(number, handler)
    self._ray = ray
    self._run = ray.remote(trials.run).options(
      num_cpus=resources['cpus'],
      num_gpus=resources['gpus'],
      resources={'TPU': resources['tpus']} if resources['tpus'] else None,
      max_retries=_LOST_RETRIES,
    )
    if not self.address and self.slots() == 0:
      have = self._have()
      self.close()
      raise ConfigError(
        f'this machine has {have}, and a trial asks for {self._asks()}: see '
        '--cpus_per_trial, --gpus_per_trial, --tpus_per_trial'
      )

  def __enter__(self) -> 'RayLauncher':
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self.close()

  def slots(self) -> int:
    """Returns how many trials the machines that are there now run at once."""
    have, count = self._ray.cluster_resources(), float('inf')
    for name, key in (('CPU', 'cpus'), ('GPU', 'gpus'), ('TPU', 'tpus')):
      if self._resources[key]:
        count = min(count, have.get(name, 0) // self._resources[key])
    return int(count)

  def start(self, job: trials.Job) -> None:
    """Has a trial run as soon as there is room."""
    self._running[self._run.remote(job)] = job.trial.name

  def wait(self, seconds: float) -> dict[str, str]:
    """Waits until a trial ends or some time has passed.

    Returns:
      For those that ended, by name, what was lost, or '' where nothing was.
    """
    if not self._running:
      return {}
    done, _ = self._ray.wait(list(self._running), timeout=seconds)
    ended = {}
    for reference in done:
      name = self._running.pop(reference)
      try:
        self._ray.get(reference)
        ended[name] = ''
      except self._ray.exceptions.RayError as e:
        ended[name] = (str(e).strip() or type(e).__name__).splitlines()[-1]
    return ended

  def close(self) -> None:
    """Has trials that run save and end, then ends what was started here."""
    deadline = time.monotonic() + _END_SECONDS
    try:
      # On disk, as all else: what Ray raises in a worker to cancel a task is lost where
      # Ctrl-C is ignored, as in what a shell starts in the background.
      while self._running and time.monotonic() < deadline:
        records.pause(self._root)
        self.wait(1)
    finally:
      self._ray.shutdown()

  def _have(self) -> str:
    have = self._ray.cluster_resources()
    return ', '.join(f'{have.get(k, 0):g} {k}' for k in ('CPU', 'GPU', 'TPU'))

  def _asks(self) -> str:
    return ', '.join(f'{v:g} {k}' for k, v in self._resources.items() if v)


def _set_environment(root: str, address: str, loopback: bool) -> None:
  """Sets what Ray reads when it is imported; what a user has set stays."""
  ours = {
    'RAY_USAGE_STATS_ENABLED': '0',
    'RAY_AUTH_MODE': 'token',
    'RAY_ENABLE_UV_RUN_RUNTIME_ENV': '0',  # else `uv run` is run again in each worker
    'RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO': '0',  # what is said today by a warning
  }
  if not address:
    # It counts what all programs take, and of ours sees the workers, not the trials:
    # when others take the memory it kills what takes none.
    ours['RAY_memory_monitor_refresh_ms'] = '0'
    if loopback:
      # Ray replaces 127.0.0.1, where it is given, by the machine's own address, but
      # not where it is not for clusters; the name is from when Linux alone was.
      ours['RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER'] = '0'
    if not {'RAY_AUTH_TOKEN', 'RAY_AUTH_TOKEN_PATH'} & os.environ.keys():
      ours['RAY_AUTH_TOKEN_PATH'] = _token(os.path.join(root, 'ray_token'))
  for name, value in ours.items():
    os.environ.setdefault(name, value)


def _token(path: str) -> str:
  """Writes a token that this user alone can read; one for each start."""
  before = os.umask(0o077)
  try:
    write(path, os.urandom(32).hex())
  finally:
    os.umask(before)
  return path
