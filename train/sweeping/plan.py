"""Which trials a config file asks for: their overrides, names and commands."""

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from ..errors import ConfigError
from ..files import flat, write
from ..flags import check_overrides, keys

# A folder's name, with what is put to it, may have 255 bytes.
_LONGEST = 120


@dataclasses.dataclass(frozen=True)
class Trial:
  """A run of the sweep.

  Attributes:
    name: of its folder.
    overrides: of config keys, its own: those that all trials have are not among them.
  """

  name: str
  overrides: dict[str, Any]


def make_trial(overrides: Any, config: ConfigDict, common: Mapping[str, Any]) -> Trial:
  """Checks a trial's overrides, and names it by them.

  The name depends on the overrides and on the keys of the config alone: a sweep that
  has grown finds its trials.

  Args:
    overrides: what `sweep()` yielded.
    config: of all trials, with `common` in it.
    common: overrides given for all trials.

  Raises:
    ConfigError: the config has no such key, or it has values of another type.
  """
  if not isinstance(overrides, Mapping):
    raise ConfigError(f'sweep() yielded {overrides!r}; expected a dict of overrides')
  typed = ConfigDict(config.to_dict())
  values = {}
  for key in sorted(overrides):
    value = _plain(overrides[key])
    check_overrides([f'--config.{key}'], config)
    if key in common:
      raise ConfigError(f'config.{key} is swept, so it can not be given for all trials')
    before = _get(typed, key)
    if isinstance(before, ConfigDict):
      raise ConfigError(
        f'sweep(): {key!r} is a part of the config; expected one of its keys: '
        f'{", ".join(f"{key}.{k}" for k in keys(before))}'
      )
    try:
      if isinstance(value, bool) and not isinstance(before, bool | None):
        raise TypeError  # to Python a number, to who wrote it a mistake
      if value != value:
        raise ValueError('nan')
      typed.update_from_flattened_dict({key: value})
    except (TypeError, ValueError) as e:
      raise ConfigError(
        f'sweep(): {key!r}: {value!r}; expected a value of type '
        f'{type(before).__name__}, as {before!r}'
      ) from e
    values[key] = _get(typed, key)
  return Trial(name_of(values, keys(config)), values)


def make_trials(
  sweep: Iterable[Any], config: ConfigDict, common: Mapping[str, Any]
) -> list[Trial]:
  """Returns all trials of a `sweep()`; checks that there are some, each once.

  Raises:
    ConfigError: otherwise, or for one of them.
  """
  trials: dict[str, Trial] = {}
  for overrides in sweep:
    trial = make_trial(overrides, config, common)
    if trial.name in trials:
      raise ConfigError(f'sweep() yields {trial.overrides} twice')
    trials[trial.name] = trial
  if not trials:
    raise ConfigError('sweep() yields no trial')
  return list(trials.values())


def name_of(overrides: Mapping[str, Any], known: Sequence[str]) -> str:
  """Returns a folder's name: the last words of the keys, where these are enough.

  What is too long for a name, or has characters that are not for names, ends with a
  hash of the overrides.

  >>> known = ['seed', 'model.name', 'data.name', 'optimizer.learning_rate']
  >>> name_of({'optimizer.learning_rate': 0.003, 'seed': 1}, known)
  'learning_rate=0.003,seed=1'
  >>> name_of({'data.name': 'digits', 'seed': (1, 2)}, known)
  'data.name=digits,seed=1-2'
  >>> name_of({'data.name': 'a/b'}, known)
  'data.name=a_b-be0e3317'
  """
  leaves = [key.rpartition('.')[2] for key in known]
  words = []
  for key, value in overrides.items():
    leaf = key.rpartition('.')[2]
    several = isinstance(value, tuple) and all(
      re.fullmatch(r'\w+', v, re.ASCII) if isinstance(v, str)
      else isinstance(v, int | float) and v >= 0
      for v in value
    )  # fmt: skip
    shown = '-'.join(map(str, value)) if several else str(value)
    short = leaves.count(leaf) == 1 and leaf != 'name'  # of what, it does not say
    words.append(f'{leaf if short else key}={shown}')
  name = ','.join(words) or 'default'
  plain = re.sub(r'[^\w.,=+-]+', '_', name, flags=re.ASCII)
  if plain == name and len(name) <= _LONGEST:
    return name
  digest = hashlib.sha256(json.dumps(overrides, sort_keys=True).encode()).hexdigest()
  return f'{plain[:_LONGEST]}-{digest[:8]}'


