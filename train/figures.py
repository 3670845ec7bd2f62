"""The pictures of a run, as PNG files. Each function draws one and returns its path."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

# Two colours that stay apart in grey and for colour-blind readers, and light grids.
_TRAIN, _TEST = '#9db4c8', '#c2410c'
_STYLE: Any = {
  'font.size': 11,
  'axes.spines.top': False,
  'axes.spines.right': False,
  'axes.grid': True,
  'grid.color': '#e5e5e5',
  'axes.axisbelow': True,
  'legend.frameon': False,
}


def curves(folder: str, history: list[dict[str, Any]], name: str, label: str) -> str:
  """Draws one metric over the steps, in training and on the test split."""
  with matplotlib.rc_context(_STYLE):
    figure = Figure(figsize=(7, 4), layout='constrained')
    axes = figure.subplots()
    for split, colour, width in [('train', _TRAIN, 1.5), ('eval', _TEST, 2.5)]:
      points = [(m['step'], m[f'{split}/{name}']) for m in history
                if m.get(f'{split}/{name}') is not None]  # fmt: skip
      if not points:
        continue
      steps, values = zip(*points, strict=True)
      shown = 'training batches' if split == 'train' else 'test split'
      axes.plot(steps, values, color=colour, lw=width, label=shown,
                marker='o', ms=4 if split == 'eval' else 2)  # fmt: skip
      if split == 'eval':
        end = (steps[-1], values[-1])
        axes.annotate(f'{values[-1]:.4g}', end, xytext=(6, 0), va='center',
                      textcoords='offset points', color=colour)  # fmt: skip
    axes.set(xlabel='step', ylabel=label)
    if name == 'loss':
      axes.set_yscale('log')
    axes.legend()
    return _save(figure, folder, f'{name}.png')


def confusion(
  folder: str, predictions: Mapping[str, Any], classes: Sequence[str]
) -> str:
  """Draws how often each class of the test split was taken for which."""
  counted = predictions['weights'] > 0
  table = np.zeros((len(classes), len(classes)), int)
  np.add.at(
    table, (predictions['targets'][counted], predictions['predicted'][counted]), 1
  )
  right = np.trace(table)
  with matplotlib.rc_context(_STYLE | {'axes.grid': False}):
    figure = Figure(figsize=(6, 5.6), layout='constrained')
    axes = figure.subplots()
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap='Blues', vmin=0, vmax=1)
    if len(classes) <= 20:
      for (row, column), count in np.ndenumerate(table):
        if count:
          colour = 'white' if shares[row, column] > 0.5 else 'black'
          axes.text(column, row, str(count), ha='center', va='center', color=colour)
    step = -(-len(classes) // 20)
    ticks = range(0, len(classes), step)
    axes.set_xticks(ticks, [classes[i] for i in ticks])
    axes.set_yticks(ticks, [classes[i] for i in ticks])
    axes.set(
      xlabel='predicted',
      ylabel='true',
      title=f'{right} of {table.sum()} right ({right / max(table.sum(), 1):.2%})',
    )
    return _save(figure, folder, 'confusion.png')


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
  with matplotlib.rc_context(_STYLE | {'axes.grid': False}):
    figure = Figure(figsize=(1.6 + count * 0.8, 2.6), layout='constrained')
    panels: Any = figure.subfigures(1, 2, width_ratios=[2, count])
    left, right = panels
    axes = left.subplots()
    axes.imshow(np.asarray(image).mean(-1), cmap='gray_r')
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
      '(red positive, blue negative), and what each gives on the image',
      fontsize=10,
    )
    for ax in [axes, *grid.flat]:
      ax.set(xticks=[], yticks=[])
      ax.spines[:].set_visible(False)
    return _save(figure, folder, 'first_layer.png')


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
  with matplotlib.rc_context(_STYLE | {'axes.grid': False, 'font.size': 9}):
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
    return _save(figure, folder, 'gates.png')


def _save(figure: Figure, folder: str, name: str) -> str:
  path = os.path.join(folder, name)
  figure.savefig(path, dpi=120)
  return path
