"""The pictures of a sweep: a metric beside the values that its trials override."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from ..figures import STYLE, save
from . import records
from .table import Metric, Row, by_metric, swept, titles

_BEST, _OTHER = '#c2410c', '#5b7f9f'
# Values whose largest is so many times the smallest are on a logarithmic axis.
_LOG_FROM = 10


@dataclasses.dataclass(frozen=True)
class Scale:
  """Where the values of a key are on its axis.

  Attributes:
    title: the key, in short.
    values: what trials override it with, numbers or, sorted, anything else.
    log: whether by their logarithms.
  """

  title: str
  values: list[Any]
  log: bool

  @property
  def numeric(self) -> bool:
    """Whether they are numbers."""
    return _numeric(self.values)

  @property
  def label(self) -> str:
    """What stands beside the axis."""
    return f'{self.title} (log)' if self.log else self.title

  def position(self, value: Any) -> float:
    """Returns where a value is, a number of no unit."""
    if not self.numeric:
      return self.values.index(value)
    return float(np.log10(value)) if self.log else float(value)

  def _crowded(self) -> bool:
    places = [self.position(value) for value in self.values]
    gaps = np.diff(places)
    return bool(np.any(gaps < 0.08 * (places[-1] - places[0])))

  def ticks(self) -> list[tuple[float, str]]:
    """Returns the places to mark, and what stands there."""
    marked = self.values
    if self.numeric and self._crowded():
      locator: Any = LogLocator(numticks=6) if self.log else MaxNLocator(5)
      low, high = min(marked), max(marked)
      marked = [t for t in locator.tick_values(low, high) if low <= t <= high]
      if len(marked) < 2:
        marked = [low, high]
    return [(self.position(value), _shown(value)) for value in marked]


def make_scale(title: str, values: Sequence[Any]) -> Scale:
  """Returns the scale for some values.

  >>> scale = make_scale('learning_rate', [0.1, 0.001, 0.01, 0.1])
  >>> scale.log, [label for _, label in scale.ticks()]
  (True, ['0.001', '0.01', '0.1'])
  >>> make_scale('schedule', ['step', 'cosine']).ticks()
  [(0, 'cosine'), (1, 'step')]
  """
  if _numeric(values):
    distinct = sorted(set(values))
    log = distinct[0] > 0 and distinct[-1] >= _LOG_FROM * distinct[0]
    return Scale(title, distinct, log)
  try:
    return Scale(title, sorted(set(values)), False)
  except TypeError:  # of several types
    return Scale(title, sorted(set(values), key=str), False)


def draw(root: str, rows: Sequence[Row], metric: Metric) -> list[str]:
  """Draws both pictures of the trials that have a value, and returns their paths.

  There are none where no key has two values.
  """
  keys = swept(rows)
  # Of trials that are as good, the best is the one that is first in the table.
  rows = [_filled(root, row, keys) for row in by_metric(rows, metric)[::-1] if row.best]
  keys = [
    key for key in keys if len({str(row.trial.overrides[key]) for row in rows}) > 1
  ]
  if not keys:
    return []
  scales = {
    key: make_scale(title, [row.trial.overrides[key] for row in rows])
    for key, title in zip(keys, titles(keys), strict=True)
  }
  return [
    parallel_coordinates(root, rows, metric, scales),
    metric_by_parameter(root, rows, metric, scales),
  ]


def parallel_coordinates(
  root: str, rows: Sequence[Row], metric: Metric, scales: dict[str, Scale]
) -> str:
  """Draws each trial as a line through its values, up to its metric.

  Args:
    root: where to.
    rows: the trials, the best last.
    metric: the last axis, on which up is better.
    scales: of the keys.
  """
  columns = [
    [scale.position(row.trial.overrides[key]) for row in rows]
    for key, scale in scales.items()
  ]
  marks = [(scale.label, scale.ticks()) for scale in scales.values()]
  last = make_scale(metric.name, [_value(row) for row in rows])
  sign = 1 if metric.mode == 'max' else -1
  columns.append([sign * last.position(_value(row)) for row in rows])
  marks.append(
    (
      f'{metric.name}\n(up is better)',
      [(sign * place, label) for place, label in last.ticks()],
    )
  )
  # Colours go by the order of trials: a few bad ones leave the others apart.
  colours = matplotlib.colormaps['viridis'](np.linspace(0.95, 0.0, len(rows)))
  with matplotlib.rc_context(STYLE | {'axes.grid': False}):
    figure = Figure(figsize=(1.6 + 1.9 * len(columns), 4.6), layout='constrained')
    axes = figure.subplots()
    heights = []
    for x, (column, (_, ticks)) in enumerate(zip(columns, marks, strict=True)):
      places = [*column, *(place for place, _ in ticks)]
      low, span = min(places), max(places) - min(places) or 1.0
      heights.append([(place - low) / span for place in column])
      axes.axvline(x, color='#444444', lw=1, zorder=1)
      for place, label in ticks:
        axes.annotate(label, (x, (place - low) / span), xytext=(-5, 0), va='center',
                      ha='right', textcoords='offset points', fontsize=9, zorder=4,
                      bbox={'fc': 'white', 'ec': 'none', 'pad': 1,
                            'alpha': 0.8})  # fmt: skip
    for i, path in enumerate(np.array(heights).T):
      best = i == len(rows) - 1
      shown = _shown(_value(rows[i]))
      name = f'best: {shown}' if best else f'worst: {shown}' if i == 0 else None
      axes.plot(path, color=_BEST if best else colours[i], lw=3 if best else 1.4,
                alpha=1.0 if best else 0.75, zorder=3 if best else 2,
                label=name)  # fmt: skip
    names = [title for title, _ in marks]
    turned = max(map(len, [*titles(list(scales)), metric.name])) > 20
    axes.set_xticks(range(len(names)), names, rotation=20 if turned else 0,
                    ha='right' if turned else 'center')  # fmt: skip
    axes.set(yticks=[], xlim=(-0.55, len(names) - 0.8), ylim=(-0.06, 1.06))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.legend(loc='lower right', bbox_to_anchor=(1, 1), ncols=2)
    return save(figure, root, 'parallel_coordinates.png')


def metric_by_parameter(
  root: str, rows: Sequence[Row], metric: Metric, scales: dict[str, Scale]
) -> str:
  """Draws the metric over each key's values, with the median of each.

  Args:
    root: where to.
    rows: the trials, the best last.
    metric: the best value of each.
    scales: of the keys.
  """
  ended = [row.state == 'finished' for row in rows]
  values = np.array([_value(row) for row in rows])
  log = metric.mode == 'min' and make_scale('', list(values)).log
  wide = min(4, len(scales))
  high = -(-len(scales) // wide)
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(1.2 + 3.4 * wide, 0.6 + 3.2 * high), layout='constrained')
    grid = figure.subplots(high, wide, sharey=True, squeeze=False)
    for axes in grid.flat[len(scales) :]:
      axes.set_visible(False)
    for axes, (key, scale) in zip(grid.flat, scales.items(), strict=False):
      places = np.array([scale.position(r.trial.overrides[key]) for r in rows])
      _medians(axes, places, values)
      for shown, marker in ((True, _OTHER), (False, 'none')):
        chosen = np.array(ended) == shown
        label = 'finished' if shown else 'not to its end'
        if chosen.any():
          axes.scatter(places[chosen], values[chosen], s=36, c=marker, ec=_OTHER,
                       label=label, zorder=3)  # fmt: skip
      axes.scatter(places[-1:], values[-1:], s=70, c=_BEST, label='the best', zorder=4)
      ticks = scale.ticks()
      crowded = sum(len(label) + 1 for _, label in ticks) > 34
      axes.set_xticks([t for t, _ in ticks], [label for _, label in ticks],
                      rotation=35 if crowded else 0,
                      ha='right' if crowded else 'center')  # fmt: skip
      axes.set(xlabel=scale.label)
      axes.margins(x=0.12)
      if log:
        axes.set_yscale('log')
    for axes in grid[:, 0]:
      axes.set_ylabel(f'best {metric.name}')
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside upper right', ncols=4)
    return save(figure, root, 'metric_by_parameter.png')


def _medians(axes: Axes, places: np.ndarray, values: np.ndarray) -> None:
  """Joins the medians of the values at each place, where there are several."""
  distinct = np.unique(places)
  if len(distinct) < len(places):
    medians = [np.median(values[places == place]) for place in distinct]
    axes.plot(distinct, medians, color=_OTHER, lw=1.2, alpha=0.7, label='median')


def _numeric(values: Sequence[Any]) -> bool:
  return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _shown(value: Any) -> str:
  return f'{value:.4g}' if isinstance(value, float) else str(value)


def _value(row: Row) -> float:
  assert row.best is not None  # those without one are not drawn
  return row.best[1]


def _filled(root: str, row: Row, keys: Sequence[str]) -> Row:
  """Returns a row whose trial has all keys: those that it left, as its run had them."""
  overrides = dict(row.trial.overrides)
  for key in keys:
    if key not in overrides:
      overrides[key] = records.config_value(os.path.join(root, row.trial.name), key)
  trial = dataclasses.replace(row.trial, overrides=overrides)
  return dataclasses.replace(row, trial=trial)
