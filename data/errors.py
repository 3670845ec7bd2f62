"""What is wrong with the data itself."""


class DataError(Exception):
  """Data that is missing or damaged; the message says which, where, and what to do.

  It names the file, and the row or record where there is one. Commands print it alone,
  and exit with status 1.
  """


class DamagedRecord(DataError):
  """A record of a prepared set that can't be read."""


class BadExample(DataError):
  """An example that can't be used.

  Args:
    where: the dataset, its split and the example.
    reason: what is wrong with it.

  >>> print(BadExample('birds, train: example 5', 'target 2; expected 0 to 1'))
  birds, train: example 5: target 2; expected 0 to 1. config.on_bad_example=skip \
leaves such out
  """

  def __init__(self, where: str, reason: str):
    super().__init__(where, reason)  # both, so that it can be pickled
    self.where, self.reason = where, reason

  def __str__(self) -> str:
    end = '' if self.reason.endswith('.') else '.'
    return (
      f'{self.where}: {self.reason}{end} config.on_bad_example=skip leaves such out'
    )


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
