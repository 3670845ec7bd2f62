"""What the commands share: a dataset's name, and its options as flags."""

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags, logging

from . import DataError, Dataset, build, loader, names

_DATA_DIR = "where prepared sets are kept, if not where TFDS's are"


def run(
  main: Callable[[Dataset, flags.FlagValues], None],
  usage: str,
  define: Callable[[flags.FlagValues], None] = lambda values: None,
) -> None:
  """Opens the dataset that the command line names, and calls `main` with it.

  A mistake of the user becomes a message on standard error, and exit status 2; a
  `DataError` or an error of the file system likewise, and 1. Ctrl-C ends it silently,
  with 130.

  Args:
    main: takes the dataset and the flags.
    usage: the command's text of help.
    define: defines flags beside `--data_dir` and the options of the dataset.
  """
  logging.set_verbosity(logging.WARNING)
  try:
    main(*open_from(sys.argv, usage, define))
  except (DataError, ValueError) as e:
    print(f'convscan: {e}', file=sys.stderr)
    sys.exit(1 if isinstance(e, DataError) else 2)
  except OSError as e:  # a full disk, a folder that is not there or not theirs
    where = f'{e.filename}: ' if e.filename else ''
    print(f'convscan: {where}{e.strerror or e}', file=sys.stderr)
    sys.exit(1)
  except KeyboardInterrupt:
    sys.exit(130)


def open_from(
  argv: Sequence[str], usage: str, define: Callable[[flags.FlagValues], None]
) -> tuple[Dataset, flags.FlagValues]:
  """Opens the dataset that a command line names.

  Args:
    argv: the program, the dataset's name, and flags: those of `define`, `--data_dir`,
      and the keyword arguments of the dataset's own `load`.
    usage: as in `run`.
    define: as in `run`.

  Returns:
    The dataset, and the flags.

  Raises:
    ValueError: an unknown name or option, or an illegal value of one.
    DataError: as `build`.
    SystemExit: there is no name, or `--help`, which shows the options.
  """
  program, name, *rest = [*argv, ''][: max(2, len(argv))]
  if not name or name.startswith('-'):
    print(f'{usage}\n\nNAME is one of {", ".join(names())}')
    raise SystemExit(0 if name in ('--help', '-h') else 2)
  values = _flags(define)
  try:
    values([program, *rest], known_only=True)
  except flags.Error as e:
    raise ValueError(str(e)) from e
  load = loader(name, values.data_dir)
  if '--help' in rest or '-h' in rest:
    print(f'{usage}\n\n{inspect.getdoc(inspect.unwrap(load))}')
    raise SystemExit
  values = _flags(define)
  read = _define_options(load, values)
  try:
    extra = values([program, *rest])[1:]
    if extra:
      raise ValueError(f'unexpected arguments: {" ".join(extra)}')
    options = {key: read[key](values[key].value) for key in read if values[key].present}
  except flags.Error as e:
    raise ValueError(f'{name}: {e}') from e
  return build(name, data_dir=values.data_dir, **options), values


def _flags(define: Callable[[flags.FlagValues], None]) -> flags.FlagValues:
  # Not absl's own: a dataset may have an option called like one of the many there.
  values = flags.FlagValues()
  flags.DEFINE_string('data_dir', None, _DATA_DIR, flag_values=values)
  define(values)
  return values


def _define_options(
  load: Callable[..., Dataset], values: flags.FlagValues
) -> dict[str, Callable[[Any], Any]]:
  """Defines a flag for each option, and returns what makes its value of the flag's."""
  definers: dict[type, Callable[..., Any]] = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    tuple: flags.DEFINE_list,
  }
  read: dict[str, Callable[[Any], Any]] = {}
  for name, parameter in inspect.signature(load).parameters.items():
    if name in values:
      continue
    default = parameter.default
    definer = definers.get(type(default), flags.DEFINE_string)
    definer(name, None, '', flag_values=values)
    read[name] = _items(default) if isinstance(default, tuple) else _same
  return read


def _items(default: tuple[Any, ...]) -> Callable[[list[str]], tuple[Any, ...]]:
  kind = type(default[0]) if default else str
  return lambda words: tuple(kind(word) for word in words)


def _same(value: Any) -> Any:
  return value
