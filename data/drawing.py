"""A batch of examples as a picture."""

import os
import textwrap
import warnings
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .dataset import Dataset, Example
from .synthetic.stream import ENDLESS
from .token_lines import target_symbols, token_lines

_COLUMNS, _SERIES, _TEXTS = 8, 6, 6
_ROWS, _ROWS_OF_PAIRS = 4, 2
_LINES = 6  # of a series; one with more is drawn as an image
_TARGETS, _FUTURE = '#c2410c', '#f4e3d7'


def draw(dataset: Dataset, batch: Example, path: str | os.PathLike[str]) -> None:
  """Writes the `picture` of a batch to a PNG file."""
  with warnings.catch_warnings():
    # Of letters that its font does not have, which it draws as boxes.
    warnings.filterwarnings('ignore', 'Glyph', UserWarning)
    picture(dataset, batch).savefig(path, format='png', dpi=100)


def picture(dataset: Dataset, batch: Example) -> Figure:
  """Draws some examples of a training batch.

  Images with their classes, or above their segments, and where training changes them
  each below what it was; series as lines, and what follows them; tokens as text, above
  the targets that are not merely the next token.

  Args:
    dataset: what the batch is from.
    batch: as `train_batches` gives it.
  """
  inputs = batch['inputs']
  examples = [
    {name: array[i] for name, array in batch.items()}
    for i in range(min(len(inputs), _ROWS * _COLUMNS))
  ]
  if inputs.ndim == 4:
    return _images(dataset, examples)
  if np.issubdtype(inputs.dtype, np.integer):
    return _texts(dataset, examples[:_TEXTS])
  return _series(dataset, examples[:_SERIES])


def _title(dataset: Dataset, example: Example) -> str:
  targets = example['targets']
  if dataset.task == 'classification' and targets.ndim == 0:
    return textwrap.shorten(dataset.classes[int(targets)], 20, placeholder='...')
  if dataset.task == 'classification':  # shares of all
    largest = np.argsort(-targets, kind='stable')[:2]
    return '\n'.join(
      f'{targets[i]:.0%} {textwrap.shorten(dataset.classes[i], 18, placeholder="...")}'
      for i in largest
      if targets[i] > 0
    )
  if dataset.task == 'regression':
    pairs = zip(dataset.classes[:4], targets, strict=False)
    return ', '.join(f'{name} {value:.3g}' for name, value in pairs)
  return ''


def _caption(dataset: Dataset, example: Example) -> str:
  """Returns its place, unless it has none among endless ones, and its title."""
  endless = len(dataset.splits['train']) == ENDLESS
  place = '' if endless else f'example {int(example["index"]):,}'
  return '   '.join(filter(None, [place, _title(dataset, example)])) or 'example'


