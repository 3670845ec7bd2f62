"""The command line shared by the commands: a config file, its overrides, a folder."""

import os
import re
import runpy
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags
from ml_collections.config_flags import tuple_parser

from .. import configs
from .errors import ConfigError, did_you_mean, in_one_line

flags.disclaim_key_flags()  # --help shows them as flags of the command that asks


class _TupleParser(tuple_parser.TupleParser):
  """Reads several values: `3,4` and `(3, 4)`, and names without quotes, `stem,stage1`.

  A name alone is a tuple, too. A number alone is likelier a mistake: it is spelt `3,`.
  """

  def parse(self, argument: Any) -> tuple[Any, ...]:
    values = super().parse(argument)
    if not isinstance(argument, str):
      return values
    # What is no Python literal comes back as it went in.
    if values == (argument,):
      values = tuple(name for name in argument.split(',') if name)
      if re.match(r'\s*[\[({]', argument):
        raise ValueError('no Python literal')
    elif len(values) == 1 and not (
      isinstance(values[0], str) or re.search(r'[,\[]', argument)
    ):
      raise ValueError('a number alone')
    return values


config_flags.register_flag_parser_for_type(tuple, _TupleParser())


def define_config() -> flags.FlagHolder:
  """Defines `--config`, with an override `--config.KEY=VALUE` for each of its keys."""
  holder = config_flags.DEFINE_config_file(
    'config', None, 'a config file, or the bare name of a shipped one', lock_config=True
  )
  flags.mark_flag_as_required('config')
  return holder


def define_workdir() -> flags.FlagHolder[str | None]:
  """Defines `--workdir`, which must be given."""
  return _required('workdir', "the run's folder")


def define_path() -> flags.FlagHolder[str | None]:
  """Defines `--path`, which must be given."""
  return _required('path', 'the file to write')


def run(main: Callable[..., Any], *holders: flags.FlagHolder) -> None:
  """Parses the command line, and calls `main` with the values of the flags given.

  A `ConfigError` becomes its message on standard error, and exit status 2; a
  `RunError`, a `DataError`, a full disk, or a file that can't be used likewise, and 1.
  Ctrl-C ends it silently, with 130.
  """

  def guarded(argv: list[str]) -> None:
    if len(argv) > 1:
      raise ConfigError(f'unexpected arguments: {" ".join(argv[1:])}')
    if not flags.FLAGS['verbosity'].present:
      logging.set_verbosity(logging.WARNING)  # the libraries' own; ours stay
    main(*(holder.value for holder in holders))

  try:
    app.run(guarded, flags_parser=_parse)
  except KeyboardInterrupt:
    sys.exit(130)
  except Exception as e:
    if not (known := in_one_line(e)):
      raise
    line, status = known
    print(f'convscan: {line}', file=sys.stderr)
    sys.exit(status)


def shipped() -> dict[str, str]:
  """Returns the shipped experiments: the path of each bare name."""
  folder = os.path.dirname(configs.__file__)
  return {
    name.removesuffix('.py'): os.path.join(folder, name)
    for name in sorted(os.listdir(folder))
    if name.endswith('.py') and name not in ('__init__.py', 'base.py', 'sweeps.py')
  }


def portable(path: str) -> str:
  """Returns what other machines find a config by: a shipped one's bare name, or a path.

  >>> portable(find('digits_lenet')), portable('/mnt/mine.py')
  ('digits_lenet', '/mnt/mine.py')
  """
  path = os.path.abspath(path)
  names = {os.path.abspath(there): name for name, there in shipped().items()}
  return names.get(path, path)


def find(config: str) -> str:
  """Returns the path of a config, given as a path or as a shipped one's bare name."""
  known = shipped()
  if os.path.isfile(config):
    return config
  if config in known:
    return known[config]
  hint = did_you_mean(os.path.basename(config).removesuffix('.py'), known)
  raise ConfigError(
    f'--config: no file {config!r};{hint} Shipped by bare name: {", ".join(known)}'
  )


