"""The networks of torchvision, for what is compared with them."""

from collections.abc import Sequence
from typing import Any

import torch


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


def prepared(name: str, **options: Any) -> Any:
  """Returns a network of torchvision's whose numbers tell something; see `prepare`."""
  if name in ('googlenet', 'inception_v3'):
    options.setdefault('init_weights', False)  # minutes, for weights replaced below
  return prepare(import_torchvision().models.get_model(name, weights=None, **options))


def prepare(net: Any, shape: Sequence[int] = (4, 3, 96, 96)) -> Any:
  """Gives a network random weights, and the statistics of a batch of such a shape.

  As initialised, the logits of some networks would be the same for all images, to 14
  digits.
  """
  torch.manual_seed(0)
  for module in net.modules():
    if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
      torch.nn.init.kaiming_normal_(module.weight, nonlinearity='relu')
    elif getattr(module, 'weight', None) is not None:  # a normalisation's
      torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    if getattr(module, 'bias', None) is not None:
      torch.nn.init.normal_(module.bias, std=0.1)
    for name, scale in module.named_parameters(recurse=False):
      if name in ('layer_scale', 'gamma', 'layer_scale_parameter'):
        torch.nn.init.uniform_(scale, 0.5, 1.0)
  norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
  net.eval()
  for norm in norms:
    norm.train()
    norm.momentum = None
  with torch.no_grad():
    net(torch.randn(*shape))
  return net.eval()
