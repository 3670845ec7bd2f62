"""Sets described without their files: what these are known to hold, left blank."""

import contextlib
import contextvars
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

# For each split, how many records it has, and one that all of them are like.
Declared: TypeAlias = Mapping[str, tuple[int, dict[str, Any]]]

_DECLARING = contextvars.ContextVar('declaring', default=False)


@contextlib.contextmanager
def declaring() -> Iterator[None]:
  """Lets sets that are not prepared be declared, within it, and not fetched."""
  token = _DECLARING.set(True)
  try:
    yield
  finally:
    _DECLARING.reset(token)


def is_declaring() -> bool:
  """Returns whether this is within `declaring`.

  >>> with declaring():
  ...   is_declaring()
  True
  >>> is_declaring()
  False
  """
  return _DECLARING.get()


class Repeated(Sequence[dict[str, Any]]):
  """The same record, so many times.

  >>> records = Repeated(3, {'label': 0})
  >>> len(records), records[-1]
  (3, {'label': 0})
  """

  def __init__(self, count: int, record: dict[str, Any]):
    self._count, self._record = count, record

  def __len__(self) -> int:
    return self._count

  def __getitem__(self, index: Any) -> Any:
    range(self._count)[index]
    return dict(self._record)


def placeholders(first: Sequence[str], count: int) -> list[str]:
  """Returns so many tokens, of which only the first are known.

  >>> placeholders(['<unk>'], 3)
  ['<unk>', 'token 1', 'token 2']
  """
  return [*first, *(f'token {i}' for i in range(len(first), count))]
