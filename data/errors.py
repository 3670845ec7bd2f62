"""What is wrong with the data itself."""


class DataError(Exception):
  """Data that is missing or damaged; the message says which, where, and what to do.

  It names the file, and the row or record where there is one. Commands print it alone,
  and exit with status 1.
  """


def damaged(path: str, error: object) -> DataError:
  """Returns the error of a file that was fetched and can't be read.

  Args:
    path: the file.
    error: what is wrong with it.

  >>> print(damaged('a.zip', 'Bad CRC-32'))  # doctest: +ELLIPSIS
  a.zip is damaged: Bad CRC-32. Remove it and run the same again, which fetches it...
  """
  return DataError(
    f'{path} is damaged: {error}. Remove it and run the same again, which fetches it '
    'or says from where to'
  )
