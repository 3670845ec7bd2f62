"""What the published networks of torchvision saw when they were evaluated."""

import dataclasses
import difflib
import functools

import numpy as np
from PIL import Image

from .image_map import to_array
from .normalize import MEAN, STD, Normalize
from .resize import Interpolation, center_crop, check_interpolation, resize_shorter


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """Resizes, crops the middle and normalises: what is done to an image to evaluate it.

  The pixels are those of `torchvision`'s `weights.transforms()` given a `PIL.Image`,
  normalised with `mean` and `std`.

  Attributes:
    crop_size: height and width of what remains.
    resize_size: to which the shorter side is resized before, antialiased.
    interpolation: 'bilinear' or 'bicubic'.
    mean: what becomes 0, of pixels in 0 to 1, for red, green and blue.
    std: what becomes 1.

  Raises:
    ValueError: an illegal value.

  >>> image = Image.new('RGB', (640, 480), (124, 116, 104))  # the mean of ImageNet
  >>> pixels = published('resnet50')(image)
  >>> pixels.shape, round(float(abs(pixels).max()), 2)
  ((224, 224, 3), 0.01)
  """

  crop_size: int = 224
  resize_size: int = 256
  interpolation: Interpolation = 'bilinear'
  mean: tuple[float, float, float] = MEAN
  std: tuple[float, float, float] = STD

  def __post_init__(self) -> None:
    for name in ('crop_size', 'resize_size'):
      if getattr(self, name) < 1:
        raise ValueError(f'{name}: got {getattr(self, name)}, expected 1 or more')
    check_interpolation(self.interpolation)
    self.normalize  # noqa: B018  its own checks of mean and std

  @functools.cached_property
  def normalize(self) -> Normalize:
    """Its last step."""
    return Normalize(self.mean, self.std)

  def __call__(self, image: Image.Image) -> np.ndarray:
    """Returns float32 `[crop_size, crop_size, 3]` of an RGB image of 8 bits."""
    image = resize_shorter(image, self.resize_size, self.interpolation)
    return self.normalize(to_array(center_crop(image, self.crop_size)))

  def at(self, crop_size: int) -> 'Preprocessing':
    """Returns the same for another size, resized in proportion."""
    resize_size = round(self.resize_size * crop_size / self.crop_size)
    return dataclasses.replace(self, crop_size=crop_size, resize_size=resize_size)


_HALF = (0.5, 0.5, 0.5)

