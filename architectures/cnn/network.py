"""What the convolutional networks share: their fields, checks and calls."""

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.errors import ScopeParamShapeError
from flax.typing import Dtype
from jax import Array

from ..layers import BatchNorm, Conv, Dropout
from ..layers.dropout import check_rates
from ..ops import adaptive_avg_pool, global_avg_pool

Layer = Callable[..., Any]  # Makes a layer, or is one.


def bind_norm(norm: Layer, train: bool, **types: Any) -> Layer:
  """Binds what a network's normalisations share.

  Args:
    norm: makes a normalisation, as `flax.linen.BatchNorm` or `flax.linen.LayerNorm`.
    train: whether it is to use the batch's statistics, where it keeps any.
    **types: its dtypes.
  """
  if 'use_running_average' in inspect.signature(norm).parameters:
    norm = partial(norm, use_running_average=not train)
  return partial(norm, **types)


def check_keywords(model: Any, field: str) -> None:
  """Refuses a partial of a layer with keywords that the layer does not have."""
  layer = getattr(model, field)
  if not isinstance(layer, partial):
    return
  legal = inspect.signature(layer.func).parameters
  if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in legal.values()):
    return
  for key, value in layer.keywords.items():
    if key not in legal:
      # Linen gives every module these two, which are not for a caller to set.
      names = ', '.join(name for name in legal if name not in ('parent', 'name'))
      raise ValueError(f'{field}: got {key}={value!r}, expected one of {names}')


@contextlib.contextmanager
def explain_channels(images: Array) -> Iterator[None]:
  """Says of images with other channels than the parameters are for that they are it.

  For what calls the first layer. It costs nothing where there is no error.
  """
  try:
    yield
  except ScopeParamShapeError as error:
    # Of the kernel that the images need, and of the one that there is.
    inputs = re.findall(r'shape \(.*?(\d+), \d+\)', str(error))
    if len(inputs) != 2 or int(inputs[0]) != images.shape[-1]:
      raise
    raise ValueError(
      f'images: got shape {images.shape}, expected [batch, height, width, channels], '
      f'channels last, with {inputs[1]} channels for these parameters'
    ) from error


def check_remat(model: Any) -> None:
  """Refuses a stage to rematerialise that the model does not have."""
  if isinstance(model.remat, str):
    raise ValueError(
      f'remat: got {model.remat!r}, expected a sequence such as ({model.remat!r},)'
    )
  for stage in model.remat:
    if stage not in model.feature_info:
      raise ValueError(
        f'remat: got {stage!r}, expected one of {", ".join(model.feature_info)}'
      )


class Head(nn.Module):
  """Global average pooling, dropout and a linear layer.

  Attributes:
    num_classes: the number of logits.
    dropout_rate: of the dropout before the linear layer.
    param_dtype: of the parameters.
  """

  num_classes: int
  dropout_rate: float = 0.0
  param_dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Returns logits `[batch, num_classes]` in float32."""
    x = Dropout(self.dropout_rate)(global_avg_pool(x), deterministic=not train)
    return nn.Dense(
      self.num_classes, dtype=jnp.float32, param_dtype=self.param_dtype, name='dense'
    )(x)


class DenseHead(nn.Module):
  """Average pooling to a fixed size, and dense layers over all that is left.

  Attributes:
    num_classes: the number of logits.
    pool_size: the height and width after pooling.
    hidden: the widths of the layers before the logits, an activation after each.
    dropout_before: the layers before which to drop out, counted from 0.
    dropout_rate: of that dropout.
    act: the activation.
    dtype: of the computation of the hidden layers.
    param_dtype: of the parameters.
  """

  num_classes: int
  pool_size: int
  hidden: Sequence[int]
  dropout_before: Sequence[int]
  dropout_rate: float = 0.5
  act: Callable[[Array], Array] = nn.relu
  dtype: Dtype | None = None
  param_dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Returns logits `[batch, num_classes]` in float32."""
    x = adaptive_avg_pool(x, self.pool_size)
    for i, width in enumerate((*self.hidden, self.num_classes)):
      if i in self.dropout_before:
        x = Dropout(self.dropout_rate)(x, deterministic=not train)
      last = i == len(self.hidden)
      x = nn.DenseGeneral(
        width,
        axis=tuple(range(1, x.ndim)),
        dtype=jnp.float32 if last else self.dtype,
        param_dtype=self.param_dtype,
        name='dense' if last else f'hidden{i}',
      )(x)
      x = x if last else self.act(x)
    return x


