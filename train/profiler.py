"""A profiler's trace of some of a run's steps."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import jax

from .errors import ConfigError
from .metrics import logger


def check_profile(steps: Sequence[Any], num_steps: int) -> None:
  """Refuses what `config.profile` can't be.

  >>> check_profile((20, 15), 100)
  Traceback (most recent call last):
  convscan.train.errors.ConfigError: config.profile: (20, 15); expected (first, last), \
with 1 <= first <= last <= 100, the number of steps, or () for none
  """
  whole = all(type(step) is int for step in steps)
  if len(steps) == 0:
    return
  if len(steps) != 2 or not whole or not 1 <= steps[0] <= steps[1] <= num_steps:
    raise ConfigError(
      f'config.profile: {tuple(steps)}; expected (first, last), with 1 <= first <= '
      f'last <= {num_steps}, the number of steps, or () for none'
    )


class Profiler:
  """Writes a trace of some steps, from the first process, to `workdir/profile`.

  Args:
    workdir: the run's folder.
    steps: `(first, last)`, or `()` for no trace. A run that resumes between them has
      those that are left.
  """

  def __init__(self, workdir: str, steps: Sequence[int]) -> None:
    self._folder = os.path.join(os.path.abspath(workdir), 'profile')
    wanted = steps and jax.process_index() == 0
    if wanted:
      os.makedirs(self._folder, exist_ok=True)  # what can't be is known at once
    self._steps = range(steps[0], steps[1] + 1) if wanted else range(0)
    self._tracing = False

  @contextlib.contextmanager
  def step(self, step: int) -> Iterator[None]:
    """Encloses the work of a step, marked `train` in the trace, with its number."""
    if step in self._steps and not self._tracing:
      options = jax.profiler.ProfileOptions()
      options.python_tracer_level = 0  # each Python call: it slows what is measured
      jax.profiler.start_trace(self._folder, profiler_options=options)
      self._tracing = True
    with jax.profiler.StepTraceAnnotation('train', step_num=step):
      yield

  def after(self, step: int, results: Any) -> None:
    """Ends the trace if this was its last step, when the devices are done with it."""
    if self._tracing and step == self._steps[-1]:
      jax.block_until_ready(results)
      self.close()

  def close(self) -> None:
    """Writes the trace, if one was begun."""
    if self._tracing:
      self._tracing = False
      jax.profiler.stop_trace()
      logger().info(
        'profile in %s: `xprof --logdir` of that folder shows it (pip install xprof), '
        'as does ui.perfetto.dev its *.trace.json.gz',
        self._folder,
      )
