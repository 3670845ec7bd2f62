"""What a batch is, and where it comes from.

>>> from convscan import data
>>> dataset = data.build('digits', max_shift=0)
>>> len(dataset.splits['train']), len(dataset.splits['test'])
(1438, 359)
>>> batches = data.train_batches(dataset, batch_size=32, seed=0)
>>> next(batches)['inputs'].shape
(32, 8, 8, 1)

A dataset of your own is a function, in a module that Python finds: in the folder that a
command is run in, in `PYTHONPATH`, or installed. In `birds.py`

    import numpy as np
    from convscan import data

    class Songs:
      def __init__(self, first, count):
        self.first, self.count = first, count

      def __len__(self):
        return self.count

      def __getitem__(self, index):  # a function of index alone
        wave = np.sin(np.arange(100) * (0.1 + index % 2) + self.first + index)
        return {
          'inputs': wave[:, None].astype(np.float32),  # [steps, features]
          'targets': np.array(index % 2, np.int32),
          'weights': np.array(1, np.float32),
        }

    def load(*, count=1000):
      splits = {'train': Songs(0, count), 'test': Songs(count, 200)}
      return data.Dataset('birds', 'classification', ('low', 'high'), splits)

is `data.build('birds:load', count=500)` and, in a config,
`config.data = ConfigDict({'name': 'birds:load', 'data_dir': '', 'count': 500})`; and
`python -m convscan.data.describe birds:load --count=500` shows it. Such a name
runs code: any module is imported and any function of it called, with the options. So
open nobody's config that has one unless you trust it; `convscan.train.evaluate`, which
reads a run's, does so only by `--allow_code`. `Dataset` explains
what each task's examples are, and `build` compares the first of each split with that.
An example that can't be read raises a `DataError`, which says why: it ends a run or, by
`config.on_bad_example`, is left out and counted, and so does one whose target is none
of the classes. Reader processes
(`config.num_reader_workers`) get the sources pickled: what they read they had better
open when it is asked for.

In this package a new dataset is a file in `builders`, or a task drawn at will one in
`synthetic`, and a row in the table below.
"""

import difflib
import importlib
import inspect
import os
from collections.abc import Callable, Iterable
from typing import Any

from .check import check
from .dataset import Dataset, Example, Source
from .declared import declaring
from .errors import DataError
from .guarded import guard
from .imported import (
  is_function,
  load_function,
  refusing_functions,
  takes_any_option,
)
from .pipeline import eval_batches, train_batches
from .skipping import skip_bad
from .text import StreamWindows

__all__ = [
  'DataError',
  'Dataset',
  'Example',
  'Source',
  'StreamWindows',
  'build',
  'declare',
  'eval_batches',
  'is_function',
  'names',
  'refusing_functions',
  'skip_bad',
  'train_batches',
]

# Name: (module, function). Imported when asked for, so one set never costs another.
_LOADERS = {
  'adding': ('.synthetic.adding', 'load'),
  'ag_news': ('.builders.ag_news', 'load'),
  'arrays': ('.builders.arrays', 'load'),
  'cifar10': ('.builders.cifar', 'cifar10'),
  'cifar100': ('.builders.cifar', 'cifar100'),
  'copy_memory': ('.synthetic.copying', 'load_memory'),
  'counting': ('.synthetic.counting', 'load'),
  'digits': ('.builders.digits', 'load'),
  'digits_angle': ('.builders.digits_angle', 'load'),
  'digits_pixels': ('.builders.digits_pixels', 'load'),
  'dyck': ('.synthetic.dyck', 'load'),
  'electricity': ('.builders.electricity', 'load'),
  'emnist': ('.builders.idx', 'emnist'),
  'enwik8': ('.builders.enwik8', 'load'),
  'fashion_mnist': ('.builders.idx', 'fashion_mnist'),
  'image_folder': ('.builders.image_folder', 'load'),
  'imagenet2012': ('.builders.imagenet2012', 'load'),
  'imagenette': ('.builders.imagenette', 'load'),
  'imdb_reviews': ('.builders.imdb_reviews', 'load'),
  'induction': ('.synthetic.recall', 'load_induction'),
  'jena_climate': ('.builders.jena_climate', 'load'),
  'kmnist': ('.builders.idx', 'kmnist'),
  'mackey_glass': ('.builders.mackey_glass', 'load'),
  'mnist': ('.builders.idx', 'mnist'),
  'modular_arithmetic': ('.synthetic.modular_arithmetic', 'load'),
  'mqar': ('.synthetic.recall', 'load_mqar'),
  'parity': ('.synthetic.parity', 'load'),
  'penn_treebank': ('.builders.penn_treebank', 'load'),
  'pixels': ('.synthetic.pixels', 'load'),
  'pydoc_topics': ('.builders.pydoc_topics', 'load'),
  'python_tokens': ('.builders.python_tokens', 'load'),
  'selective_copy': ('.synthetic.copying', 'load_selective'),
  'series_classification': ('.builders.series_classification', 'load'),
  'series_forecasting': ('.builders.series_forecasting', 'load'),
  'speech_commands': ('.builders.speech_commands', 'load'),
  'svhn': ('.builders.svhn', 'load'),
  'temporal_order': ('.synthetic.temporal_order', 'load'),
  'text8': ('.builders.text8', 'load'),
  'text_files': ('.builders.text_files', 'load'),
  'tiny_shakespeare': ('.builders.tiny_shakespeare', 'load'),
  'uea': ('.builders.uea', 'load'),
  'wikitext103': ('.builders.wikitext', 'wikitext103'),
  'wikitext2': ('.builders.wikitext', 'wikitext2'),
}


