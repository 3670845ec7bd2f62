"""How a sweep is shown while it runs."""

import os
import sys
import time
from collections.abc import Sequence

from .table import Metric, Row, as_text, clock

_BEST = 10  # rows of a table between lines


class Screen:
  """A table that is drawn again on a terminal; elsewhere a line for each change.

  Args:
    metric: that trials are compared by.
    total: how many trials there will be.
    table_seconds: elsewhere the best are told too, so often at most.
  """

  def __init__(self, metric: Metric, total: int, table_seconds: float = 600) -> None:
    self._metric, self._total, self._table_seconds = metric, total, table_seconds
    self._told = time.monotonic()
    self._states: dict[str, str] = {}
    self._drawn = 0

  def show(self, rows: Sequence[Row]) -> None:
    """Shows how the trials stand."""
    if sys.stdout.isatty():
      self._draw(rows)
      return
    ended = self._ended(rows)
    news = False
    for row in rows:
      state, name = row.state, row.trial.name
      before = self._states.get(name)
      self._states[name] = state
      if state == before or (before is None and state in ('waiting', 'interrupted')):
        continue
      parts = [f'{name}: {state}']
      if state in ('finished', 'stopped') and row.best:
        parts.append(f'{self._metric.name} {row.best[1]:.4f} at step {row.best[0]}')
      parts += [row.reason] if row.reason else []
      parts += [clock(row.seconds)] if state != 'running' else []
      print(f'[{ended}/{self._total}] {", ".join(parts)}', flush=True)
      news = news or state != 'running'
    if news and time.monotonic() - self._told >= self._table_seconds:
      print(as_text(rows, self._metric, limit=_BEST), flush=True)
      self._told = time.monotonic()

  def clear(self) -> None:
    """Takes the table away."""
    if self._drawn:
      print(f'\x1b[{self._drawn}F\x1b[J', end='', flush=True)
      self._drawn = 0

  def _draw(self, rows: Sequence[Row]) -> None:
    width, height = os.get_terminal_size(sys.stdout.fileno())
    text = as_text(rows, self._metric, limit=max(1, height - 4))
    running = sum(row.state == 'running' for row in rows)
    text += f'\n{self._ended(rows)} of {self._total} have ended, {running} running'
    lines = [line[: width - 1] for line in text.splitlines()]
    self.clear()
    print('\n'.join(lines), flush=True)
    self._drawn = len(lines)

  def _ended(self, rows: Sequence[Row]) -> int:
    return sum(row.state in ('finished', 'stopped', 'failed') for row in rows)
