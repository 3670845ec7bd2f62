"""The block of the MobileNets and the EfficientNets."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
from jax import Array

from ..layers import ConvNormAct, StochasticDepth
from .network import Layer


class InvertedResidual(nn.Module):
  """Expands the channels, convolves each by itself, and projects them to fewer.

  Sandler et al. 2018, https://arxiv.org/abs/1801.04381; with squeeze and excitation
  before the projection, Tan et al. 2018, https://arxiv.org/abs/1807.11626. Nothing
  expands where `expanded` is the number of input channels, and the shortcut is only
  where the shapes of input and output are equal.

  Attributes:
    features: the number of output channels.
    expanded: the number of channels that the depthwise convolution has.
    window: its size.
    strides: of it.
    conv: makes a convolution.
    norm: makes a normalisation.
    act: the activation of all but the projection.
    squeeze_excite: makes squeeze and excitation of `conv` and a name, or is None.
    stochastic_depth_rate: the probability of dropping what is beside the shortcut.
    train: whether to drop it.
  """

  features: int
  expanded: int
  window: int
  strides: int
  conv: Layer
  norm: Layer
  act: Callable[[Array], Array]
  squeeze_excite: Layer | None = None
  stochastic_depth_rate: float = 0.0
  train: bool = False

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[batch, height, width, channels]` to as many of `features` channels."""
    layer = partial(ConvNormAct, conv=self.conv, norm=self.norm, act=self.act)
    y = x
    if self.expanded != x.shape[-1]:
      y = layer(self.expanded, (1, 1), name='expand')(y)
    y = layer(
      self.expanded,
      (self.window, self.window),
      strides=self.strides,
      padding=self.window // 2,
      groups=self.expanded,
      name='depthwise',
    )(y)
    if self.squeeze_excite is not None:
      y = self.squeeze_excite(conv=self.conv, name='squeeze_excite')(y)
    y = layer(self.features, (1, 1), act=None, name='project')(y)
    return add_shortcut(self, x, y)


def add_shortcut(
  block: 'InvertedResidual | FusedInvertedResidual', x: Array, y: Array
) -> Array:
  """Adds a block's input to its output where the shapes are equal."""
  if block.strides > 1 or x.shape[-1] != y.shape[-1]:
    return y
  drop = StochasticDepth(block.stochastic_depth_rate, name='stochastic_depth')
  return x + drop(y, deterministic=not block.train)


class FusedInvertedResidual(nn.Module):
  """Expands the channels by a full convolution, and projects them to fewer.

  Tan and Le 2021, https://arxiv.org/abs/2104.00298, figure 2. Nothing projects where
  `expanded` is the number of input channels.

  Attributes:
    features: the number of output channels.
    expanded: the number of channels that the convolution has.
    window: its size.
    strides: of it.
    conv: makes a convolution.
    norm: makes a normalisation.
    act: the activation of all but the projection.
    stochastic_depth_rate: the probability of dropping what is beside the shortcut.
    train: whether to drop it.
  """

  features: int
  expanded: int
  window: int
  strides: int
  conv: Layer
  norm: Layer
  act: Callable[[Array], Array]
  stochastic_depth_rate: float = 0.0
  train: bool = False

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[batch, height, width, channels]` to as many of `features` channels."""
    layer = partial(ConvNormAct, conv=self.conv, norm=self.norm, act=self.act)
    projects = self.expanded != x.shape[-1]
    y = layer(
      self.expanded if projects else self.features,
      (self.window, self.window),
      strides=self.strides,
      padding=self.window // 2,
      name='fused',
    )(x)
    if projects:
      y = layer(self.features, (1, 1), act=None, name='project')(y)
    return add_shortcut(self, x, y)
