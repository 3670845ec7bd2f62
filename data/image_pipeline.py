"""What happens to images between a file and a network, in training and evaluation.

>>> import numpy as np
>>> images = np.random.default_rng(0).integers(0, 256, (8, 40, 50, 3), np.uint8)
>>> records = [{'image': image, 'label': 0} for image in images]
>>> pipeline = image_pipeline(size=24, augment='randaugment')
>>> dataset = pipeline.dataset('mine', ['thing'], records[:6], records[6:])
>>> dataset.splits['test'][0]['inputs'].shape
(24, 24, 3)

A set of images takes `size`, `augment`, `preprocess`, `color_jitter` and `erasing` as
its own options, and hands them on.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grain
import numpy as np
from PIL import Image

from .dataset import Dataset, Example
from .errors import DataError
from .image_files import read_image
from .transforms import (
  AugMix,
  ColorJitter,
  Preprocessing,
  RandAugment,
  RandomErasing,
  RandomHorizontalFlip,
  RandomResizedCrop,
  TrivialAugmentWide,
  published,
)
from .transforms.image_map import ToArray, to_image

_AUTOMATIC = {
  'standard': (),
  'randaugment': (RandAugment,),
  'trivialaugment': (TrivialAugmentWide,),
  'augmix': (AugMix,),
}

# Each with 'image': a file's path or bytes, uint8 `[height, width, 3]`, or a
# `PIL.Image` of mode 'RGB'; and 'label'.
Records = Sequence[Mapping[str, Any]]


class Images:
  """Examples from records of an image, encoded or not, and its label.

  Args:
    records: each with 'image', the path of a file, its bytes, an array, uint8
      `[height, width, 3]`, or a `PIL.Image` of mode 'RGB', and 'label', an integer; and
      'file_name', bytes, to say which is damaged, if there is one. Where they have a
      method `where(index)`, that says so too.
    finish: makes an array of the `PIL.Image`. None leaves it as it is, for random
      transforms that go before `Normalize`.
  """

  def __init__(
    self,
    records: Records,
    finish: Callable[[Image.Image], np.ndarray] | None,
  ):
    self._records = records
    self._finish = finish

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: int) -> dict[str, Any]:
    record = self._records[index]
    image = record['image']
    try:
      if isinstance(image, np.ndarray):
        image = to_image(image)
      elif not isinstance(image, Image.Image):
        image = read_image(image)
    except (DataError, ValueError) as e:
      name = f' ({record["file_name"].decode()})' if 'file_name' in record else ''
      where = getattr(self._records, 'where', 'image {}'.format)
      raise DataError(f'{where(index)}{name}: {e}') from e
    return {
      'inputs': image if self._finish is None else self._finish(image),
      'targets': np.array(record['label'], np.int32),
      'weights': np.array(1, np.float32),
    }


@dataclasses.dataclass(frozen=True)
class ImagePipeline:
  """How images are prepared; `image_pipeline` makes it from a dataset's options.

  Attributes:
    preprocess: what is done to an image to evaluate it: resized, cropped, normalised.
    augment: what is done to train on it, in order. Empty: what is done to evaluate it.
    finish: what is done to a batch of that at last, see `Dataset`.
  """

  preprocess: Preprocessing
  augment: tuple[grain.transforms.RandomMap, ...] = ()
  finish: Callable[[Example], Example] | None = None

  def dataset(
    self, name: str, classes: Sequence[str], train: Records, test: Records
  ) -> Dataset:
    """Returns a dataset of classification; see `Images` for its records.

    Its inputs are float32 `[size, size, 3]`, normalised.
    """
    return Dataset(
      name=name,
      task='classification',
      classes=tuple(classes),
      splits={
        'train': Images(train, self.preprocess),
        'test': Images(test, self.preprocess),
      },
      augment=self.augment,
      raw=Images(train, None) if self.augment else None,
      finish=self.finish,
    )


def image_pipeline(
  *,
  size: int = 0,
  augment: str = 'standard',
  preprocess: str = '',
  color_jitter: float = 0.0,
  erasing: float = 0.0,
) -> ImagePipeline:
  """Returns how images are prepared.

  Args:
    size: height and width of what the network takes; 0 is that of `preprocess`.
    augment: for training: 'standard' takes a random part, resized, and mirrors it or
      not; 'randaugment', 'trivialaugment' and 'augmix' go on with what they are named
      for; '' takes what is evaluated.
    preprocess: a published network of torchvision's, such as 'resnet50', or with its
      weights, such as 'resnet50.IMAGENET1K_V1': to evaluate, images are resized,
      cropped and normalised as it was evaluated. '' stands for the usual: to 256
      pixels for a crop of 224.
    color_jitter: how much brightness, contrast and saturation change while training.
    erasing: how probable it is that a rectangle is erased while training.

  Raises:
    ValueError: an illegal value, or one that needs an `augment` that is ''.
  """
  steps = published(preprocess) if preprocess else Preprocessing()
  if size < 0:
    raise ValueError(f'size: got {size}, expected 1 or more, or 0 for {preprocess!r}')
  if size:
    steps = steps.at(size)
  if not augment:
    for name, value in (('color_jitter', color_jitter), ('erasing', erasing)):
      if value:
        raise ValueError(f"{name}: got {value}, expected 0, since augment is ''")
    return ImagePipeline(steps)
  if augment not in _AUTOMATIC:
    raise ValueError(
      f'augment: got {augment!r}, expected one of {", ".join(_AUTOMATIC)}, or ""'
    )
  transforms: list[grain.transforms.RandomMap] = [
    RandomResizedCrop(steps.crop_size, interpolation=steps.interpolation),
    RandomHorizontalFlip(),
  ]
  if color_jitter:
    transforms.append(
      ColorJitter(
        brightness=color_jitter, contrast=color_jitter, saturation=color_jitter
      )
    )
  transforms += [make() for make in _AUTOMATIC[augment]]
  if erasing:  # of what is normalised, so that nothing is left
    transforms += [steps.normalize, RandomErasing(erasing)]
    return ImagePipeline(steps, tuple(transforms))
  return ImagePipeline(steps, (*transforms, ToArray()), steps.normalize.finish)
