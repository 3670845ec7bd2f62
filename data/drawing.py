"""Examples of a dataset as a picture."""

import os
import textwrap
import warnings
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .dataset import Dataset, Example

_COLUMNS, _IMAGES, _SERIES, _TEXTS = 8, 32, 6, 6
_PAST, _FUTURE = '#1f4e79', '#c2410c'


def draw(dataset: Dataset, path: str | os.PathLike[str]) -> None:
  """Draws some examples to train with, before augmentation, spread over the split.

  Images with their classes, or above their segments; series as lines, and what follows
  them; tokens as text.

  Args:
    dataset: what to draw from.
    path: the PNG file.
  """
  inputs = dataset.splits['train'][0]['inputs']
  if inputs.ndim == 3:
    figure = _images(dataset)
  elif np.issubdtype(inputs.dtype, np.integer):
    figure = _texts(dataset)
  else:
    figure = _series(dataset)
  with warnings.catch_warnings():
    # Of letters that its font does not have, which it draws as boxes.
    warnings.filterwarnings('ignore', 'Glyph', UserWarning)
    figure.savefig(path, format='png', dpi=100)


def _chosen(dataset: Dataset, most: int) -> list[tuple[int, Example]]:
  source = dataset.splits['train']
  count = min(most, len(source))
  # The middle of each of as many parts.
  indices = [int((i + 0.5) * len(source) / count) for i in range(count)]
  return [(index, source[index]) for index in indices]


def _title(dataset: Dataset, example: Example) -> str:
  targets = example['targets']
  if dataset.task == 'classification' and targets.ndim == 0:
    return textwrap.shorten(dataset.classes[int(targets)], 24, placeholder='...')
  if dataset.task == 'classification':  # shares of all
    return textwrap.shorten(dataset.classes[int(targets.argmax())], 24)
  if dataset.task == 'regression':
    return ', '.join(f'{value:.3g}' for value in targets[:4])
  return ''


def _images(dataset: Dataset) -> Figure:
  examples = [example for _, example in _chosen(dataset, _IMAGES)]
  segments = dataset.task == 'segmentation'
  rows = -(-len(examples) // _COLUMNS)
  figure = Figure(figsize=(12, (3.2 if segments else 1.7) * rows), layout='constrained')
  grid: Any = figure.subplots(rows * (1 + segments), _COLUMNS, squeeze=False)
  for axes in grid.flat:
    axes.set_axis_off()
  for index, example in enumerate(examples):
    row, column = divmod(index, _COLUMNS)
    axes = grid[row * (1 + segments), column]
    image = _visible(example['inputs'])
    axes.imshow(image, cmap='gray' if image.ndim == 2 else None)
    axes.set_title(_title(dataset, example), fontsize=9)
    if segments:
      below = grid[row * 2 + 1, column]
      below.imshow(example['targets'], cmap='tab20', vmin=0, vmax=19)
  return figure


def _visible(image: np.ndarray) -> np.ndarray:
  """Returns an image in 0 to 1, without an axis of one channel."""
  low, high = float(image.min()), float(image.max())
  if low < 0 or high > 1:  # normalised
    image = (image - low) / max(high - low, 1e-6)
  return image[..., 0] if image.shape[-1] == 1 else image[..., :3]


def _series(dataset: Dataset) -> Figure:
  examples = [example for _, example in _chosen(dataset, _SERIES)]
  figure = Figure(figsize=(12, 1.8 * len(examples)), layout='constrained')
  grid: Any = figure.subplots(len(examples), 1, squeeze=False)
  for axes, example in zip(grid[:, 0], examples, strict=True):
    steps = int(example.get('lengths', len(example['inputs'])))
    _lines(axes, example['inputs'][:steps])
    if dataset.task == 'forecasting':
      future = range(steps, steps + len(example['targets']))
      axes.plot(future, example['targets'][:, :4], color=_FUTURE, lw=1)
    axes.set_title(_title(dataset, example), fontsize=10, loc='left')
    axes.spines[['top', 'right']].set_visible(False)
  grid[-1, 0].set_xlabel('step')
  return figure


def _lines(axes: Axes, values: np.ndarray) -> None:
  values = values.reshape(len(values), -1)
  if values.shape[1] <= 6:
    axes.plot(values, lw=1, color=_PAST if values.shape[1] == 1 else None)
  else:  # such as a spectrogram
    axes.imshow(values.T, aspect='auto', origin='lower', cmap='viridis')


def _texts(dataset: Dataset) -> Figure:
  lines = []
  for index, example in _chosen(dataset, _TEXTS):
    tokens = example['inputs'][: int(example.get('lengths', len(example['inputs'])))]
    text = _decode(dataset, tokens).replace('\n', '\u21b5')
    visible = ''.join(c if c.isprintable() else '\u00b7' for c in text)
    lines.append(f'{index:,}  {_title(dataset, example)}'.rstrip() + ':')
    lines += textwrap.wrap(visible, 130, drop_whitespace=False)[:8]
    lines.append('')
  figure = Figure(figsize=(12, 0.17 * len(lines) + 0.4))
  figure.text(
    0.02, 0.98, '\n'.join(lines), va='top', family='monospace', fontsize=10,
    parse_math=False,
  )  # fmt: skip
  return figure


def _decode(dataset: Dataset, tokens: np.ndarray) -> str:
  if dataset.task == 'tagging' and tokens.max() >= ord(' '):
    return ''.join(map(chr, tokens))  # the codes of characters
  if dataset.task == 'language_model' or dataset.vocabulary:
    return dataset.decode(tokens)
  return ' '.join(map(str, tokens.ravel()))