# The names of weights less 'IMAGENET1K_', the networks that have such, and what those
# saw.
_TABLE = (
  (
    'V1',
    """
    alexnet densenet121 densenet161 densenet169 densenet201 mnasnet0_5 mnasnet1_0
    mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_x_16gf
    regnet_x_1_6gf regnet_x_32gf regnet_x_3_2gf regnet_x_400mf regnet_x_800mf
    regnet_x_8gf regnet_y_16gf regnet_y_1_6gf regnet_y_32gf regnet_y_3_2gf
    regnet_y_400mf regnet_y_800mf regnet_y_8gf resnet101 resnet152 resnet18 resnet34
    resnet50 resnext101_32x8d resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0
    squeezenet1_0 squeezenet1_1 vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19
    vgg19_bn wide_resnet101_2 wide_resnet50_2
    """,
    Preprocessing(),
  ),
  (
    'V1',
    """
    convnext_base convnext_large mnasnet0_75 mnasnet1_3 resnext101_64x4d
    shufflenet_v2_x1_5 shufflenet_v2_x2_0
    """,
    Preprocessing(resize_size=232),
  ),
  (
    'V2',
    """
    mobilenet_v2 mobilenet_v3_large regnet_x_16gf regnet_x_1_6gf regnet_x_32gf
    regnet_x_3_2gf regnet_x_400mf regnet_x_800mf regnet_x_8gf regnet_y_16gf
    regnet_y_1_6gf regnet_y_32gf regnet_y_3_2gf regnet_y_400mf regnet_y_800mf
    regnet_y_8gf resnet101 resnet152 resnet50 resnext101_32x8d resnext50_32x4d
    wide_resnet101_2 wide_resnet50_2
    """,
    Preprocessing(resize_size=232),
  ),
  ('V1', 'convnext_small', Preprocessing(resize_size=230)),
  ('V1', 'convnext_tiny', Preprocessing(resize_size=236)),
  ('V1', 'efficientnet_b0', Preprocessing(224, 256, 'bicubic')),
  ('V1', 'efficientnet_b1', Preprocessing(240, 256, 'bicubic')),
  ('V2', 'efficientnet_b1', Preprocessing(240, 255)),
  ('V1', 'efficientnet_b2', Preprocessing(288, 288, 'bicubic')),
  ('V1', 'efficientnet_b3', Preprocessing(300, 320, 'bicubic')),
  ('V1', 'efficientnet_b4', Preprocessing(380, 384, 'bicubic')),
  ('V1', 'efficientnet_b5', Preprocessing(456, 456, 'bicubic')),
  ('V1', 'efficientnet_b6', Preprocessing(528, 528, 'bicubic')),
  ('V1', 'efficientnet_b7', Preprocessing(600, 600, 'bicubic')),
  ('V1', 'efficientnet_v2_l', Preprocessing(480, 480, 'bicubic', _HALF, _HALF)),
  ('V1', 'efficientnet_v2_m', Preprocessing(480, 480)),
  ('V1', 'efficientnet_v2_s', Preprocessing(384, 384)),
  # These two normalise once more in torchvision, where it is asked for their weights
  # (`transform_input`), so that the first layer sees pixels in -1 to 1.
  ('V1', 'googlenet', Preprocessing(mean=_HALF, std=_HALF)),
  ('V1', 'inception_v3', Preprocessing(299, 342, mean=_HALF, std=_HALF)),
  (
    'SWAG_E2E_V1',
    'regnet_y_128gf regnet_y_16gf regnet_y_32gf',
    Preprocessing(384, 384, 'bicubic'),
  ),
  (
    'SWAG_LINEAR_V1',
    'regnet_y_128gf regnet_y_16gf regnet_y_32gf',
    Preprocessing(224, 224, 'bicubic'),
  ),
  (
    'FEATURES',
    'vgg16',
    Preprocessing(mean=(0.48235, 0.45882, 0.40784), std=(1 / 255,) * 3),
  ),
)

_PUBLISHED = {
  f'{network}.IMAGENET1K_{weights}': preprocessing
  for weights, networks, preprocessing in _TABLE
  for network in networks.split()
}


def published_names() -> list[str]:
  """Returns what `published` knows, network and weights, sorted.

  >>> [name for name in published_names() if name.startswith('resnet50.')]
  ['resnet50.IMAGENET1K_V1', 'resnet50.IMAGENET1K_V2']
  """
  return sorted(_PUBLISHED)


def published(name: str) -> Preprocessing:
  """Returns what a published network's weights saw when they were evaluated.

  Source: `meta` and `transforms` of the weights in torchvision 0.28 and, for GoogLeNet
  and Inception v3, what these do to their input before their first layer.

  Args:
    name: a network of torchvision's and, after a dot, its weights, such as
      'resnet50.IMAGENET1K_V1' for `ResNet50_Weights.IMAGENET1K_V1`. A network alone
      stands for those that torchvision calls `DEFAULT`.

  Raises:
    ValueError: an unknown name.

  >>> published('efficientnet_b3').resize_size
  320
  """
  # The order in which torchvision chooses its default.
  for full in (name, *(f'{name}.IMAGENET1K_{w}' for w in ('V2', 'V1', 'SWAG_E2E_V1'))):
    if full in _PUBLISHED:
      return _PUBLISHED[full]
  known = [*published_names(), *{n.split('.')[0] for n in _PUBLISHED}]
  near = difflib.get_close_matches(name, known, n=3)
  hint = f'one of {", ".join(near)}' if near else 'such as resnet50'
  raise ValueError(f'preprocess: got {name!r}, expected a published network, {hint}')
