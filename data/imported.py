"""A dataset of one's own, by the name of the function that opens it."""

import contextlib
import contextvars
import functools
import importlib
import inspect
import os
import re
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from .dataset import Dataset

# How a person allows functions where they are refused; '' where they are not.
_allowed_by = contextvars.ContextVar('allowed_by', default='')


def is_function(name: str) -> bool:
  """Returns whether a dataset's name is that of a function in a module.

  >>> is_function('my_package.birds:load'), is_function('imagenet2012:5.1.0')
  (True, False)
  """
  return re.fullmatch(r'[\w.]+:[^\W\d]\w*', name) is not None


def takes_any_option(load: Callable[..., Any]) -> bool:
  """Returns whether what opens a dataset has `**options`, which may be any.

  >>> takes_any_option(lambda *, count, **more: None), takes_any_option(load_function)
  (True, False)
  """
  parameters = inspect.signature(load).parameters.values()
  return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


@contextlib.contextmanager
def refusing_functions(allowed_by: str) -> Iterator[None]:
  """Lets no function open a dataset, for names that others may have chosen.

  Args:
    allowed_by: how the user allows them, for the message.

  >>> with refusing_functions('--allow_code'):
  ...   load_function('os:system')
  Traceback (most recent call last):
  ValueError: name is 'os:system', which imports module 'os' and runs its function \
'system'; --allow_code allows that, if you trust whose config it is
  """
  token = _allowed_by.set(allowed_by)
  try:
    yield
  finally:
    _allowed_by.reset(token)


def load_function(name: str) -> Callable[..., Dataset]:
  """Imports the function that opens a dataset.

  That runs the module's code, and the function is any that Python finds: what it
  returns is looked at once it has run.

  Args:
    name: 'MODULE:FUNCTION'. The function's arguments are the dataset's options, and it
      returns a `Dataset`. It gets `data_dir` only if it takes that.

  Returns:
    The function, called by keywords, `data_dir` among them or not.

  Raises:
    ValueError: the module can't be imported, or has no such function; or functions are
      refused, and then nothing was imported. What the function returned raises so too,
      given other arguments than it takes, or where it returns something else.

  >>> load_function('convscan.data.synthetic.parity:load')(seed=1).name
  'parity'
  >>> load_function('convscan.data.synthetic.parity:laod')
  Traceback (most recent call last):
  ValueError: name is 'convscan.data.synthetic.parity:laod', but that module has no \
function 'laod'
  """
  module, _, attribute = name.partition(':')
  if _allowed_by.get():
    raise ValueError(
      f'name is {name!r}, which imports module {module!r} and runs its function '
      f'{attribute!r}; {_allowed_by.get()} allows that, if you trust whose config it is'
    )
  try:
    function = getattr(importlib.import_module(module), attribute, None)
  except Exception as e:  # a person's own module may raise anything
    raise ValueError(f'name is {name!r}, but {_why(module, e)}') from e
  if not callable(function):
    raise ValueError(f'name is {name!r}, but that module has no function {attribute!r}')
  signature = inspect.signature(function)

  @functools.wraps(function)
  def load(
    *, data_dir: str | os.PathLike[str] | None = None, **options: Any
  ) -> Dataset:
    if 'data_dir' in signature.parameters:
      options['data_dir'] = data_dir
    try:
      signature.bind(**options)
    except TypeError as e:
      raise ValueError(f'name is {name!r}, which can not be called: {e}') from e
    dataset = function(**options)
    if not isinstance(dataset, Dataset):
      raise ValueError(
        f'name is {name!r}, which returns a {type(dataset).__name__}; expected a '
        'convscan.data.Dataset'
      )
    return dataset

  return load


def _why(module: str, error: Exception) -> str:
  """Says why a module can't be imported."""
  missing = error.name if isinstance(error, ModuleNotFoundError) else None
  if missing and f'{module}.'.startswith(f'{missing}.'):
    return (
      f'there is no module {missing!r} in this folder, in PYTHONPATH or among what is '
      'installed'
    )
  what = f'{type(error).__name__}: {error}'
  if isinstance(error, ImportError | SyntaxError):  # a SyntaxError names its line
    return f'importing {module!r} raises {what}'
  frame = traceback.extract_tb(error.__traceback__)[-1]
  return f'importing {module!r} raises {what} ({frame.filename}, line {frame.lineno})'
