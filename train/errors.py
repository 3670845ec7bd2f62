"""What a person is told in a line: their mistakes, and a disk that fails."""

import contextlib
import difflib
import errno
import os
import re
from collections.abc import Iterable, Iterator


class ConfigError(ValueError):
  """What was asked for can't be run; the message names the key, value and choices.

  Commands print it, one line but for lists of keys, and exit with status 2.
  """


class RunError(RuntimeError):
  """What ends a run that was asked for rightly; the message says what to do.

  Commands print it, and exit with status 1.
  """


class Stopped(Exception):
  """A run was asked to stop, and saved where it can go on."""


class CheckpointError(RunError):
  """A run's state can't be saved, or can't be read."""


class Damaged(CheckpointError):
  """A saved step is not whole: reading it again would not help."""


def in_one_line(error: Exception) -> tuple[str, int] | None:
  """Returns the line and the exit status that an error ends a command with.

  None where its traceback is wanted.

  >>> in_one_line(FileNotFoundError(2, 'No such file or directory', 'runs/a'))
  ("can not use 'runs/a': No such file or directory", 1)
  >>> in_one_line(ZeroDivisionError())
  """
  if isinstance(error, ConfigError | RunError):
    return str(error), 2 if isinstance(error, ConfigError) else 1
  from ..data import DataError  # not above: flags are checked before jax is loaded

  if isinstance(error, DataError):
    return str(error), 1
  if isinstance(error, OSError) and error.filename is not None:
    return f'can not use {os.fsdecode(error.filename)!r}: {error.strerror}', 1
  full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
  if isinstance(error, OSError) and error.errno in full:
    return f'can not write: {error.strerror}', 1
  return None


@contextlib.contextmanager
def blame(key: str, *others: str) -> Iterator[None]:
  """Says which config key an error raised in this block is about.

  For blocks that use a value of the config for the first time.

  Args:
    key: the key.
    others: keys that it may be about, too: where a message begins with the last part of
      one and 'is', it is about that.

  >>> with blame('config.model'):
  ...   raise ValueError('no such thing')
  Traceback (most recent call last):
  convscan.train.errors.ConfigError: config.model: no such thing
  >>> with blame('config.data', 'config.data.path'):
  ...   raise ValueError("path is '', but must be a file")
  Traceback (most recent call last):
  convscan.train.errors.ConfigError: config.data.path is '', but must be a file
  """
  try:
    yield
  except ConfigError:
    raise
  except (ValueError, TypeError, ArithmeticError, OSError, ImportError) as e:
    for full in others:
      last = full.rpartition('.')[2]
      if str(e).startswith(f'{last} is '):
        raise ConfigError(f'{full}{str(e).removeprefix(last)}') from e
    # JAX notes something of its own.
    notes = [note for note in getattr(e, '__notes__', ()) if note.startswith('while ')]
    noted = ''.join(f' ({note})' for note in notes)
    raise ConfigError(f'{key}: {e}{noted}') from e


def choose(key: str, value: str, legal: Iterable[str]) -> str:
  """Returns `value` if it is legal; else a `ConfigError` names the nearest.

  >>> choose('config.optimizer.name', 'adamm', ['adam', 'sgd'])
  Traceback (most recent call last):
  convscan.train.errors.ConfigError: config.optimizer.name: unknown 'adamm'; did you \
mean 'adam'? Known: adam, sgd
  """
  known = sorted(legal)
  if value in known:
    return value
  hint = did_you_mean(value, known)
  raise ConfigError(f'{key}: unknown {value!r};{hint} Known: {", ".join(known)}')


def did_you_mean(value: str, legal: Iterable[str]) -> str:
  """Returns a question that names the nearest legal value, or `''`."""
  nearest = difflib.get_close_matches(str(value), list(legal), n=1, cutoff=0.5)
  return f' did you mean {nearest[0]!r}?' if nearest else ''


_STATUS = {
  'DATA_LOSS': 'a file is damaged',
  'FAILED_PRECONDITION': 'a file is damaged',
  'NOT_FOUND': 'a file is missing',
  'OUT_OF_RANGE': 'a file is truncated',
}


def is_damage(error: Exception) -> bool:
  """Returns whether a read failed for what the file holds, not for how it was read.

  A file that may not be opened, or too many that are open, say nothing of a checkpoint.
  Of tensorstore's errors those are damage that have one of the statuses above, or none,
  as what it can't decode.

  >>> is_damage(ValueError('OUT_OF_RANGE: Error reading "x" in ... and so on'))
  True
  >>> is_damage(ValueError('Error opening "zarr" driver: Error reading ...'))
  True
  >>> is_damage(ValueError("UNKNOWN: Error opening file [os_error_code='40']"))
  False
  """
  status = re.match(r'([A-Z_]+): ', str(error))
  return isinstance(error, Damaged) or (
    isinstance(error, ValueError) and (status is None or status[1] in _STATUS)
  )


def in_few_words(error: BaseException) -> str:
  """Returns one short line of an error of the file system; tensorstore's are pages.

  >>> in_few_words(ValueError('OUT_OF_RANGE: Error reading "x" in ... and so on'))
  'a file is truncated'
  """
  if isinstance(error, CheckpointError):
    return str(error)
  if isinstance(error, OSError) and error.strerror:
    return error.strerror
  text = str(error)
  if system := re.search(r"os_error_code='(\d+)'", text):
    return os.strerror(int(system[1]))
  if (status := re.match(r'([A-Z_]+): ', text)) and status[1] in _STATUS:
    return _STATUS[status[1]]
  return f'{type(error).__name__}: {text[:120]}'.splitlines()[0]
