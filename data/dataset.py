"""What every dataset looks like to the code that trains on it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

import grain
import numpy as np

from . import text

# 'inputs', 'targets' and 'weights'; a target of weight 0 is not counted.
Example: TypeAlias = dict[str, np.ndarray]


class Source(Protocol):
  """Examples by position: `source[i]` for `0 <= i < len(source)`."""

  def __len__(self) -> int: ...

  def __getitem__(self, index: int, /) -> Example: ...


@dataclasses.dataclass(frozen=True)
class Dataset:
  """A task and its examples.

  Each example is a dict of numpy arrays. For 'classification', `inputs` are
  float32 `[height, width, channels]` in 0 to 1, `targets` an int32 scalar and
  `weights` a float32 scalar. For 'language_model' all three are `[length]`:
  `inputs` and `targets` int32, `weights` float32. A target of weight 0 is not
  counted, neither in a loss nor in a metric.

  Attributes:
    name: what `build` calls it.
    task: what `targets` are: one class an example, or the next character at every
      position.
    classes: the name of every target value. For text these are the characters,
      and value 0, written '\\x00', is the token that starts a document.
    splits: 'train' and 'test', each giving examples by position.
    augment: random transforms of one example, applied in order while training.
  """

  name: str
  task: Literal['classification', 'language_model']
  classes: tuple[str, ...]
  splits: Mapping[str, Source]
  augment: tuple[grain.transforms.RandomMap, ...] = ()

  def encode(self, string: str) -> np.ndarray:
    """Returns the int32 `[characters]` target values of a text.

    Args:
      string: text in the characters among `classes`.

    Raises:
      ValueError: a character is not among `classes`.
    """
    return text.encode(string, self.classes)

  def decode(self, ids: Sequence[int] | np.ndarray) -> str:
    """Returns the text of target values `[characters]`, the inverse of `encode`."""
    return text.decode(ids, self.classes)
