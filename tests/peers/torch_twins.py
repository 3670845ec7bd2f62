"""Networks in torch that no library has, written after their publications.

Each keeps the maps of its last call in `maps`, in order.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import nn


def conv3x3(ins: int, outs: int, stride: int = 1) -> nn.Conv2d:
  return nn.Conv2d(ins, outs, 3, stride, padding=1, bias=False)


class PaddedBlock(nn.Module):
  """He et al. 2015, section 4.2, with the shortcut of option A."""

  def __init__(self, ins: int, outs: int, stride: int) -> None:
    super().__init__()
    self.conv1, self.bn1 = conv3x3(ins, outs, stride), nn.BatchNorm2d(outs)
    self.conv2, self.bn2 = conv3x3(outs, outs), nn.BatchNorm2d(outs)
    self.more, self.stride = outs - ins, stride

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
    x = F.avg_pool2d(x, 1, self.stride)
    zeros = x.new_zeros(x.shape[0], self.more, *x.shape[2:])
    return F.relu(y + torch.cat([x, zeros], 1))


class CIFARNet(nn.Module):
  """Stages after a 3x3 convolution; keeps the maps of the last call."""

  def __init__(
    self, block: Callable[..., nn.Module], sizes: Sequence[int], widths: Sequence[int]
  ) -> None:
    super().__init__()
    self.conv1 = conv3x3(3, widths[0])
    self.bn1 = nn.BatchNorm2d(widths[0])
    before = widths[0]
    for i, (size, width) in enumerate(zip(sizes, widths, strict=True)):
      blocks = []
      for j in range(size):
        blocks.append(block(before, width, 2 if i and not j else 1))
        before = width
      setattr(self, f'layer{i + 1}', nn.Sequential(*blocks))
    self.fc = nn.Linear(before, 10)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    self.maps = [F.relu(self.bn1(self.conv1(x)))]
    for layer in (self.layer1, self.layer2, self.layer3):
      self.maps.append(layer(self.maps[-1]))
    return self.fc(self.maps[-1].mean((2, 3)))


class PreActBlock(nn.Module):
  """He et al. 2016, figure 4e; `windows` (3, 3), or (1, 3, 1) of a quarter's width."""

  def __init__(
    self, ins: int, outs: int, stride: int, windows: Sequence[int], first: bool
  ) -> None:
    super().__init__()
    widths = [outs if windows[0] == 3 else outs // 4] * (len(windows) - 1) + [outs]
    before = ins
    for i, (window, width) in enumerate(zip(windows, widths, strict=True), start=1):
      setattr(self, f'bn{i}', nn.BatchNorm2d(before))
      conv = nn.Conv2d(
        before, width, window, stride if i == 1 else 1, window // 2, bias=False
      )
      setattr(self, f'conv{i}', conv)
      before = width
    self.size, self.first = len(windows), first
    self.downsample = nn.Sequential()
    if ins != outs:
      self.downsample.append(nn.Conv2d(ins, outs, 1, stride, bias=False))

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    y = F.relu(self.bn1(x))
    x = self.downsample(y if self.first else x)
    y = self.conv1(y)
    for i in range(2, self.size + 1):
      y = getattr(self, f'conv{i}')(F.relu(getattr(self, f'bn{i}')(y)))
    return x + y


class PreActNet(nn.Module):
  """As `CIFARNet`, where the last map is normalised and the first is not."""

  def __init__(
    self, windows: Sequence[int], sizes: Sequence[int], widths: Sequence[int]
  ) -> None:
    super().__init__()
    self.conv1, before = conv3x3(3, 16), 16
    for i, (size, width) in enumerate(zip(sizes, widths, strict=True)):
      blocks = []
      for j in range(size):
        stride = 2 if i and not j else 1
        blocks.append(PreActBlock(before, width, stride, windows, first=not j))
        before = width
      setattr(self, f'layer{i + 1}', nn.Sequential(*blocks))
    self.bn, self.fc = nn.BatchNorm2d(before), nn.Linear(before, 10)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    self.maps = [self.conv1(x)]
    for layer in (self.layer1, self.layer2, self.layer3):
      self.maps.append(layer(self.maps[-1]))
    self.maps[-1] = F.relu(self.bn(self.maps[-1]))
    return self.fc(self.maps[-1].mean((2, 3)))


class DoubleConv(nn.Module):
  """Two 3x3 convolutions with what follows them."""

  def __init__(self, ins: int, outs: int, use_norm: bool) -> None:
    super().__init__()
    for i in (1, 2):
      setattr(self, f'conv{i}', nn.Conv2d(ins if i == 1 else outs, outs, 3, padding=1))
      if use_norm:
        setattr(self, f'norm{i}', nn.BatchNorm2d(outs))

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    for i in (1, 2):
      x = getattr(self, f'conv{i}')(x)
      x = F.relu(getattr(self, f'norm{i}', nn.Identity())(x))
    return x


class UNet(nn.Module):
  """Ronneberger et al. 2015, figure 1, padded and without dropout."""

  def __init__(
    self, widths: Sequence[int], use_norm: bool, ins: int = 3, num_classes: int = 10
  ) -> None:
    super().__init__()
    self.size = len(widths)
    for i, width in enumerate(widths, start=1):
      setattr(self, f'encoder{i}', DoubleConv(ins, width, use_norm))
      ins = width
    for i in range(1, self.size):
      width = widths[-1 - i]
      setattr(self, f'upconv{i}', nn.ConvTranspose2d(widths[-i], width, 2, stride=2))
      setattr(self, f'decoder{i}', DoubleConv(2 * width, width, use_norm))
    self.conv = nn.Conv2d(widths[0], num_classes, 1)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    self.maps = []
    for i in range(1, self.size + 1):
      x = getattr(self, f'encoder{i}')(x if i == 1 else F.max_pool2d(x, 2))
      self.maps.append(x)
    for i in range(1, self.size):
      left, up = self.maps[self.size - 1 - i], getattr(self, f'upconv{i}')(x)
      height, width = (left.shape[n] - up.shape[n] for n in (2, 3))
      up = F.pad(up, (0, width, 0, height))
      x = getattr(self, f'decoder{i}')(torch.cat([left, up], 1))
      self.maps.append(x)
    return self.conv(x)
