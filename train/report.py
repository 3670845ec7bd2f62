"""What a run says of itself: where it runs, how fast, and in how much memory."""

import contextlib
import math
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jax

from ..architectures.summary import Summary
from .machines import peak_flops


def model_flops(table: Summary, frozen: Collection[str] = ()) -> int:
  """Returns the FLOPs that training takes for one example, as they are counted.

  Two for each multiply-accumulate of a convolution or matrix product; and for each of
  the forward pass two more in the backward pass. That leaves out all other arithmetic,
  and whatever is computed twice to save memory. A module that is not trained counts for
  the forward pass alone.
  """
  return sum(
    2 * row.macs * (1 if row.path.partition('/')[0] in frozen else 3)
    for row in table.rows
  )


def start_line(mesh: jax.sharding.Mesh, params: Any, batch_size: int) -> str:
  """Says in one line on what a run runs, and how it is split.

  >>> import jax.numpy as jnp
  >>> from convscan.train.mesh import make_mesh
  >>> start_line(make_mesh(2), {'kernel': jnp.ones((10, 200))}, 64)
  '2 x cpu, mesh data=2 fsdp=1; 2,000 parameters, 2,000 a device; batch 64, 32 a device'
  """
  leaves = jax.tree.leaves(params)
  held = sum(math.prod(x.sharding.shard_shape(x.shape)) for x in leaves)
  processes = len({device.process_index for device in mesh.devices.flat})
  return (
    f'{mesh.size} x {mesh.devices.flat[0].device_kind}'
    + (f' in {processes} processes' if processes > 1 else '')
    + f', mesh {" ".join(f"{k}={v}" for k, v in mesh.shape.items())}'
    + f'; {sum(x.size for x in leaves):,} parameters, {held:,} a device'
    + f'; batch {batch_size:,}, {batch_size // mesh.size:,} a device'
  )


def peak_memory() -> dict[str, float]:
  """Returns the most memory that was in use, in GiB, by the name it is logged under.

  It is that of the fullest of this process's devices where they count it, else that
  of the process.
  """
  stats = [device.memory_stats() or {} for device in jax.local_devices()]
  peaks = [s['peak_bytes_in_use'] for s in stats if 'peak_bytes_in_use' in s]
  if peaks:
    return {'perf/device_memory_gib': max(peaks) / 2**30}
  if sys.platform == 'win32':
    return {}
  import resource

  unit = 1 if sys.platform == 'darwin' else 1024
  most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
  return {'perf/host_memory_gib': most / 2**30}


class Throughput:
  """Measures the speed of training between two lines of the log.

  Args:
    batch_size: the global one.
    flops: of the model in training, for one example; see `model_flops`. None where not
      all have as many.
    mesh: the devices.
  """

  def __init__(
    self, batch_size: int, flops: int | None, mesh: jax.sharding.Mesh
  ) -> None:
    self._batch_size = batch_size
    peak = peak_flops(mesh.devices.flat[0].device_kind)
    # In examples a second.
    self._peak_rate = peak and flops and peak * mesh.size / flops
    self._running = False

  def _restart(self) -> None:
    self._began = time.perf_counter()
    self._steps, self._waited, self._paused = 0, 0.0, 0.0

  def count(self) -> None:
    """Counts a step that is done; the first one, compiled, only starts the clock."""
    if self._running:
      self._steps += 1
    else:
      self._running = True
      self._restart()

  @contextlib.contextmanager
  def waiting(self) -> Iterator[None]:
    """Counts the time of this block as waiting for data."""
    began = time.perf_counter()
    yield
    if self._running:
      self._waited += time.perf_counter() - began

  @contextlib.contextmanager
  def paused(self) -> Iterator[None]:
    """Leaves out the time of this block, such as that of an evaluation."""
    began = time.perf_counter()
    yield
    if self._running:
      self._paused += time.perf_counter() - began

  def report(self) -> dict[str, float]:
    """Returns the speed since the last report, and the most memory in use so far.

    `perf/examples_per_second`, over all devices; `perf/model_flop_share`, of their
    peak in bfloat16, where it is known; `perf/data_wait_share` of the time; and the
    memory as `peak_memory` has it. None but the memory where no step was counted.
    """
    numbers = {}
    seconds = time.perf_counter() - self._began - self._paused
    if self._steps:
      rate = self._steps * self._batch_size / seconds
      numbers['perf/examples_per_second'] = rate
      if self._peak_rate:
        numbers['perf/model_flop_share'] = rate / self._peak_rate
      numbers['perf/data_wait_share'] = self._waited / seconds
    self._restart()
    return numbers | peak_memory()


_BRIEF = {
  'perf/examples_per_second': '{:,.0f} examples/s',
  'perf/model_flop_share': '{:.1%} of peak',
  'perf/data_wait_share': '{:.0%} waiting for data',
  'perf/device_memory_gib': '{:.2f} GiB a device',
  'perf/host_memory_gib': '{:.2f} GiB',
}


def brief(numbers: Mapping[str, float]) -> str:
  """Says what `Throughput.report` returned in a few words.

  >>> brief({'perf/examples_per_second': 5204.1, 'perf/data_wait_share': 0.031})
  '5,204 examples/s, 3% waiting for data'
  """
  return ', '.join(
    form.format(numbers[k]) for k, form in _BRIEF.items() if k in numbers
  )
