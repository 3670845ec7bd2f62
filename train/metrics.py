"""Where the numbers of a run go: the terminal, `metrics.jsonl` and TensorBoard."""

import contextlib
import html
import json
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Collection, Iterator
from typing import Any

import jax
from tensorboardX import SummaryWriter
from tqdm import tqdm

from .history import FILE
from .history import read as read


class _ThroughTqdm(logging.StreamHandler):
  """Prints lines above the progress bar, not through it."""

  def emit(self, record: logging.LogRecord) -> None:
    tqdm.write(self.format(record), file=sys.stderr)


def logger() -> logging.Logger:
  """Returns the logger of the commands: lines on standard error, by process 0."""
  log = logging.getLogger('convscan')
  if not log.handlers:
    handler = _ThroughTqdm()
    handler.setFormatter(logging.Formatter('%(asctime)s  %(message)s', '%H:%M:%S'))
    log.addHandler(handler)
    log.propagate = False
    log.setLevel(logging.INFO if jax.process_index() == 0 else logging.WARNING)
  return log


@contextlib.contextmanager
def told(what: str, every: float = 60) -> Iterator[None]:
  """Logs what is done, such as 'compiling', and again after each so many seconds."""
  log, done, began = logger(), threading.Event(), time.monotonic()
  log.info(what)

  def tell() -> None:
    while not done.wait(every):
      log.info(
        '  still %s, for %.0f s', what.partition(' ')[0], time.monotonic() - began
      )

  thread = threading.Thread(target=tell, daemon=True)
  thread.start()
  try:
    yield
  finally:
    done.set()
    thread.join()


class Late:
  """Brings what steps computed to the host, a step late.

  When a step's results are asked for, the next step is already with the device: it
  never waits for the host, and the host is never more than a step ahead of it.

  >>> late = Late()
  >>> late.push((1, jax.numpy.ones(()))), late.push((2, jax.numpy.zeros(())))
  ([], [(1, array(1., dtype=float32))])
  >>> late.flush()
  [(2, array(0., dtype=float32))]
  """

  def __init__(self) -> None:
    self._last: list[Any] = []

  def push(self, results: Any) -> list[Any]:
    """Takes a step's results, a pytree; returns those before, as arrays of numpy."""
    ready, self._last = self._last, [results]
    return jax.device_get(ready)

  def flush(self) -> list[Any]:
    """Returns what was pushed last, waiting for it, unless it was returned before."""
    ready, self._last = self._last, []
    return jax.device_get(ready)


class MetricWriter:
  """Writes metrics as they come; process 0 alone does.

  Args:
    workdir: the run's folder.
    step: where the run resumes: later lines, written by a run that was killed before
      its next checkpoint, are dropped, since those steps come again.
    num_steps: the last step, for the progress bar.
  """

  def __init__(self, workdir: str, step: int, num_steps: int) -> None:
    self._active = jax.process_index() == 0
    if not self._active:
      return
    path = os.path.join(workdir, FILE)
    kept = [m for m in read(workdir) if m['step'] <= step]
    with open(path + '.new', 'w') as f:
      f.writelines(json.dumps(m) + '\n' for m in kept)
    os.replace(path + '.new', path)
    self._file = open(path, 'a', buffering=1)  # noqa: SIM115 (closed by close)
    self._events = SummaryWriter(
      os.path.join(workdir, 'tensorboard'), purge_step=step + 1
    )
    self._bar = tqdm(
      total=num_steps,
      initial=step,
      unit='step',
      disable=not sys.stderr.isatty(),
      mininterval=0.5,
      dynamic_ncols=True,
      leave=False,
    )

  def progress(self, step: int) -> None:
    """Moves the progress bar."""
    if self._active:
      self._bar.update(step - self._bar.n)

  def write(
    self,
    step: int,
    metrics: dict[str, float],
    note: str = '',
    hidden: Collection[str] = (),
  ) -> None:
    """Writes named numbers of one step; one that is not finite is null in JSON.

    The terminal does not show the hidden ones, and has the note instead of those whose
    names begin with `perf/`.
    """
    if not self._active:
      return
    finite = {k: v if math.isfinite(v) else None for k, v in metrics.items()}
    self._file.write(json.dumps({'step': step, **finite}) + '\n')
    for name, value in metrics.items():
      self._events.add_scalar(name, value, step)
    self._events.flush()  # a kill loses nothing that was shown
    shown = {
      name: value
      for name, value in metrics.items()
      if not name.startswith('perf/') and name not in hidden
    }
    words = [f'{name} {value:.4g}' for name, value in shown.items()]
    line = '  '.join([*words, note] if note else words)
    logger().info('step %d/%d  %s', step, self._bar.total, line)

  def text(self, step: int, name: str, text: str) -> None:
    """Shows a text on the terminal and in TensorBoard."""
    if self._active and text:
      self._events.add_text(name, f'<pre>{html.escape(text)}</pre>', step)
      logger().info('%s:\n%s\n', name, text)

  def close(self) -> None:
    """Flushes everything to disk."""
    if self._active:
      self._bar.close()
      self._file.close()
      self._events.close()
