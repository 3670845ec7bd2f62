"""Temporal convolutional networks: Bai et al. 2018, https://arxiv.org/abs/1803.01271.

They read what the recurrent models read, and classify, tag and forecast by the same
classes as these.

Dropout is spatial, as the paper has it: it drops a channel at all steps. (The authors'
code drops single activations.) Kernels begin as those of all layers here, and not as
the paper's.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Dtype
from jax import Array

from ..layers import Conv, WeightNormConv
from ..layers.dropout import Dropout, check_rates
from ..rnn.arguments import check_lengths
from ..rnn.classifier import Classify
from ..rnn.embedding import Embed
from ..rnn.encoder import check_sizes, read_inputs, valid_steps
from ..rnn.forecaster import Forecast
from ..rnn.tagger import Tag
from .network import check_remat


class TemporalBlock(nn.Module):
  """Two causal convolutions, each with a ReLU and dropout, beside a shortcut.

  Attributes:
    features: the number of output channels.
    kernel_size: the taps of each convolution.
    dilation: the distances between them, k and d in the paper.
    dropout_rate: of the dropout.
    dtype: of the computation.
    param_dtype: of the parameters.
  """

  features: int
  kernel_size: int
  dilation: int
  dropout_rate: float
  dtype: Dtype | None = None
  param_dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    """Maps `[batch, time, channels]` to `[batch, time, features]`."""
    types: dict[str, Any] = {'dtype': self.dtype, 'param_dtype': self.param_dtype}
    y = x
    for name in ('conv1', 'conv2'):
      conv = WeightNormConv(
        self.features,
        (self.kernel_size,),
        padding='CAUSAL',
        dilation=self.dilation,
        name=name,
        **types,
      )
      dropout = Dropout(self.dropout_rate, broadcast_dims=(1,))
      y = dropout(nn.relu(conv(y)), deterministic=not train)
    if x.shape[-1] != self.features:
      x = Conv(self.features, (1,), name='shortcut', **types)(x)
    return nn.relu(y + x)


class TemporalConvNet(nn.Module):
  """Blocks whose dilation doubles, over numbers or tokens; base of the models.

  What a step's output depends on are that step and those before it, as many as
  `receptive_field` says. As a base it
  follows what is made of it, such as `Classify`.

  Attributes:
    hidden_features: the number of channels of each block.
    num_layers: how many blocks there are.
    kernel_size: the taps of each convolution.
    vocab_size: how many tokens there are, or None where the inputs are numbers.
    embedding_features: the size of a token's embedding.
    dropout_rate: the probability that an activation is dropped in training: of the
      embeddings, in the blocks and before what the model adds to them.
    dtype: of the computation; the head computes in float32.
    param_dtype: of the parameters.
    remat: the stages that store only their inputs for the reverse pass.

  >>> model = TemporalConvNet(num_layers=4, kernel_size=3)
  >>> model.receptive_field
  61
  """

  hidden_features: int = 25
  num_layers: int = 8
  kernel_size: int = 7
  vocab_size: int | None = None
  embedding_features: int = 128
  dropout_rate: float = 0.05
  dtype: Dtype | None = None
  param_dtype: Dtype = jnp.float32
  remat: Sequence[str] = ()

  # Of the steps, and of images that are read row by row.
  min_size = 1

  def __post_init__(self) -> None:
    """Checks the fields."""
    check_sizes(self, 'hidden_features', 'num_layers', 'kernel_size')
    if self.vocab_size is not None:
      check_sizes(self, 'vocab_size', 'embedding_features')
    check_remat(self)
    check_rates(self)
    super().__post_init__()

  def setup(self) -> None:
    """Makes the layers."""
    types: dict[str, Any] = {'dtype': self.dtype, 'param_dtype': self.param_dtype}
    self.dropout = Dropout(self.dropout_rate)
    if self.vocab_size is not None:
      self.embed = Embed(self.vocab_size, self.embedding_features, **types)
    for i, stage in enumerate(self.feature_info):
      block: Any = TemporalBlock
      if stage in self.remat:
        block = nn.remat(block, static_argnums=(2,))
      layer = block(
        self.hidden_features, self.kernel_size, 2**i, self.dropout_rate, **types
      )
      setattr(self, stage, layer)

  def features(
    self, inputs: Array, *, train: bool = False, seq_lengths: Array | None = None
  ) -> dict[str, Array]:
    """Computes the outputs of every block, in order.

    Args:
      inputs: int `[batch, time]` where there is a `vocab_size`, the padding in range
        too; else floating `[batch, time, ...]`, whose further axes are flattened into
        one, so that images `[batch, height, width, channels]` are read row by row.
      train: whether to drop activations, with the stream `dropout`.
      seq_lengths: int `[batch]`, by default the whole time; what lies past a length
        changes nothing.

    Returns:
      `{name: [batch, time, features]}`, as `feature_info` describes them, zero past
      each length.

    Raises:
      ValueError: an argument does not fit.
    """
    x = read_inputs(self, inputs, train)
    if not x.shape[1]:
      raise ValueError(f'inputs: got shape {inputs.shape}, expected time >= 1')
    if seq_lengths is not None:
      seq_lengths = check_lengths(seq_lengths, x.shape[1], x.shape[:1])
    valid = valid_steps(x, seq_lengths)[..., None]
    maps = {}
    for stage in self.feature_info:
      x = getattr(self, stage)(x, train)
      maps[stage] = jnp.where(valid, x, 0)
    return maps

  def encode(
    self, inputs: Array, *, train: bool = False, seq_lengths: Array | None = None
  ) -> tuple[Array, Array]:
    """Runs the blocks over the inputs; for the arguments see `features`.

    Returns:
      The last block's outputs `[batch, time, features]`, zero past each length, and
      that of the last step within it, `[batch, features]`; zero where there is none.
    """
    *_, outputs = self.features(inputs, train=train, seq_lengths=seq_lengths).values()
    if seq_lengths is None:
      return outputs, outputs[:, -1]
    last = jnp.maximum(jnp.asarray(seq_lengths) - 1, 0).reshape(-1, 1, 1)
    return outputs, jnp.take_along_axis(outputs, last, axis=1)[:, 0]

  @property
  def feature_info(self) -> dict[str, tuple[int, int]]:
    """Names the outputs of the blocks: `{name: (stride, channels)}`, in order."""
    stages = range(1, self.num_layers + 1)
    return {f'stage{i}': (1, self.hidden_features) for i in stages}

  @property
  def receptive_field(self) -> int:
    """The number of steps that a step's output depends on: it and those before."""
    return 1 + 2 * (self.kernel_size - 1) * (2**self.num_layers - 1)

  @nn.nowrap
  def make_head(self, features: int) -> nn.Dense:
    """Makes the linear layer of a model."""
    return nn.Dense(features, dtype=jnp.float32, param_dtype=self.param_dtype)


