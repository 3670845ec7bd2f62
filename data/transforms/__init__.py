"""Images to arrays, and random changes of them, as torchvision does it.

>>> import numpy as np
>>> from convscan.data import transforms
>>> example = {'inputs': np.zeros((32, 48, 3), np.uint8)}
>>> rng = np.random.default_rng(0)
>>> for transform in (transforms.RandomResizedCrop(24), transforms.Normalize()):
...   example = transform.random_map(example, rng)
>>> example['inputs'].shape, example['inputs'].dtype
((24, 24, 3), dtype('float32'))

Up to `Normalize` an image has 8 bits, in 0 to 255, and is a `PIL.Image` or an array;
from there on it is a float32 array. Mixup and CutMix mix the images of a batch, and are
part of the training step.
"""

from .augmix import AugMix
from .automatic import RandAugment, TrivialAugmentWide
from .color import ColorJitter
from .crop import RandomResizedCrop
from .erasing import RandomErasing
from .flip import RandomHorizontalFlip
from .image_map import ImageMap
from .normalize import Normalize
from .published import Preprocessing, published, published_names

__all__ = [
  'AugMix',
  'ColorJitter',
  'ImageMap',
  'Normalize',
  'Preprocessing',
  'RandAugment',
  'RandomErasing',
  'RandomHorizontalFlip',
  'RandomResizedCrop',
  'TrivialAugmentWide',
  'published',
  'published_names',
]
