"""The networks of torchvision, for what is compared with them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import numpy as np
import torch
from seeded import make_array, make_images, make_noise

# The modules whose outputs the feature maps are, in order, by a network's name.
_STAGES = {
  'alexnet': ('features.2', 'features.5', 'features.12'),
  'convnext_*': [f'features.{i}' for i in (1, 3, 5, 7)],
  'densenet*': (
    'features.relu0',
    *(f'features.denseblock{i}' for i in (1, 2, 3)),
    'features.norm5',
  ),
  'efficientnet_v2_s': [f'features.{i}' for i in range(8)],
  'efficientnet_*': [f'features.{i}' for i in range(9)],
  'googlenet': ('conv1', 'conv3', 'inception3b', 'inception4e', 'inception5b'),
  'inception_v3': (
    'Conv2d_2b_3x3',
    'Conv2d_4a_3x3',
    'Mixed_5d',
    'Mixed_6e',
    'Mixed_7c',
  ),
  'mnasnet*': [f'layers.{i}' for i in (2, 7, *range(8, 14), 16)],
  'mobilenet_v2': [f'features.{i}' for i in (0, 1, 3, 6, 10, 13, 16, 17, 18)],
  'mobilenet_v3_large': [f'features.{i}' for i in (0, 1, 3, 6, 12, 15, 16)],
  'mobilenet_v3_small': [f'features.{i}' for i in (0, 1, 3, 8, 11, 12)],
  'regnet_*': ('stem', *(f'trunk_output.block{i}' for i in (1, 2, 3, 4))),
  '*resnet*': ('relu', 'layer1', 'layer2', 'layer3', 'layer4'),
  'resnext*': ('relu', 'layer1', 'layer2', 'layer3', 'layer4'),
  'shufflenet_*': ('conv1', 'stage2', 'stage3', 'stage4', 'conv5'),
  'squeezenet1_0': [f'features.{i}' for i in (1, 5, 10, 12)],
  'squeezenet1_1': [f'features.{i}' for i in (1, 4, 7, 12)],
  'vgg11': [f'features.{i}' for i in (2, 5, 10, 15, 20)],
  'vgg11_bn': [f'features.{i}' for i in (3, 7, 14, 21, 28)],
  'vgg13': [f'features.{i}' for i in (4, 9, 14, 19, 24)],
  'vgg13_bn': [f'features.{i}' for i in (6, 13, 20, 27, 34)],
  'vgg16': [f'features.{i}' for i in (4, 9, 16, 23, 30)],
  'vgg16_bn': [f'features.{i}' for i in (6, 13, 23, 33, 43)],
  'vgg19': [f'features.{i}' for i in (4, 9, 18, 27, 36)],
  'vgg19_bn': [f'features.{i}' for i in (6, 13, 26, 39, 52)],
}


def import_torchvision() -> Any:
  """Imports torchvision on a machine without CUDA, where its own operators fail."""
  try:
    import torchvision
  except RuntimeError:
    # What its Python part asks for of its compiled part; never called here.
    library = torch.library.Library('torchvision', 'FRAGMENT')
    import_torchvision.library = library
    boxes = '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor'
    for name in ('nms', 'qnms'):
      library.define(name + boxes)
    import torchvision
  return torchvision


def prepared(
  name: str, min_size: int = 1, dtype: torch.dtype = torch.float32, **options: Any
) -> Any:
  """Returns a network of torchvision's, prepared as `prepare` does.

  Args:
    name: the network's.
    min_size: the smallest height and width of an image that it takes.
    dtype: of its weights, and so of its computation.
    **options: torchvision's.
  """
  if name in ('googlenet', 'inception_v3'):
    options.setdefault('init_weights', False)  # minutes, for weights replaced below
  net = import_torchvision().models.get_model(name, weights=None, **options)
  batch, *sides, channels = make_images('calibration', min_size).shape
  return prepare(net.to(dtype), (batch, channels, *sides))


def prepare(net: Any, shape: Sequence[int] = (8, 3, 96, 96)) -> Any:
  """Gives a network such weights that its numbers tell something; see `seeded`.

  Args:
    net: any network of torch's.
    shape: `[batch, channels, height, width]` of the images whose statistics it gets;
      a variance is theirs, and not torch's unbiased estimate of another's.
  """
  for key, tensor in net.state_dict().items():
    if tensor.is_floating_point():
      tensor.copy_(torch.from_numpy(make_array(key, tuple(tensor.shape))))
  batch, channels, *sides = shape
  net.eval()
  with torch.no_grad(), _calibrating(net):
    net(_to_torch(net, make_noise('calibration', (batch, *sides, channels))))
  return net.eval()


def logits_and_maps(
  net: Any, name: str, images: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
  """Evaluates a network of torchvision's.

  Returns:
    Its logits, and its feature maps `[batch, height, width, channels]` in order.
  """
  paths = next(paths for key, paths in _STAGES.items() if fnmatchcase(name, key))
  maps: dict[str, np.ndarray] = {}

  def keep(path: str, module: Any, args: Any, output: Any) -> None:
    # A copy, for an activation in place may follow; and the first call's.
    maps.setdefault(path, output.detach().clone().permute(0, 2, 3, 1).numpy())

  modules = dict(net.named_modules())
  hooks = [modules[path].register_forward_hook(partial(keep, path)) for path in paths]
  with torch.no_grad():
    logits = net(_to_torch(net, images)).numpy()
  for hook in hooks:
    hook.remove()
  return logits, [maps[path] for path in paths]


def norm_options(net: Any) -> tuple[float, float | None] | None:
  """Returns what `seeded.norm_options` does, or None where nothing normalises.

  Raises:
    ValueError: they are not the same for all normalisations.
  """
  found = {
    (norm.eps, round(norm.momentum, 6) if hasattr(norm, 'momentum') else None)
    for norm in net.modules()
    if isinstance(norm, torch.nn.BatchNorm2d | torch.nn.LayerNorm)
  }
  if len(found) > 1:
    raise ValueError(f'net: got normalisations of {sorted(found)}, expected one kind')
  return found.pop() if found else None


@contextmanager
def _calibrating(net: Any) -> Iterator[None]:
  """Lets the normalisations alone train, and keep a batch's variance as it is."""

  def unbias(norm: Any, args: Sequence[Any], output: Any) -> None:
    n = args[0].numel() // args[0].shape[1]
    norm.running_var *= (n - 1) / n  # torch keeps the unbiased estimate

  norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
  momenta = [norm.momentum for norm in norms]
  hooks = [norm.register_forward_hook(unbias) for norm in norms]
  for norm in norms:
    norm.train()
    norm.momentum = 1.0  # nothing is left of what was there before
  yield
  for norm, momentum, hook in zip(norms, momenta, hooks, strict=True):
    norm.momentum = momentum
    hook.remove()


def _to_torch(net: Any, images: np.ndarray) -> torch.Tensor:
  dtype = next(net.parameters()).dtype
  return torch.from_numpy(images).permute(0, 3, 1, 2).to(dtype)
