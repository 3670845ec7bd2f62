"""What a batch is, and where it comes from.

>>> from convscan import data
>>> dataset = data.build('digits', max_shift=0)
>>> len(dataset.splits['train']), len(dataset.splits['test'])
(1438, 359)
>>> batches = data.train_batches(dataset, batch_size=32, seed=0)
>>> next(batches)['inputs'].shape
(32, 8, 8, 1)

A new dataset is a file in `builders` and a row in the table below.
"""

import difflib
import importlib
import inspect
import os
from collections.abc import Iterable
from typing import Any

from .dataset import Dataset, Example, Source
from .pipeline import eval_batches, train_batches
from .text import StreamWindows

__all__ = [
  'Dataset',
  'Example',
  'Source',
  'StreamWindows',
  'build',
  'eval_batches',
  'names',
  'train_batches',
]

# Name: (module, function). Imported when asked for, so one set never costs another.
_LOADERS = {
  'digits': ('.builders.digits', 'load'),
  'digits_angle': ('.builders.digits_angle', 'load'),
  'digits_pixels': ('.builders.digits_pixels', 'load'),
  'mackey_glass': ('.builders.mackey_glass', 'load'),
  'pydoc_topics': ('.builders.pydoc_topics', 'load'),
  'python_tokens': ('.builders.python_tokens', 'load'),
}


def names() -> list[str]:
  """Returns the names that `build` knows, sorted.

  >>> names()[:2]
  ['digits', 'digits_angle']
  """
  return sorted(_LOADERS)


def build(
  name: str, *, data_dir: str | os.PathLike[str] | None = None, **options: Any
) -> Dataset:
  """Opens a dataset, after preparing it the first time.

  Args:
    name: one of `names()`.
    data_dir: where prepared sets are kept; None is TFDS's own default, which is
      the environment variable `TFDS_DATA_DIR` or else `~/tensorflow_datasets`.
    **options: the keyword arguments of the dataset's own `load` function.

  Returns:
    The dataset.

  Raises:
    ValueError: an unknown name or option, or an illegal value of one.
  """
  _check_known('dataset', name, _LOADERS)
  module, function = _LOADERS[name]
  load = getattr(importlib.import_module(module, __package__), function)
  for option in options:
    _check_known(f'option of {name}', option, inspect.signature(load).parameters)
  return load(data_dir=data_dir, **options)


def _check_known(kind: str, word: str, known: Iterable[str]) -> None:
  known = sorted(known)
  if word not in known:
    near = difflib.get_close_matches(word, known, n=1)
    hint = f' Did you mean {near[0]!r}?' if near else ''
    raise ValueError(f'unknown {kind}: {word!r}.{hint} Known: {", ".join(known)}')
