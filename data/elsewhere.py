"""Sets of TFDS that were prepared elsewhere, with TensorFlow, opened without it."""

import difflib
import json
import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow_datasets as tfds

from .dataset import Dataset
from .errors import DataError
from .prepared import open_prepared, readable, root
from .supervised import opener

_NAME = r'(?P<name>\w+)(?:/(?P<config>[^/:]+))?(?::(?P<version>[\d.]+))?'
_INFO = 'dataset_info.json'


def find(
  name: str, data_dir: str | os.PathLike[str] | None, known: Sequence[str]
) -> Callable[..., Dataset]:
  """Finds a set that TFDS prepared as array_record, and how to open it.

  Args:
    name: as TFDS has it: NAME, NAME/CONFIG, and either with :VERSION. Without these the
      only configuration, and the newest version.
    data_dir: the folder with NAME in it; None is TFDS's own default.
    known: other names, to say which is near.

  Returns:
    The function that opens it: of an image with a label, and of a text with one.

  Raises:
    ValueError: neither is it there, nor does TFDS know it.
    DataError: it is not there, or in another format; or it is something else.
  """
  match = re.fullmatch(_NAME, name)
  folder = match and _folder(root(data_dir), **match.groupdict())
  if not match or not folder:
    builders = tfds.list_builders(with_community_datasets=False)
    if match and match['name'] in builders:
      where = f'{name!r} is not in {root(data_dir)}. '
      raise DataError(where + _recipe(name, data_dir))
    near = difflib.get_close_matches(name, [*known, *builders], n=1)
    what = '' if not near or near[0] in known else ', a set of TFDS'
    hint = f' Did you mean {near[0]!r}{what}?' if near else ''
    raise ValueError(f'unknown dataset: {name!r}.{hint} Known: {", ".join(known)}')
  with readable(folder):
    builder = tfds.builder_from_directory(folder)
  stored = builder.info.file_format.value
  if stored != 'array_record':
    raise DataError(
      f'{folder} holds {stored}, not array_record. {_recipe(name, data_dir)}'
    )
  info, records = open_prepared(builder)
  return opener(name, folder, info, records)


def _folder(
  data_dir: str, name: str, config: str | None, version: str | None
) -> Path | None:
  base = Path(data_dir) / name / (config or '')
  found = _newest(base, version)
  if found or config or not base.is_dir():
    return found
  configs = [path for path in sorted(base.iterdir()) if _newest(path, version)]
  if len(configs) > 1:
    names = ', '.join(f'{name}/{path.name}' for path in configs)
    raise DataError(f'{base} has several configurations; expected one of {names}')
  return _newest(configs[0], version) if configs else None


def _newest(base: Path, version: str | None) -> Path | None:
  versions = [
    path.parent
    for path in base.glob(f'{version or "*"}/{_INFO}')
    if re.fullmatch(r'\d+\.\d+\.\d+', path.parent.name)
  ]
  return max(versions, key=lambda path: [*map(int, path.name.split('.'))], default=None)


def _recipe(name: str, data_dir: str | os.PathLike[str] | None) -> str:
  code = (
    'import tensorflow_datasets as tfds; '
    f'tfds.builder("{name}", data_dir={json.dumps(root(data_dir))}, '
    'file_format="array_record").download_and_prepare()'
  )
  return (
    'TFDS prepares it with TensorFlow: once, in an environment of its own, run\n'
    '  python -m venv tf && tf/bin/pip install tensorflow-cpu tensorflow-datasets '
    f'importlib_resources\n  tf/bin/python -c {shlex.quote(code)}'
  )