def call(path: str, function: str) -> Any:
  """Runs a config file and calls a function of it, a generator to its end.

  Raises:
    ConfigError: what is wrong with the file, and where, in one line.
  """
  try:
    value = runpy.run_path(path)[function]()
    return list(value) if isinstance(value, Iterator) else value
  except KeyError as e:
    if e.args != (function,):
      raise ConfigError(f'--config: {path}: KeyError: {e}') from e
    raise ConfigError(f'--config: {path} defines no {function}()') from e
  except SyntaxError as e:
    raise ConfigError(f'--config: {e.filename}, line {e.lineno}: {e.msg}') from e
  except Exception as e:
    frames = traceback.extract_tb(e.__traceback__)
    line = next((f.lineno for f in reversed(frames) if f.filename == path), '?')
    raise ConfigError(f'--config: {path}, line {line}: {type(e).__name__}: {e}') from e


def load(path: str) -> ConfigDict:
  """Runs a config file, and says in one line what is wrong with it, and where."""
  config = call(path, 'get_config')
  if not isinstance(config, ConfigDict):
    raise ConfigError(
      f'--config: get_config() of {path} returned a {type(config).__name__}; '
      'expected an ml_collections.ConfigDict'
    )
  return config


def check_overrides(argv: list[str], config: ConfigDict) -> None:
  """Refuses an override of a key that the config does not have."""
  known = keys(config)
  for arg in argv:
    match = re.match(r'--?(?:no)?config\.([\w.]+)', arg)
    if match and match[1] not in known:
      key = match[1]
      hint = did_you_mean(f'config.{key}', [f'config.{k}' for k in known])
      siblings = [k for k in known if k.rpartition('.')[0] == key.rpartition('.')[0]]
      part = key.partition('.')[0]
      if part in ('model', 'data'):
        hint += (
          f' Give it a value in the config file first, as a part of config.{part}.'
        )
      raise ConfigError(
        f'unknown key config.{key};{hint} Keys there: {", ".join(siblings or known)}'
      )


def _required(name: str, what: str) -> flags.FlagHolder[str | None]:
  holder = flags.DEFINE_string(name, None, what)
  flags.mark_flag_as_required(name)
  return holder


def _parse(argv: list[str]) -> list[str]:
  # The config's own flags are defined by reading sys.argv while --config is parsed, so
  # a bare name is replaced by its path there.
  for i, arg in enumerate(argv):
    match = re.fullmatch(r'(--?config)(?:=(.*))?', arg)
    if match and (match[2] is not None or i + 1 < len(argv)):
      value = match[2] if match[2] is not None else argv[i + 1]
      path = find(value)
      check_overrides(argv, load(path))
      argv[i : i + 1 + (match[2] is None)] = [f'--config={path}']
      sys.argv[:] = argv
      break
  return parse(argv, flags.FLAGS)


_EXPECTED = {
  'int': 'a whole number',
  'float': 'a number',
  'bool': 'true or false',
  'tuple': 'several values, such as 3,4, or 3, for one alone',
}


def parse(argv: list[str], values: flags.FlagValues) -> list[str]:
  """Sets the flags that a command line has, and returns the rest of it.

  Raises:
    ConfigError: a flag is not known, or its value is of another type than it takes.
  """
  try:
    return values(argv)
  except flags.Error as e:
    text, cause = str(e), e.__context__  # 'flag --NAME=VALUE: CAUSE'
    match = re.match(r'flag --([\w.]+)=', text)
    expected = match and _EXPECTED.get(values[match[1]].parser.flag_type())
    if not match or not expected:
      raise ConfigError(' '.join(text.split())) from e
    name = match[1] if match[1].startswith('config.') else f'--{match[1]}'
    value = text.removeprefix(match[0]).removesuffix(f': {cause}')
    raise ConfigError(f'{name}: {value!r}; expected {expected}') from e


def keys(config: ConfigDict, prefix: str = '') -> list[str]:
  """Returns all keys of a config, those of its parts and the parts themselves too."""
  names = []
  for name, value in config.items():
    names.append(prefix + name)
    if isinstance(value, ConfigDict):
      names += keys(value, f'{prefix}{name}.')
  return names