def _images(dataset: Dataset, examples: list[Example]) -> Figure:
  stored = [dataset.splits['train'][int(example['index'])] for example in examples]
  changed = any(
    not np.array_equal(before[key], after[key])
    for before, after in zip(stored, examples, strict=True)
    for key in ('inputs', 'targets')
  )
  segments = dataset.task == 'segmentation'
  count = _COLUMNS * (_ROWS_OF_PAIRS if changed else _ROWS)
  shown = [(example, 'in training') for example in examples[:count]]
  # Rows of as many columns, each with the rows that belong below it.
  kinds = [shown]
  if changed:
    kinds = [[(example, 'plain') for example in stored[:count]], shown]
  height = 1 + segments
  rows = -(-len(shown) // _COLUMNS) * len(kinds) * height
  figure = Figure(figsize=(12, 1.7 * rows), layout='constrained')
  grid: Any = figure.subplots(rows, _COLUMNS, squeeze=False)
  for axes in grid.flat:
    axes.set_axis_off()
  for k, kind in enumerate(kinds):
    for index, (example, label) in enumerate(kind):
      row, column = divmod(index, _COLUMNS)
      top = (row * len(kinds) + k) * height
      axes = grid[top, column]
      image = visible(example['inputs'])
      axes.imshow(image, cmap='gray' if image.ndim == 2 else None)
      axes.set_title(_title(dataset, example), fontsize=9)
      if changed and not column:
        axes.text(
          -0.08, 0.5, label, rotation=90, ha='center', va='center',
          transform=axes.transAxes,
        )  # fmt: skip
      if segments:
        below = grid[top + 1, column]
        below.imshow(example['targets'], cmap='tab20', vmin=0, vmax=19)
  if segments:
    handles = [
      Patch(color=colormaps['tab20'](i), label=name)
      for i, name in enumerate(dataset.classes[:20])
    ]
    figure.legend(handles=handles, loc='outside lower center', ncols=10)
  return figure


def visible(image: np.ndarray) -> np.ndarray:
  """Returns an image as one draws it: in 0 to 1, in grey or red, green and blue.

  Args:
    image: `[height, width, channels]`; of three channels and more the first three are
      these colours, and of two their mean is drawn.

  >>> visible(np.array([[[-2.0], [2.0]]]))
  array([[0., 1.]])
  """
  low, high = float(image.min()), float(image.max())
  if low < 0 or high > 1:  # normalised
    image = (image - low) / max(high - low, 1e-6)
  return image[..., :3] if image.shape[-1] > 2 else image.mean(-1)


def _series(dataset: Dataset, examples: list[Example]) -> Figure:
  figure = Figure(figsize=(12, 1.8 * len(examples) + 0.4), layout='constrained')
  grid: Any = figure.subplots(len(examples), 1, squeeze=False)
  for axes, example in zip(grid[:, 0], examples, strict=True):
    steps = int(example.get('lengths', len(example['inputs'])))
    values = example['inputs'][:steps].reshape(steps, -1)
    if dataset.task == 'forecasting':
      _forecast(axes, dataset, values, example['targets'])
    elif values.shape[1] <= _LINES:
      axes.plot(values, lw=1, label=[f'input {i}' for i in range(values.shape[1])])
      axes.set_ylabel('value')
    else:  # such as a spectrogram
      axes.imshow(values.T, aspect='auto', origin='lower', cmap='viridis')
      axes.set_ylabel('input')
    axes.set_title(_caption(dataset, example), fontsize=10, loc='left')
    axes.spines[['top', 'right']].set_visible(False)
  grid[-1, 0].set_xlabel('step')
  handles, labels = grid[0, 0].get_legend_handles_labels()
  if len(handles) > 1:
    figure.legend(handles, labels, loc='outside upper right', ncols=len(handles))
  return figure


def _forecast(
  axes: Axes, dataset: Dataset, values: np.ndarray, targets: np.ndarray
) -> None:
  """Draws what is foretold, before and after, of up to four outputs."""
  steps = len(values)
  future = range(steps, steps + len(targets))
  for i, name in enumerate(dataset.classes[:4]):
    axes.plot(values[:, i], lw=1, color=f'C{i}', label=name)
    axes.plot(future, targets[:, i], lw=2, color=f'C{i}')
  axes.axvspan(steps - 0.5, future[-1] + 0.5, color=_FUTURE, label='to be foretold')
  axes.set_ylabel('value')


def _texts(dataset: Dataset, examples: list[Example]) -> Figure:
  lines: list[tuple[str, bool]] = []
  for example in examples:
    lines += [(_caption(dataset, example) + ':', False)]
    lines += [*token_lines(dataset, example), ('', False)]
  if any(target for _, target in lines):
    names, symbols = dataset.classes, target_symbols(dataset)
    said = 'below each line, the targets that count'
    if dataset.task == 'tagging' and symbols != names:
      said += ': ' + ', '.join(map(' '.join, zip(symbols, names, strict=True)))
    lines = [*((line, True) for line in textwrap.wrap(said, 130)), ('', False), *lines]
  height = 0.17 * len(lines) + 0.4
  figure = Figure(figsize=(12, height))
  for i, (line, target) in enumerate(lines):
    figure.text(
      0.02, 1 - (0.2 + 0.17 * i) / height, line, va='top', family='monospace',
      fontsize=10, color=_TARGETS if target else 'black', parse_math=False,
    )  # fmt: skip
  return figure