class TCNClassifier(Classify, TemporalConvNet):
  """Gives a sequence one label, by a linear layer over its last step.

  For the fields see `TemporalConvNet`, then `Classify`.

  >>> import jax
  >>> model = TCNClassifier(num_classes=7, num_layers=2)
  >>> images = jnp.ones((2, 8, 8, 1))  # Each a sequence of 8 rows.
  >>> variables = model.init(jax.random.key(0), images, train=False)
  >>> model.apply(variables, images, train=False).shape
  (2, 7)
  """


class TCNTagger(Tag, TemporalConvNet):
  """Gives each step of a sequence a label, which depends on no later step.

  For the fields see `TemporalConvNet`, then `Tag`.

  >>> import jax
  >>> model = TCNTagger(num_layers=2, vocab_size=11, num_tags=5)
  >>> tokens = jnp.zeros((2, 7), int)
  >>> variables = model.init(jax.random.key(0), tokens, train=False)
  >>> model.apply(variables, tokens, train=False).shape
  (2, 7, 5)
  """


class TCNForecaster(Forecast, TemporalConvNet):
  """Predicts the steps that follow a window, all at once, from its last output.

  For the fields see `TemporalConvNet`, then `Forecast`.

  >>> import jax
  >>> model = TCNForecaster(num_layers=2, horizon=4)
  >>> window = jnp.ones((2, 7, 3))
  >>> variables = model.init(jax.random.key(0), window, train=False)
  >>> model.apply(variables, window, train=False).shape
  (2, 4, 1)
  """


# The defaults are those of the authors' network for MNIST as 784 pixels.
MODELS: dict[str, Callable[..., TemporalConvNet]] = {
  'tcn_classifier': partial(TCNClassifier),
  'tcn_tagger': partial(TCNTagger),
  'tcn_forecaster': partial(TCNForecaster),
}