class Network(nn.Module):
  """A convolutional network: feature maps, stage by stage, and a head on the last.

  A family writes `stages`, which yields the maps, and `feature_info`; `make_head` where
  its head is another one.

  Attributes:
    num_classes: the number of logits.
    conv: makes a convolution, as `Conv` does.
    norm: makes a normalisation, as `flax.linen.BatchNorm` or `LayerNorm` does.
    dtype: of the computation, by default that which images and parameters promote to;
      the head computes in float32.
    param_dtype: of the parameters.
    dropout_rate: of the dropout in the head; a family may have it elsewhere.
    remat: the stages whose blocks store only their inputs for the reverse pass, and are
      computed again in it (Chen et al. 2016, https://arxiv.org/abs/1604.06174).
  """

  num_classes: int = 1000
  conv: Layer = Conv
  norm: Layer = partial(BatchNorm, momentum=0.9, epsilon=1e-5)
  dtype: Dtype | None = None
  param_dtype: Dtype = jnp.float32
  dropout_rate: float = 0.0
  remat: Sequence[str] = ()

  def __post_init__(self) -> None:
    """Checks the fields."""
    if self.num_classes < 1:
      raise ValueError(f'num_classes: got {self.num_classes}, expected at least 1')
    check_remat(self)
    check_keywords(self, 'norm')
    check_rates(self)
    super().__post_init__()

  def setup(self) -> None:
    """Makes the head."""
    self.head = self.make_head()

  def __call__(self, images: Array, *, train: bool) -> Array:
    """Classifies images.

    Args:
      images: `[batch, height, width, channels]`, of any number of channels.
      train: whether to drop out (from the stream `dropout`), and to normalise by the
        batch's statistics and update those in the collection `batch_stats`.

    Returns:
      Logits, `[batch, num_classes]` in float32.

    Raises:
      ValueError: the images are not such an array, are too small, or have other
        channels than the parameters are for.
    """
    *_, x = self.features(images, train=train).values()
    return self.head(x, train=train)

  @nn.compact
  def features(self, images: Array, *, train: bool = False) -> dict[str, Array]:
    """Computes the feature map of every stage, in order.

    Args:
      images: as for the call.
      train: as for the call.

    Returns:
      `{name: [batch, height, width, channels]}`, as `feature_info` describes them.

    Raises:
      ValueError: the images are not such an array, are too small, or have other
        channels than the parameters are for.
    """
    if images.ndim != 4:
      raise ValueError(
        f'images: got shape {images.shape}, expected [batch, height, width, channels]'
      )
    if min(images.shape[1:3]) < self.min_size:
      raise ValueError(
        f'images: got {images.shape[1]} x {images.shape[2]} pixels, expected at least '
        f'{self.min_size} x {self.min_size} in [batch, height, width, channels]'
      )
    types = {'dtype': self.dtype, 'param_dtype': self.param_dtype}
    conv = partial(self.conv, **types)
    norm = bind_norm(self.norm, train, **types)
    with explain_channels(images):
      return dict(self.stages(images, conv, norm, train))

  @nn.nowrap
  def stages(
    self, x: Array, conv: Layer, norm: Layer, train: bool
  ) -> Iterator[tuple[str, Array]]:
    """Yields every stage's name and feature map, in order.

    Args:
      x: the images, checked.
      conv: makes a convolution of the model's dtypes.
      norm: makes a normalisation of them, which knows whether the model trains.
      train: as for the call.
    """
    raise NotImplementedError

  @property
  def feature_info(self) -> dict[str, tuple[int, int]]:
    """Names the feature maps: `{name: (stride, channels)}`, in order."""
    raise NotImplementedError

  @property
  def min_size(self) -> int:
    """The smallest height and width of an image."""
    return 1

  @nn.nowrap
  def make_head(self) -> nn.Module:
    """Makes the head, which is called with the last map and `train`."""
    return Head(
      self.num_classes, dropout_rate=self.dropout_rate, param_dtype=self.param_dtype
    )

  @nn.nowrap
  def rematerialised(self, block: Any, stage: str) -> Any:
    """Returns the block's class, rematerialised if the stage is to be."""
    return nn.remat(block) if stage in self.remat else block
