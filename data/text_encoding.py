"""Text in a file, in the encoding that it is said to be in."""

import codecs

from .errors import DataError


def decode_text(content: bytes, path: str, encoding: str) -> str:
  """Returns a file's text, without a byte order mark.

  Raises:
    ValueError: an unknown encoding.
    DataError: the text is in another one.

  >>> decode_text(b'a,b\\n1,\\xff', 'x.csv', 'utf-8')
  Traceback (most recent call last):
  convscan.data.errors.DataError: x.csv, line 2: byte 6 of the file, 0xff, is not utf-8;
  expected text in that encoding, or the option encoding to name another
  """
  try:
    codecs.lookup(encoding)
  except LookupError:
    raise ValueError(
      f'encoding is {encoding!r}, but must be one that Python knows, such as utf-8'
    ) from None
  try:
    return content.decode(encoding).removeprefix('\ufeff')
  except UnicodeDecodeError as e:
    line = content.count(b'\n', 0, e.start) + 1
    raise DataError(
      f'{path}, line {line}: byte {e.start} of the file, 0x{content[e.start]:02x}, is '
      f'not {encoding}; expected text in that encoding, or the option encoding to name '
      'another'
    ) from e
