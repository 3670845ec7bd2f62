"""What every dataset looks like to the code that trains on it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

import grain
import numpy as np

from .scaling import Units
from .vocabulary import Vocabulary

# 'inputs', 'targets', 'weights' and, of padded sequences, 'lengths'; see `Dataset`.
Example: TypeAlias = dict[str, np.ndarray]


class Source(Protocol):
  """Examples by position: `source[i]` for `0 <= i < len(source)`.

  It may have a method `get_batch(indices)` too, which returns at once what stacking
  `source[i]` for all i of int64 `indices [batch]` would; an attribute `lengths`, int
  `[examples]`, which spares reading them all to sort them by length; and an attribute
  `unit`, what a person is told that its examples are, such as 'windows of 64 tokens'.
  """

  def __len__(self) -> int: ...

  def __getitem__(self, index: int, /) -> Example: ...


@dataclasses.dataclass(frozen=True)
class Dataset:
  """A task and its examples.

  Each example is a dict of numpy arrays, `inputs`, `targets` and `weights`. Weights are
  float32, one a target; one of weight 0 is not counted, neither in a loss nor in a
  metric. Sequences padded to one length have `lengths` too, int32 `[]`: how many of
  their first steps are real, 1 or more; what lies past them changes nothing, and
  targets there do not count. `task` says what targets are:

  * 'classification': a class, int32 `[]`, or shares of all, float32 `[classes]`, of an
    image, float32 `[height, width, channels]`, in 0 to 1 or, where the set says so,
    normalised: less the mean and by the standard deviation of the pixels that its
    network was published with.
  * 'segmentation': a class for each pixel, int32 `[height, width]`.
  * 'tagging': a class for each character, int32 `[length]`. `inputs` are the
    characters' numbers, int32 `[length]`.
  * 'language_model': the next token at every position, int32 `[length]`.
  * 'regression': numbers, float32 `[outputs]`, of the order of 1.
  * 'forecasting': the numbers that follow a window, float32 `[horizon, outputs]`.
    `inputs` are float32 `[length, features]`, and their first features those numbers so
    far.

  Attributes:
    name: what `build` calls it.
    task: one of these.
    classes: the name of every class or, for numbers, of every output. For a language
      model these are the tokens, such as characters, and value 0, written '\\x00', is
      the token that starts a document.
    splits: 'train', 'test' and, in some sets, 'validation', each giving examples by
      position.
    augment: random transforms of one example, applied in order while training.
    raw: what they are applied to, where that is not `splits['train']`: the same
      examples before they are fit for a network, such as images of any size.
    finish: what is done to a training batch at last, once its examples are stacked and
      have come from the process that made them, such as turning 8 bits into floats.
    vocabulary: the tokens of its texts, where these are no characters or where what
      `inputs` hold is no class.
    license: what the makers of the set allow, or '' where it is not known.
    names: what a person calls each example, such as the path of a file, by split, for
      the table of predictions.
    units: what the targets of numbers were normalised by, by split, so that the table
      and figures show them as the data has them.
  """

  name: str
  task: Literal[
    'classification',
    'forecasting',
    'language_model',
    'regression',
    'segmentation',
    'tagging',
  ]
  classes: tuple[str, ...]
  splits: Mapping[str, Source]
  augment: tuple[grain.transforms.RandomMap, ...] = ()
  raw: Source | None = None
  finish: Callable[[Example], Example] | None = None
  vocabulary: Vocabulary | None = None
  license: str = ''
  names: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
  units: Mapping[str, Units] = dataclasses.field(default_factory=dict)

  def encode(self, string: str) -> np.ndarray:
    """Returns the numbers of a text's tokens, int32 `[tokens]`.

    Raises:
      ValueError: it has a token that the dataset does not know.
    """
    return self.tokens.encode(string)

  def decode(self, ids: Sequence[int] | np.ndarray) -> str:
    """Returns the text of numbers `[tokens]`, the inverse of `encode`."""
    return self.tokens.decode(ids)

  @property
  def tokens(self) -> Vocabulary:
    """What its texts are made of: without a `vocabulary`, characters, its classes."""
    return self.vocabulary or Vocabulary(self.classes)
