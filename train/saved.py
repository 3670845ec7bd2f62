"""One saved step: its two items, read and compared with its checksums.

Orbax wrote it. It is read by tensorstore, beneath orbax: each process reads by itself,
so that one which fails does not leave others at a barrier; and what fails raises one
error, where orbax's event loop leaves the other reads to print their own.
"""

import concurrent.futures
import contextlib
import json
import os
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import tensorstore as ts

from .checksum import checksums, key_data, paths
from .errors import CheckpointError, Damaged, in_few_words, is_damage
from .together import together

# The items of a step: every leaf of the state by its path, and a file of JSON.
STATE, PROGRESS = 'state', 'progress'


def read_step(
  folder: str, choose: Callable[[dict[str, int]], Any]
) -> tuple[Any, dict[str, Any]]:
  """Reads a step and compares its checksums. All processes call it, and agree.

  Args:
    folder: the step's.
    choose: returns the tree to read, as arrays or `jax.ShapeDtypeStruct`s with
      shardings, given the checksums that were saved, by path.

  Returns:
    The tree, and the progress that was saved beside it.

  Raises:
    Damaged: the step is not good; the message says why, in a few words.
    CheckpointError: it could not be read, good or not.
  """
  with together():
    noted = _read_progress(os.path.join(folder, PROGRESS, 'metadata'))
    expected = noted['checksums']
    like = choose(expected)
    tree = _read_tree(os.path.join(folder, STATE), like)
  # Every process has read its part, so they can all compute together.
  with together():
    got = checksums(tree)
    differ = [name for name, value in got.items() if expected.get(name) != value]
    if differ:
      more = f' and {len(differ) - 1} more' if len(differ) > 1 else ''
      raise Damaged(f'{differ[0]}{more}: the checksum differs')
  return tree, noted['progress']


@contextlib.contextmanager
def _reading(part: str) -> Iterator[None]:
  """Says which part of a step could not be read."""
  try:
    yield
  except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as e:
    raise Damaged(f'{part} is missing') from e
  except Exception as e:
    kind = Damaged if is_damage(e) else CheckpointError
    raise kind(f'{part}: {in_few_words(e)}') from e


def note(progress: dict[str, Any], sums: dict[str, int]) -> dict[str, Any]:
  """Returns what the item `progress` holds, as JSON can hold it."""
  noted = {'progress': progress, 'checksums': sums}
  return noted | {'crc32': _crc32(noted)}


def _crc32(noted: Any) -> int:
  # Through JSON once, for what it makes of tuples and of keys that are no strings.
  return zlib.crc32(json.dumps(json.loads(json.dumps(noted))).encode())


def _read_progress(path: str) -> dict[str, Any]:
  with _reading(PROGRESS), open(path, 'rb') as f:
    text = f.read()
  try:
    noted = json.loads(text)
    if noted.pop('crc32') == _crc32(noted):
      return noted
  except (AttributeError, KeyError, TypeError, ValueError):
    pass
  raise Damaged(f'{PROGRESS} is damaged')


def _read_tree(folder: str, like: Any) -> Any:
  """Returns the leaves of a tree, each placed as in `like`."""
  with _reading(STATE):
    os.stat(os.path.join(folder, ''))  # with the separator: of a folder alone
  context = ts.Context()  # its cache is of this step alone

  def read(name: str, leaf: Any) -> jax.Array:
    form = jax.eval_shape(key_data, leaf)
    store: dict[str, Any] = {'driver': 'ocdbt', 'base': f'file://{folder}/'}
    spec = {'driver': 'zarr', 'kvstore': store | {'path': f'{name}/'}}
    with _reading(name):
      saved = ts.open(spec, open=True, read=True, context=context).result()
      if (saved.shape, saved.dtype.numpy_dtype) != (form.shape, form.dtype):
        raise Damaged(
          f'{saved.dtype.name}{list(saved.shape)} is saved where '
          f'{form.dtype}{list(form.shape)} is needed'
        )
      array = jax.make_array_from_callback(
        saved.shape, leaf.sharding, lambda index: saved[index].read().result()
      )
    if form.dtype == leaf.dtype:
      return array
    return jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf))

  leaves, structure = jax.tree.flatten(like)
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    return jax.tree.unflatten(structure, pool.map(read, paths(like), leaves))
