"""What the commands share: a dataset's name, and its options as flags."""

import ast
import csv
import inspect
import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from absl import flags, logging

from . import DataError, Dataset, build, check_known, loader, names
from .imported import takes_any_option

_DATA_DIR = "where prepared sets are kept, if not where TFDS's are"


def run(
  main: Callable[[Dataset, flags.FlagValues], None],
  usage: str,
  define: Callable[[flags.FlagValues], None] = lambda values: None,
) -> None:
  """Opens the dataset that the command line names, and calls `main` with it.

  A mistake of the user becomes a message on standard error, and exit status 2; a
  `DataError` or an error of the file system likewise, and 1. Ctrl-C ends it silently,
  with 130, and so does, with 141, that nobody reads what it prints any more.

  Args:
    main: takes the dataset and the flags.
    usage: the command's text of help.
    define: defines flags beside `--data_dir` and the options of the dataset.
  """
  logging.set_verbosity(logging.WARNING)
  try:
    try:
      main(*open_from(sys.argv, usage, define))
    finally:
      sys.stdout.flush()  # what fails then, fails here
  except BrokenPipeError:  # as of `| head`
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the last flush
    sys.exit(141)
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
    extra = values([program, *rest], known_only=True)[1:]
    any_option = _any_options(extra) if takes_any_option(load) else {}
    extra = [word for word in extra if _name(word) not in any_option]
    for word in extra:
      if word.startswith('-'):
        check_known(f'option of {name}', _name(word), values)
    if extra:
      raise ValueError(f'unexpected arguments: {" ".join(extra)}')
  except flags.Error as e:
    raise ValueError(f'{name}: {_expected(e, values)}') from e
  options = {key: read[key](values[key].value) for key in read if values[key].present}
  return build(name, data_dir=values.data_dir, **options, **any_option), values


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
  }
  read: dict[str, Callable[[Any], Any]] = {}
  for name, parameter in inspect.signature(load).parameters.items():
    if name in values or parameter.kind is parameter.VAR_KEYWORD:
      continue
    default = parameter.default
    definer = definers.get(type(default), flags.DEFINE_string)
    definer(name, None, '', flag_values=values)
    if isinstance(default, tuple):
      read[name] = partial(_items, name, default)
    else:
      read[name] = _mapping if isinstance(default, dict) else _same
  return read


def _any_options(words: Sequence[str]) -> dict[str, Any]:
  """Returns the options among words, of which no default tells the type.

  >>> _any_options(['--count=3', '--sizes=(1, 2)', '--of=a=b', '--alone', 'other'])
  {'count': 3, 'sizes': (1, 2), 'of': 'a=b'}
  """
  matches = [re.fullmatch(r'--?(\w+)=(.*)', word, re.DOTALL) for word in words]
  texts = {match[1]: match[2] for match in matches if match}
  values = {name: _literal(text) for name, text in texts.items()}
  return {n: texts[n] if value is None else value for n, value in values.items()}


def _name(word: str) -> str:
  return word.lstrip('-').partition('=')[0]


_EXPECTED = {'int': 'a whole number', 'float': 'a number', 'bool': 'true or false'}


def _expected(error: flags.Error, values: flags.FlagValues) -> str:
  """Says what the value of a flag must be, where absl says how Python failed."""
  text, cause = str(error), error.__context__  # 'flag --NAME=VALUE: CAUSE'
  match = re.match(r'flag --(\w+)=', text)
  expected = match and _EXPECTED.get(values[match[1]].parser.flag_type())
  if not match or not expected:
    return text
  value = text.removeprefix(match[0]).removesuffix(f': {cause}')
  return f'{match[1]} is {value!r}, but must be {expected}'


def _items(name: str, default: tuple[Any, ...], text: str) -> tuple[Any, ...]:
  """Returns the values that a text lists, of the type of the default's.

  >>> _items('lengths', (1, 2), '3,4'), _items('lengths', (1, 2), '(3, 4)')
  ((3, 4), (3, 4))
  >>> _items('columns', (), 'height,"weight, dry"')
  ('height', 'weight, dry')
  """
  kind = type(default[0]) if default else str
  literal = _literal(text)
  if isinstance(literal, tuple | list) and text.lstrip()[:1] in ('(', '['):
    words = [*map(str, literal)]
  else:
    words = next(csv.reader([text], skipinitialspace=True), [])
  try:
    return tuple(kind(word) for word in words)
  except ValueError:
    example = ','.join(map(str, default[:2]))
    raise ValueError(f'{name} is {text!r}, but must be such as {example}') from None


def _mapping(text: str) -> Any:
  """Returns a dict written as Python writes it; another text as it is, to be refused.

  >>> _mapping("{'max_shift': 0}")
  {'max_shift': 0}
  """
  literal = _literal(text)
  return literal if isinstance(literal, dict) else text


def _literal(text: str) -> Any:
  try:
    return ast.literal_eval(text.strip())
  except (ValueError, SyntaxError):
    return None


def _same(value: Any) -> Any:
  return value
