"""Bad records: the first one is an error, or all are left out and counted."""

import logging

from .errors import DataError

_log = logging.getLogger(__name__)
_SHOWN, _FEW = 3, 5  # of many, and all of a few


class Problems:
  """What is found wrong with the records of a set while it is opened.

  Args:
    path: the file or folder that they come from.
    on_bad: 'error', or 'skip' to leave bad records out and say so in one line.

  Raises:
    ValueError: `on_bad` is neither.

  >>> Problems('photos', 'error').add('photos/cats/1.jpg', 'is empty')
  Traceback (most recent call last):
  convscan.data.errors.DataError: photos/cats/1.jpg: is empty. on_bad='skip' leaves \
such out
  """

  def __init__(self, path: str, on_bad: str):
    if on_bad not in ('error', 'skip'):
      raise ValueError(f"on_bad is {on_bad!r}, but must be 'error' or 'skip'")
    self._path, self._skip = path, on_bad == 'skip'
    self._found: dict[str, str] = {}  # the first of each record

  def add(self, where: str, what: str) -> None:
    """Notes that the record at `where` is bad, once.

    Raises:
      DataError: bad records are not skipped.
    """
    if not self._skip:
      raise DataError(f"{where}: {what}. on_bad='skip' leaves such out")
    self._found.setdefault(where, what)

  def report(self) -> None:
    """Logs how many were left out, and the first few."""
    if self._found:
      count = len(self._found)
      shown = count if count <= _FEW else _SHOWN
      first = '; '.join(f'{k}: {v}' for k, v in [*self._found.items()][:shown])
      rest = count - shown
      _log.warning(
        '%s: left out %d: %s%s',
        self._path, count, first, f'; and {rest} more' if rest > 0 else '',
      )  # fmt: skip
