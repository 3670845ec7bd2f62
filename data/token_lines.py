"""Examples of tokens as lines of text, and beneath them what is to be told."""

import string
import textwrap

import numpy as np

from .dataset import Dataset, Example

_WIDTH = 130  # characters
_ENDS = 2  # of the lines of a long example, those shown of its beginning and its end
_SYMBOLS = string.digits + string.ascii_lowercase


def token_lines(dataset: Dataset, example: Example) -> list[tuple[str, bool]]:
  """Returns an example as lines of text.

  Beneath each line of inputs is one of targets where an example has targets that are
  not merely all its next tokens: those that count, and blanks for others. The middle of
  a long example is left out.

  Args:
    dataset: what it is from.
    example: with integers `[steps]` as `inputs`.

  Returns:
    Each line, and whether it is one of targets.

  >>> from . import build
  >>> task = build('selective_copy', length=4, symbols=2)
  >>> for line, targets in token_lines(task, task.splits['test'][0]):
  ...   print(targets, line)
  False 14 0 0 12 15 15
  True           14 12
  """
  steps = int(example.get('lengths', len(example['inputs'])))
  inputs = example['inputs'][:steps]
  if dataset.task == 'tagging':
    codes = int(inputs.max()) >= ord(' ')
    above = [chr(i) if codes else str(i) for i in inputs]
    names = target_symbols(dataset)
  elif (
    dataset.task == 'language_model' and np.mean(example['weights'][:steps] > 0) < 0.5
  ):
    codes = dataset.tokens.unit in ('char', 'byte')
    above = [dataset.tokens.tokens[i] for i in inputs]
    names = dataset.tokens.tokens
  else:
    has_text = dataset.task == 'language_model' or dataset.vocabulary
    text = dataset.decode(inputs) if has_text else ' '.join(map(str, inputs))
    lines = textwrap.wrap(_visible(text), _WIDTH, drop_whitespace=False)
    return _ends([[(line, False)] for line in lines])
  targets, counts = example['targets'][:steps], example['weights'][:steps] > 0
  below = [names[i] if count else '' for i, count in zip(targets, counts, strict=True)]
  return _ends(_pairs(above, below, 0 if codes else 1))


def target_symbols(dataset: Dataset) -> tuple[str, ...]:
  """Returns what stands for each class in a line: its name, or a letter if too long."""
  if max(map(len, dataset.classes)) <= 3:
    return dataset.classes
  if len(dataset.classes) <= len(_SYMBOLS):
    return tuple(_SYMBOLS[: len(dataset.classes)])
  return tuple(map(str, range(len(dataset.classes))))


def _pairs(
  above: list[str], below: list[str], gap: int
) -> list[list[tuple[str, bool]]]:
  """Returns lines of cells, each above one of others, where these are not all blank."""
  rows: list[list[tuple[str, str]]] = [[]]
  used = 0
  for pair in zip(map(_visible, above), map(_visible, below), strict=True):
    width = max(map(len, pair)) + gap
    if used + width > _WIDTH:
      rows.append([])
      used = 0
    rows[-1].append((pair[0].ljust(width), pair[1].ljust(width)))
    used += width
  pairs = [
    [''.join(cells).rstrip() for cells in zip(*row, strict=True)] for row in rows
  ]
  return [[(a, False), *([(b, True)] if b else [])] for a, b in pairs]


def _ends(groups: list[list[tuple[str, bool]]]) -> list[tuple[str, bool]]:
  """Returns the lines, without those in the middle where there are many."""
  hidden = len(groups) - 2 * _ENDS
  if hidden > 1:
    gap = [(f'    ... {hidden} lines ...', False)]
    groups = [*groups[:_ENDS], gap, *groups[-_ENDS:]]
  return [line for group in groups for line in group]


def _visible(text: str) -> str:
  text = text.replace('\n', '\u21b5')
  return ''.join(c if c.isprintable() else '\u00b7' for c in text)
