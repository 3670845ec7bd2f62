"""How the trials of a sweep stand: what is read from disk, as a table and as CSV."""

import csv
import dataclasses
import io
import math
import os
import re
import time
from collections.abc import Iterable, Sequence
from typing import Any

from .. import history
from ..errors import ConfigError, did_you_mean
from ..files import write
from . import records
from .plan import Trial, name_of

# Words of a metric's name, and what is better.
_BETTER = {
  'max': ('accuracy', 'f1', 'iou', 'r2'),
  'min': ('loss', 'mae', 'mase', 'rmse', 'perplexity', 'bits', 'error'),
}


@dataclasses.dataclass(frozen=True)
class Metric:
  """What trials are compared by.

  Attributes:
    name: as in `metrics.jsonl`.
    mode: 'max' or 'min', which is better.
  """

  name: str
  mode: str

  def score(self, value: float) -> float:
    """Returns a number of which more is better."""
    return value if self.mode == 'max' else -value


def make_metric(name: str, mode: str = 'auto') -> Metric:
  """Returns the metric of a name; `mode='auto'` takes from it which is better.

  >>> make_metric('eval/mean_iou').mode, make_metric('eval/bits_per_byte').mode
  ('max', 'min')

  Raises:
    ConfigError: the name says nothing of that.
  """
  if mode == 'auto':
    words = re.split(r'[/_]', name)
    for mode, known in _BETTER.items():
      if any(word in known for word in words):
        return Metric(name, mode)
    raise ConfigError(
      f'--metric: {name!r}, if that is its name, needs --mode=max or --mode=min'
    )
  return Metric(name, mode)


@dataclasses.dataclass(frozen=True)
class Row:
  """A trial, as it stands.

  Attributes:
    trial: which.
    state: see `records.state`.
    step: of the newest line of its metrics.
    num_steps: its last step, None before it has begun.
    curve: the metric by step, where it is finite: `(step, value)`.
    best: the best of it, with its step; None before there is one.
    seconds: how long its processes ran.
    reason: why it failed or was stopped.
  """

  trial: Trial
  state: str
  step: int
  num_steps: int | None
  curve: list[tuple[int, float]]
  best: tuple[int, float] | None
  seconds: float
  reason: str


def read_row(root: str, trial: Trial, metric: Metric) -> Row:
  """Reads how a trial stands."""
  workdir = os.path.join(root, trial.name)
  lines, noted = history.read(workdir), records.read(root, trial.name)
  curve = [(m['step'], m[metric.name]) for m in lines if m.get(metric.name) is not None]
  state = records.state(root, trial.name)
  seconds = 0.0
  for attempt in noted['attempts']:
    lives = state == 'running' and attempt is noted['attempts'][-1]
    goes_on = lives and attempt['ended'] is None
    ended = time.time() if goes_on else records.ended(root, trial.name, attempt)
    seconds += max(0.0, ended - attempt['started'])
  return Row(
    trial=trial,
    state=state,
    step=max((m['step'] for m in lines), default=0),
    num_steps=records.num_steps(workdir),
    curve=curve,
    best=max(curve, key=lambda point: metric.score(point[1]), default=None),
    seconds=seconds,
    reason=records.reason(root, trial.name, state),
  )


def by_metric(rows: Iterable[Row], metric: Metric) -> list[Row]:
  """Returns the rows, the best first; those without a value last."""
  return sorted(
    rows, key=lambda row: -metric.score(row.best[1]) if row.best else math.inf
  )


def swept(rows: Iterable[Row]) -> list[str]:
  """Returns the keys that some trial overrides, in the order in which they come."""
  return list(dict.fromkeys(key for row in rows for key in row.trial.overrides))


def titles(keys: Sequence[str]) -> list[str]:
  """Returns a short name of each key.

  >>> titles(['optimizer.learning_rate', 'model.name', 'data.name'])
  ['learning_rate', 'model.name', 'data.name']
  """
  return [name_of({key: ''}, keys).removesuffix('=') for key in keys]


