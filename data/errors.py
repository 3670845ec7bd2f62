"""What is wrong with the data itself."""


class DataError(Exception):
  """Data that is missing or damaged; the message says which, where, and what to do.

  It names the file, and the row or record where there is one. Commands print it alone,
  and exit with status 1.
  """
