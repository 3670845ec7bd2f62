"""The pictures of a run, as PNG files. Each function draws one and returns its path."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..data.drawing import visible

# How many images a figure of segments shows.
NUM_IMAGES = 8

# Two colours that stay apart in grey and for colour-blind readers, and light grids.
_TRAIN, _TEST = '#9db4c8', '#c2410c'
STYLE: Any = {
  'font.size': 11,
  'axes.spines.top': False,
  'axes.spines.right': False,
  'axes.grid': True,
  'grid.color': '#e5e5e5',
  'axes.axisbelow': True,
  'legend.frameon': False,
}


def curves(
  folder: str, history: list[dict[str, Any]], evaluated: str, name: str, label: str
) -> str:
  """Draws one metric over the steps, in training and on the split `evaluated`."""
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(7, 4), layout='constrained')
    axes = figure.subplots()
    for split, colour, width in [('train', _TRAIN, 1.5), ('eval', _TEST, 2.5)]:
      points = [(m['step'], m[f'{split}/{name}']) for m in history
                if m.get(f'{split}/{name}') is not None]  # fmt: skip
      if not points:
        continue
      steps, values = zip(*points, strict=True)
      shown = 'training batches' if split == 'train' else f'{evaluated} split'
      axes.plot(steps, values, color=colour, lw=width, label=shown,
                marker='o', ms=6 if len(points) == 1 else 2 * width - 1)  # fmt: skip
      if split == 'eval':
        end = (steps[-1], values[-1])
        axes.annotate(f'{values[-1]:.4g}', end, xytext=(6, 0), va='center',
                      textcoords='offset points', color=colour)  # fmt: skip
    axes.set(xlabel='step', ylabel=label)
    if name == 'loss':
      axes.set_yscale('log')
    axes.legend()
    return save(figure, folder, f'{name}.png')


def confusion(
  folder: str, predictions: Mapping[str, Any], classes: Sequence[str]
) -> str:
  """Draws how often each class of a split was taken for which."""
  counted = predictions['weights'] > 0
  table = np.zeros((len(classes), len(classes)), int)
  np.add.at(
    table, (predictions['targets'][counted], predictions['predicted'][counted]), 1
  )
  right = np.trace(table)
  with matplotlib.rc_context(STYLE | {'axes.grid': False}):
    figure = Figure(figsize=(6, 5.6), layout='constrained')
    axes = figure.subplots()
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap='Blues', vmin=0, vmax=1)
    if len(classes) <= 20:
      size = min(11.0, 360 / len(classes) / len(str(table.max())))
      for (row, column), count in np.ndenumerate(table):
        if count:
          colour = 'white' if shares[row, column] > 0.5 else 'black'
          axes.text(column, row, str(count), ha='center', va='center', color=colour,
                    fontsize=size)  # fmt: skip
    step = -(-len(classes) // 20)
    ticks = range(0, len(classes), step)
    names = [classes[i] for i in ticks]
    turned = 45 if len(names) * max(map(len, names)) > 50 else 0
    axes.set_xticks(ticks, names, rotation=turned)
    axes.set_yticks(ticks, names)
    axes.set(
      xlabel='predicted',
      ylabel='true',
      title=f'{right} of {table.sum()} right ({right / max(table.sum(), 1):.2%})',
    )
    return save(figure, folder, 'confusion.png')


def segments(
  folder: str,
  images: Sequence[Any],
  predictions: Mapping[str, Any],
  classes: Sequence[str],
) -> str:
  """Draws the first images of a split, above their classes by pixel.

  Args:
    folder: where to.
    images: `[height, width, channels]` each.
    predictions: `targets` and `predicted`, `[examples, height, width]`, and `weights`:
      pixels that do not count are left white.
    classes: their names.
  """
  count = len(images)
  colours = matplotlib.colormaps['tab20'].resampled(20)
  counted = predictions['weights'][:count] > 0
  with matplotlib.rc_context(STYLE | {'axes.grid': False}):
    figure = Figure(figsize=(1.6 + count * 1.1, 4.2), layout='constrained')
    grid = figure.subplots(3, count, squeeze=False)
    for i, image in enumerate(images):
      pixels = np.asarray(image)
      grid[0, i].imshow(visible(pixels), cmap='gray')
      for row, key in [(1, 'targets'), (2, 'predicted')]:
        labels = np.ma.masked_where(~counted[i], predictions[key][i] % 20)
        grid[row, i].imshow(labels, cmap=colours, vmin=0, vmax=20, interpolation='none')
    for row, label in enumerate(['image', 'true', 'predicted']):
      grid[row, 0].set_ylabel(label)
    for ax in grid.flat:
      ax.set(xticks=[], yticks=[])
      ax.spines[:].set_visible(False)
    shown = np.unique([predictions[k][:count] for k in ('targets', 'predicted')])
    patches = [Patch(color=colours(int(c) % 20), label=classes[c]) for c in shown[:20]]
    figure.legend(handles=patches, loc='outside right center')
    return save(figure, folder, 'segments.png')


def scatter(folder: str, predictions: Mapping[str, Any], names: Sequence[str]) -> str:
  """Draws what is predicted over what is true, a panel for each of up to 4 outputs.

  Args:
    folder: where to.
    predictions: `targets` and `predicted`, `[examples, outputs]`, and `weights`.
    names: of the outputs.
  """
  counted = predictions['weights'] > 0
  names = names[:4]
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(4.8 * len(names), 4.8), layout='constrained')
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for i, (axes, name) in enumerate(zip(panels, names, strict=True)):
      true, predicted = (predictions[k][counted, i] for k in ('targets', 'predicted'))
      ends = [true.min(), true.max()]
      axes.plot(ends, ends, color='#999999', lw=1, zorder=1)
      axes.scatter(true, predicted, s=14, alpha=0.5, color=_TEST, lw=0)
      error = np.sqrt(np.mean(np.square(true - predicted)))
      axes.set(
        xlabel='true',
        ylabel='predicted',
        title=f'{name}: root mean squared error {error:.3g}',
        aspect='equal',
      )
    return save(figure, folder, 'scatter.png')


def spread(count: int) -> list[int]:
  """Returns up to 4 positions, evenly apart, of so many.

  >>> spread(100), spread(2)
  ([12, 37, 62, 87], [0, 1])
  """
  few = min(4, count)
  return [(2 * i + 1) * count // (2 * few) for i in range(few)]


def forecasts(
  folder: str,
  windows: Sequence[Any] | np.ndarray,
  predictions: Mapping[str, Any],
  names: Sequence[str],
) -> str:
  """Draws a few windows of the first output, what follows, and what was predicted.

  Args:
    folder: where to.
    windows: `[length, features]` each, those at the positions `spread` of the examples
      that count.
    predictions: `targets` and `predicted`, `[examples, horizon, outputs]`.
    names: of the outputs.
  """
  counted = predictions['weights'].any(axis=1)
  targets, predicted = (
    predictions[key][counted][..., 0] for key in ('targets', 'predicted')
  )
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(9, 1 + 1.6 * len(windows)), layout='constrained')
    rows = figure.subplots(len(windows), 1, sharex=True, sharey=True, squeeze=False)
    for axes, window, i in zip(rows[:, 0], windows, spread(len(targets)), strict=True):
      past = np.asarray(window)[:, 0]
      after = np.arange(1, 1 + len(targets[i]))
      axes.plot(np.arange(1 - len(past), 1), past, color=_TRAIN, lw=1.5, label='window')
      axes.plot(after, targets[i], color='black', lw=1.5, label='what followed')
      axes.plot(after, predicted[i], color=_TEST, lw=2, ls='--', label='predicted')
    rows[0, 0].legend(loc='lower left', bbox_to_anchor=(0, 1), ncols=3)
    rows[-1, 0].set(xlabel='step after the window')
    figure.supylabel(names[0])
    return save(figure, folder, 'forecasts.png')


def first_layer(folder: str, image: Any, kernel: Any, maps: Any) -> str:
  """Draws one image, the filters of the first convolution and the maps it makes.

  Each filter stands above what it gives on the image, for the first 16 of them; a
  filter over several input channels is drawn as its mean over them.

  Args:
    folder: where to.
    image: `[height, width, channels]`.
    kernel: the filters, `[height, width, channels, filters]`.
    maps: `[height, width, filters]`.
  """
  count = min(16, kernel.shape[-1])
  filters, maps = np.asarray(kernel).mean(2)[..., :count], np.asarray(maps)
  limit = np.abs(filters).max()
  with matplotlib.rc_context(STYLE | {'axes.grid': False}):
    figure = Figure(figsize=(1.6 + count * 0.8, 2.8), layout='constrained')
    panels: Any = figure.subfigures(1, 2, width_ratios=[2, count])
    left, right = panels
    axes = left.subplots()
    axes.imshow(visible(np.asarray(image)), cmap='gray')
    axes.set_title('the image', fontsize=10)
    grid = right.subplots(2, count, squeeze=False)
    for i in range(count):
      grid[0, i].imshow(filters[..., i], cmap='RdBu_r', vmin=-limit, vmax=limit)
      most = np.abs(maps[..., i]).max()
      grid[1, i].imshow(maps[..., i], cmap='RdBu_r', vmin=-most, vmax=most)
    grid[0, 0].set_ylabel('filter', fontsize=10)
    grid[1, 0].set_ylabel('feature map', fontsize=10)
    right.suptitle(
      f'first layer: {count} of {kernel.shape[-1]} filters '
      '(red positive, blue negative),\nand what each gives on the image',
      fontsize=10,
    )
    for ax in [axes, *grid.flat]:
      ax.set(xticks=[], yticks=[])
      ax.spines[:].set_visible(False)
    return save(figure, folder, 'first_layer.png')


def gates(
  folder: str, characters: Sequence[str], activations: Mapping[str, Any]
) -> str:
  """Draws each gate of a recurrent layer over a text: units by characters.

  The 24 units whose first gate varies most over the text are shown, so that there is
  something to see in a wide layer.
  """
  values = {name: np.asarray(a)[0].T for name, a in activations.items()}
  busiest = np.argsort(-next(iter(values.values())).std(axis=1))[:24]
  shown = [{'\n': '↵', ' ': '␣', '\x00': '⊢'}.get(c, c) for c in characters]
  with matplotlib.rc_context(STYLE | {'axes.grid': False, 'font.size': 9}):
    figure = Figure(
      figsize=(2 + len(shown) * 0.15, 1.9 * len(values)), layout='constrained'
    )
    rows = figure.subplots(len(values), 1, squeeze=False)[:, 0]
    for axes, (name, value) in zip(rows, values.items(), strict=True):
      signed = value.min() < 0  # tanh; a sigmoid stays within 0 and 1
      drawn = axes.imshow(
        value[busiest],
        aspect='auto',
        cmap='RdBu_r' if signed else 'viridis',
        vmin=-1 if signed else 0,
        vmax=1,
      )
      axes.set(ylabel=f'{name}\n({len(busiest)} units)', yticks=[])
      axes.set_xticks(range(len(shown)), shown, family='monospace', fontsize=8)
      axes.tick_params(length=0)
      figure.colorbar(drawn, ax=axes, pad=0.01)
    rows[-1].set_xlabel('character read (␣ space, ↵ end of line)')
    rows[0].set_title('the gates of the last layer over a held-out sentence')
    return save(figure, folder, 'gates.png')


def save(figure: Figure, folder: str, name: str) -> str:
  """Writes a figure to a folder, and returns its path."""
  path = os.path.join(folder, name)
  figure.savefig(path, dpi=120)
  return path
