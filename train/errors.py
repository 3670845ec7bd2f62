"""Mistakes of the person who started the run, told apart from mistakes of ours."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator


class ConfigError(ValueError):
  """What was asked for can't be run; the message names the key, value and choices.

  Commands print it as one line and exit with status 2.
  """


@contextlib.contextmanager
def blame(key: str) -> Iterator[None]:
  """Says which config key a `ValueError` raised in this block is about.

  >>> with blame('config.model'):
  ...   raise ValueError('no such thing')
  Traceback (most recent call last):
  convscan.train.errors.ConfigError: config.model: no such thing
  """
  try:
    yield
  except ConfigError:
    raise
  except ValueError as e:
    raise ConfigError(f'{key}: {e}') from e


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
  nearest = difflib.get_close_matches(str(value), known, n=1)
  hint = f' did you mean {nearest[0]!r}?' if nearest else ''
  raise ConfigError(f'{key}: unknown {value!r};{hint} Known: {", ".join(known)}')