def argument(key: str, value: Any) -> str:
  """Returns the flag that overrides a key, as the command reads it.

  >>> argument('model.filters', (32, 64)), argument('optimizer.nesterov', True)
  ('--config.model.filters=(32, 64)', '--config.optimizer.nesterov=true')
  """
  text = str(value).lower() if isinstance(value, bool) else str(value)
  return f'--config.{key}={text}'


def arguments(config: str, workdir: str, overrides: Mapping[str, Any]) -> list[str]:
  """Returns the arguments of Python that train a trial."""
  return [
    '-m',
    'convscan.train.main',
    f'--config={config}',
    f'--workdir={workdir}',
    *(argument(key, value) for key, value in overrides.items()),
  ]


def check_folder(root: str, names: Iterable[str] = ()) -> None:
  """Refuses a folder that holds something else than a sweep, or that can't be made.

  Trials of these names may be there: printed commands write no more than their runs.
  """
  try:
    os.makedirs(root, exist_ok=True)
    held = sorted(set(os.listdir(root)) - {'trials', *names})
  except OSError as e:
    raise ConfigError(f'--workdir: {root!r}: {e.strerror}') from e
  if held and 'sweep.json' not in held:
    raise ConfigError(
      f'--workdir: {root!r} is no sweep, but holds {", ".join(held[:4])}. '
      'Give a new or empty folder'
    )


def check_begun(root: str, names: Iterable[str] = ()) -> None:
  """Refuses a folder in which no sweep, and none of its trials, has begun."""
  if not any(os.path.exists(os.path.join(root, n)) for n in ('sweep.json', *names)):
    raise ConfigError(f'--workdir: {root!r} holds no trial of this sweep')


def remember(
  root: str, config: ConfigDict, trials: Iterable[Trial] = (), space: str = ''
) -> str:
  """Notes what is swept in `sweep.json`, beside what an earlier start noted there.

  Args:
    root: the sweep's folder.
    config: of all trials.
    trials: of a `sweep()`.
    space: in words, what a sampler draws trials from.

  Returns:
    A line that says how the trials differ from the earlier ones, or ''.

  Raises:
    ConfigError: the folder holds the sweep of another config or space.
  """
  path = os.path.join(root, 'sweep.json')
  ours = json.loads(json.dumps(config.to_dict(), sort_keys=True))
  named = {trial.name: trial.overrides for trial in trials}
  said = ''
  if os.path.exists(path):
    with open(path) as f:
      noted = json.load(f)
    here, there = flat(ours), flat(noted['config'])
    if differ := sorted(
      k for k in here.keys() | there.keys() if here.get(k) != there.get(k)
    ):
      values = '; '.join(
        f'config.{k} is {there.get(k)!r} there and {here.get(k)!r} here' for k in differ
      )
      raise ConfigError(
        f'--workdir: {root!r} holds the sweep of another config: {values}. Give '
        'another --workdir, or the same values'
      )
    if noted['space'] != space:
      raise ConfigError(
        f'--workdir: {root!r} holds a sweep of {noted["space"] or "sweep()"}, not of '
        f'{space or "sweep()"}. Give another --workdir'
      )
    before = noted['trials']
    new, gone = [n for n in named if n not in before], before.keys() - named.keys()
    parts = [f'{len(new)} new: {"; ".join(new)}'] if new else []
    parts += [f'{len(gone)} gone: {"; ".join(sorted(gone))}'] if gone else []
    if parts:
      said = f'the trials are not those of the last start: {". ".join(parts)}'
  noted = {'config': ours, 'space': space, 'trials': named}
  write(path, json.dumps(noted, indent=2) + '\n')
  return said


def _get(config: ConfigDict, key: str) -> Any:
  value: Any = config
  for word in key.split('.'):
    value = value[word]
  return value


def _plain(value: Any) -> Any:
  """Returns numpy's scalars as Python's, and lists as tuples."""
  if isinstance(value, list | tuple):
    return tuple(map(_plain, value))
  return value.item() if hasattr(value, 'item') else value
