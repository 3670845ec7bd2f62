"""LeNet-5: LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998.

Departures of `lenet5` from the paper, all of them common practice: C3 sees every map
of S2 (the paper's Table I left out 4 of 10 connections); subsampling is a plain
average, without a trainable coefficient and bias; the squashing function is tanh, not
1.7159 tanh(2/3 a), and is applied before the subsampling, not also after it; and the
output is a linear layer for a softmax, not distances to fixed RBF codes.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Dtype

from ..layers import BatchNorm, Conv, Dropout
from ..layers.dropout import check_rates
from ..ops import avg_pool, max_pool
from .network import explain_channels


class LeNet(nn.Module):
  """Stages of convolution and halving, then dense layers.

  Attributes:
    filters: Channels of each stage's convolution (C1 and C3 in the paper).
    hidden: Widths of the dense layers before the logits (C5 and F6).
    kernel_size: Of every convolution.
    padding: Rows and columns of zeros on each side, before every convolution.
    act: The activation after every layer but the last.
    pool: `pool(x, window_shape)`, which halves the height and the width (S2 and S4).
    num_classes: The number of logits.
    norm: Makes the normalisation after each convolution, which then has no bias:
      `norm(dtype=dtype)`, called as `(x, use_running_average=...)`, such as
      `flax.linen.BatchNorm`; None for no normalisation.
    dropout_rate: Of the dropout after each hidden dense layer.
    dtype: Of the computation; by default that which images and parameters promote to.

  Example:
    >>> from convscan.architectures import build
    >>> model = build('lenet5', num_classes=7)
    >>> images = jnp.ones((2, 32, 32, 1))
    >>> variables = model.init(jax.random.key(0), images, train=False)
    >>> model.apply(variables, images, train=False).shape
    (2, 7)
    >>> maps = model.apply(variables, images, method='features')
    >>> {name: x.shape for name, x in maps.items()}
    {'stage1': (2, 14, 14, 6), 'stage2': (2, 5, 5, 16)}
    >>> model.feature_info
    {'stage1': (2, 6), 'stage2': (4, 16)}
  """

  filters: Sequence[int]
  hidden: Sequence[int]
  kernel_size: tuple[int, int]
  padding: int
  act: Callable[[jax.Array], jax.Array]
  pool: Callable[..., jax.Array]
  num_classes: int = 10
  norm: Callable[..., Any] | None = None
  dropout_rate: float = 0.0
  dtype: Dtype | None = None

  def setup(self) -> None:
    """Makes the layers, which `features` and `__call__` share."""
    check_rates(self)
    self.convs = [
      Conv(
        channels,
        self.kernel_size,
        padding=self.padding,
        use_bias=self.norm is None,
        dtype=self.dtype,
      )
      for channels in self.filters
    ]
    if self.norm is not None:
      self.norms = [self.norm(dtype=self.dtype) for _ in self.filters]
    self.denses = [nn.Dense(width, dtype=self.dtype) for width in self.hidden]
    self.dropout = Dropout(self.dropout_rate)
    self.head = nn.Dense(self.num_classes, dtype=jnp.float32)

  def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
    """Classifies images.

    Args:
      images: `[batch, height, width, channels]`, of any number of channels.
      train: Whether to drop out (from the stream `dropout`), and to normalise by the
        batch's statistics and update those in the collection `batch_stats`.

    Returns:
      Logits, `[batch, num_classes]` in float32.

    Raises:
      ValueError: If the images are not such an array, or are too small.
    """
    *_, x = self.features(images, train=train).values()
    x = x.reshape(x.shape[0], -1)
    for dense in self.denses:
      x = self.dropout(self.act(dense(x)), deterministic=not train)
    return self.head(x)

  def features(self, images: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
    """Computes the feature map of every stage, in order.

    Args:
      images: As in `__call__`.
      train: As in `__call__`.

    Returns:
      `{'stage1': [batch, height, width, channels], ...}`, as `feature_info` describes.

    Raises:
      ValueError: If the images are not such an array, or are too small.
    """
    self._check(images.shape)
    maps = {}
    x = images
    for i, name in enumerate(self.feature_info):
      with explain_channels(images):
        x = self.convs[i](x)
      if self.norm is not None:
        x = self.norms[i](x, use_running_average=not train)
      maps[name] = x = self.pool(self.act(x), (2, 2))
    return maps

  @property
  def feature_info(self) -> dict[str, tuple[int, int]]:
    """Names the feature maps: `{name: (stride, channels)}`, in order."""
    return {f'stage{i}': (2**i, c) for i, c in enumerate(self.filters, start=1)}

  def _check(self, shape: tuple[int, ...]) -> None:
    if len(shape) != 4:
      raise ValueError(
        f'images with shape {shape}: expected [batch, height, width, channels]'
      )
    # From one last pixel back: a pool takes two for one, a convolution what it trims.
    smallest = [1, 1]
    for _ in self.filters:
      trims = [k - 1 - 2 * self.padding for k in self.kernel_size]
      smallest = [max(1, 2 * s + t) for s, t in zip(smallest, trims, strict=True)]
    if shape[1] < smallest[0] or shape[2] < smallest[1]:
      raise ValueError(
        f'images of {shape[1]} x {shape[2]} pixels: expected at least '
        f'{smallest[0]} x {smallest[1]} in [batch, height, width, channels] for '
        f'kernel_size {self.kernel_size}, padding {self.padding} and '
        f'{len(self.filters)} stages'
      )


MODELS = {
  # 61,706 parameters and 416,520 multiply-accumulates for 32 x 32 x 1 and 10 classes.
  'lenet5': partial(
    LeNet,
    filters=(6, 16),
    hidden=(120, 84),
    kernel_size=(5, 5),
    padding=0,
    act=nn.tanh,
    pool=avg_pool,
  ),
  # The same plan with what was learnt since; it takes images from 4 x 4 on.
  'lenet5_modern': partial(
    LeNet,
    filters=(32, 64),
    hidden=(120, 84),
    kernel_size=(3, 3),
    padding=1,
    act=nn.relu,
    pool=max_pool,
    norm=partial(BatchNorm, momentum=0.9),
    dropout_rate=0.5,
  ),
}