def as_text(rows: Sequence[Row], metric: Metric, limit: int | None = None) -> str:
  """Returns a table, the best first, of so many rows at most."""
  keys = swept(rows)
  head = [*titles(keys), 'state', 'step', metric.name, 'at step', 'time']
  lines = [head]
  for row in by_metric(rows, metric):
    values = [row.trial.overrides.get(key, '') for key in keys]
    best = [number(row.best[1]), str(row.best[0])] if row.best else ['', '']
    steps = f'{row.step}/{row.num_steps}' if row.num_steps else ''
    lines.append(
      [*(f'{v:.6g}' if isinstance(v, float) else str(v) for v in values),
       row.state, steps, *best, clock(row.seconds) if row.seconds else '']
    )  # fmt: skip
  hidden = len(lines) - 1 - limit if limit else 0
  if hidden > 0:
    del lines[-hidden:]
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  left = len(keys) + 1  # overrides and state; numbers stand on the right
  text = [
    '  '.join(
      cell.ljust(width) if i < left else cell.rjust(width)
      for i, (cell, width) in enumerate(zip(line, widths, strict=True))
    ).rstrip()
    for line in lines
  ]
  return '\n'.join([*text, f'... and {hidden} more'] if hidden > 0 else text)


def write_csv(root: str, rows: Sequence[Row], metric: Metric) -> str:
  """Writes `summary.csv`, the best first, and returns its path."""
  keys, out = swept(rows), io.StringIO()
  writer = csv.writer(out, lineterminator='\n')
  writer.writerow(
    ['trial', *keys, 'state', 'step', f'best {metric.name}', 'best step',
     f'last {metric.name}', 'seconds', 'reason']
  )  # fmt: skip
  for row in by_metric(rows, metric):
    values = [row.trial.overrides.get(key, '') for key in keys]
    step, best = row.best or ('', '')
    last = row.curve[-1][1] if row.curve else ''
    writer.writerow(
      [row.trial.name, *values, row.state, row.step, best, step, last,
       f'{row.seconds:.1f}', row.reason]
    )  # fmt: skip
  path = os.path.join(root, 'summary.csv')
  write(path, out.getvalue())
  return path


def unknown_metric(root: str, rows: Iterable[Row], metric: Metric) -> str:
  """Returns what to take in place of a metric that no trial has written, or ''."""
  written: set[str] = set()
  for row in rows:
    written.update(*history.read(os.path.join(root, row.trial.name)))
  kind, prefix, _ = metric.name.partition('/')
  kind = f'{kind}/' if prefix else 'eval/'
  # Of another kind there may be some, and none of this because it comes later.
  known = sorted(name for name in written if name.startswith(kind))
  if metric.name in written or not known:
    return ''
  guess = did_you_mean(metric.name, known)
  end = f';{guess}' if guess else '.'
  return (
    f'--metric: {metric.name!r}, which no trial has written{end} '
    f'There are {", ".join(known)}'
  )


def failures(root: str, rows: Iterable[Row], lines: int = 15) -> str:
  """Returns what became of trials that failed, with the end of the log of each."""
  parts = []
  for row in rows:
    if row.state != 'failed':
      continue
    log = records.path(root, row.trial.name, 'log')
    attempts = len(records.read(root, row.trial.name)['attempts'])
    said = f'{row.trial.name} failed: {row.reason} (attempts: {attempts}); {log} ends'
    end: list[Any] = ['(there is none)']
    if os.path.exists(log):
      with open(log, errors='replace') as f:
        end = f.read().splitlines()[-lines:]
    parts.append('\n'.join([said, *(f'  | {line}' for line in end)]))
  return '\n'.join(parts)


def number(value: float) -> str:
  """Returns a number in a few characters.

  >>> number(0.53214), number(1.385e31)
  ('0.5321', '1.385e+31')
  """
  return f'{value:.4f}' if abs(value) < 1e5 else f'{value:.4g}'


def clock(seconds: float) -> str:
  """Returns a duration.

  >>> clock(75), clock(3 * 3600)
  ('1:15', '3:00:00')
  """
  minutes, rest = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02}:{rest:02}' if hours else f'{minutes}:{rest:02}'