def names() -> list[str]:
  """Returns the names that `build` knows, sorted.

  >>> {'digits', 'image_folder'} <= set(names())
  True
  """
  return sorted(_LOADERS)


def build(
  name: str, *, data_dir: str | os.PathLike[str] | None = None, **options: Any
) -> Dataset:
  """Opens a dataset, after preparing it the first time.

  Args:
    name: one of `names()`; or 'MODULE:FUNCTION', a function of your own that returns a
      `Dataset`, which is imported and run (see above); or the name of a set of TFDS,
      such as 'imagenet_v2' or 'imagenet2012:5.1.0', that was prepared elsewhere as
      array_record (see `elsewhere.find`): of images with labels, or of texts.
    data_dir: where prepared sets are kept; None is TFDS's own default, which is
      the environment variable `TFDS_DATA_DIR` or else `~/tensorflow_datasets`.
    **options: the keyword arguments of the dataset's own `load` function.

  Returns:
    The dataset.

  Raises:
    ValueError: an unknown name or option, or an illegal value of one; or what `Dataset`
      says is not so.
    DataError: its files can't be had, or are damaged.
  """
  load = loader(name, data_dir)
  if not takes_any_option(load):
    for option in options:
      check_known(f'option of {name}', option, inspect.signature(load).parameters)
  return guard(check(load(data_dir=data_dir, **options)))


def declare(
  name: str, *, data_dir: str | os.PathLike[str] | None = None, **options: Any
) -> Dataset:
  """Describes a dataset without its files, to build and compile what trains on it.

  Of a set of `names()` that has yet to be fetched, examples are blank: of the shapes
  and dtypes of the true ones, and as many, as far as its makers tell. Classes, and
  tokens, are as many as there are; their names may be others. A set that is prepared,
  or needs no files to be fetched, is opened as `build` does.

  Arguments and errors are those of `build`, and:

  Raises:
    DataError: the set, with these options, is known from its files alone.

  >>> dataset = declare('imagenet2012', size=160)
  >>> len(dataset.splits['train']), len(dataset.classes)
  (1281167, 1000)
  >>> next(train_batches(dataset, 4, seed=0, num_threads=0))['inputs'].shape
  (4, 160, 160, 3)
  """
  with declaring():
    return build(name, data_dir=data_dir, **options)


def loader(
  name: str, data_dir: str | os.PathLike[str] | None = None
) -> Callable[..., Dataset]:
  """Returns the function that opens a dataset, whose keyword arguments are options.

  Raises:
    ValueError: an unknown name, or that of a function which can't be had.
    DataError: a set of TFDS that is not there, or can't be opened.
  """
  if name in _LOADERS:
    module, function = _LOADERS[name]
    return getattr(importlib.import_module(module, __package__), function)
  if is_function(name):
    return load_function(name)
  from .elsewhere import find  # asks TFDS, which a known name need not

  return find(name, data_dir, names())


def check_known(kind: str, word: str, known: Iterable[str]) -> None:
  """Refuses an unknown word by a `ValueError` that names the nearest and all others."""
  known = sorted(known)
  if word not in known:
    near = difflib.get_close_matches(word, known, n=1)
    hint = f' Did you mean {near[0]!r}?' if near else ''
    raise ValueError(f'unknown {kind}: {word!r}.{hint} Known: {", ".join(known)}')
