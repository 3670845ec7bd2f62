"""What a table of another library's names is made of."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias


class Name(NamedTuple):
  """What another library calls some modules, or parameters that have a name there.

  Attributes:
    pattern: a regular expression for the path of the module here, or of the parameter.
    name: theirs, with the pattern's groups; or a function of the match and the model.
    ndim: how many axes its kernel, or the parameter, has there, or a function of the
      model. Fewer than here: the last are one; more: those at the end are of size 1.
      None for as many.
    before: how many axes of size 1 each of its arrays has there in front of these.
  """

  pattern: str
  name: str | Callable[[re.Match[str], Any], str]
  ndim: int | Callable[[Any], int | None] | None = None
  before: int = 0


Table: TypeAlias = Sequence[Name]


def staged(name: str) -> Callable[[re.Match[str], Any], str]:
  """Names what is in stages that are counted from 1 here, and from 0 there.

  Args:
    name: theirs, as a format of the pattern's groups, of which the first is the stage.
  """

  def expand(match: re.Match[str], model: Any) -> str:
    stage, *groups = match.groups()
    return name.format(int(stage) - 1, *groups)

  return expand
