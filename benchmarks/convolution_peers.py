"""The networks that `convolution.py` times: ours, the same of flax's layers, torch's."""

import contextlib
import importlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

import convscan.architectures as arch

PASSES = ('training', 'inference')
LEARNING_RATE, MOMENTUM = 0.01, 0.9
Call = Callable[[], Any]


def flax_conv(
  features: int,
  kernel_size: Sequence[int],
  *,
  padding: int | Sequence[int] = 0,
  dilation: int = 1,
  groups: int = 1,
  **fields: Any,
) -> nn.Module:
  """Spells a `Conv` as flax does."""
  pads = [padding] * len(kernel_size) if isinstance(padding, int) else padding
  return nn.Conv(
    features,
    kernel_size,
    padding=[(p, p) for p in pads],
    kernel_dilation=dilation,
    feature_group_count=groups,
    **fields,
  )


def flax_max_pool(
  x: Array,
  window_shape: Sequence[int],
  *,
  strides: int | None = None,
  padding: int = 0,
  ceil_mode: bool = False,
) -> Array:
  """Spells a `max_pool` as flax does."""
  assert not ceil_mode
  pads = [(padding, padding)] * len(window_shape)
  steps = window_shape if strides is None else (strides,) * len(window_shape)
  return nn.max_pool(x, window_shape, steps, pads)


def flax_avg_pool(x: Array, window_shape: Sequence[int]) -> Array:
  """Spells an `avg_pool` as flax does."""
  return nn.avg_pool(x, window_shape, window_shape)


@contextlib.contextmanager
def flax_pooling(model: nn.Module) -> Iterator[None]:
  """Has the model's family pool by flax's functions."""
  family = importlib.import_module(type(model).__module__)
  swaps = {'max_pool': flax_max_pool, 'avg_pool': flax_avg_pool}
  with contextlib.ExitStack() as stack:
    for name, function in swaps.items():
      if hasattr(family, name):
        stack.enter_context(mock.patch.object(family, name, function))
    yield


class Jax:
  """A network's passes as compiled functions, and what compiling them took."""

  def __init__(self, name: str, images: np.ndarray, dtype: str, layers: str):
    fields: dict[str, Any] = {'dtype': jnp.dtype(dtype)}
    pooling: Any = contextlib.nullcontext
    self.model = arch.build(name, **fields)
    if (
      layers == 'ours'
      and isinstance(self.model.norm, partial)
      and self.model.norm.func is nn.BatchNorm
    ):
      from convscan.architectures.layers.batch_norm import BatchNorm

      self.model = self.model.clone(norm=partial(BatchNorm, **self.model.norm.keywords))
    if layers == 'flax':
      self.model = self.model.clone(conv=flax_conv)
      pooling = partial(flax_pooling, self.model)
    self.tx = optax.sgd(LEARNING_RATE, MOMENTUM)
    self.images = jnp.asarray(images)
    self.labels = jnp.arange(len(images)) % 1000
    with pooling():
      self.state = jax.jit(self.init)(jax.random.key(0), self.images)
      traced = {
        'training': jax.jit(self.train, donate_argnums=0).trace(
          self.state, self.images, self.labels
        ),
        'inference': jax.jit(self.infer).trace(self.state[0], self.images),
      }
    self.traced = traced
    self.compiled = {key: t.lower().compile() for key, t in traced.items()}

  def init(self, key: Array, images: Array) -> Any:
    variables = self.model.init(key, images, train=False)
    return variables, self.tx.init(variables['params'])

  def train(self, state: Any, images: Array, labels: Array) -> Any:
    (variables, opt_state), key = state, jax.random.key(1)

    def loss(params: Any) -> Any:
      logits, updates = self.model.apply(
        variables | {'params': params},
        images,
        train=True,
        rngs={'dropout': key},
        mutable=['batch_stats'],
      )
      losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
      return jnp.mean(losses), updates

    grads, updates = jax.grad(loss, has_aux=True)(variables['params'])
    changes, opt_state = self.tx.update(grads, opt_state)
    params = optax.apply_updates(variables['params'], changes)
    return {**variables, **updates, 'params': params}, opt_state

  def infer(self, variables: Any, images: Array) -> Array:
    return self.model.apply(variables, images, train=False)

  def training(self) -> None:
    self.state = jax.block_until_ready(
      self.compiled['training'](self.state, self.images, self.labels)
    )

  def inference(self) -> None:
    jax.block_until_ready(self.compiled['inference'](self.state[0], self.images))


class Torch:
  """A network of torchvision's, channels last."""

  def __init__(self, name: str, images: np.ndarray, dtype: str):
    import torch
    from torch_networks import import_torchvision

    self.torch = torch
    torch.manual_seed(0)
    self.device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.set_num_threads(len(__import__('os').sched_getaffinity(0)))
    models = import_torchvision().models
    self.net = models.get_model(name, weights=None).to(
      self.device, memory_format=torch.channels_last
    )
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    self.images = x.to(self.device, memory_format=torch.channels_last)
    self.labels = (torch.arange(len(images)) % 1000).to(self.device)
    self.optimizer = torch.optim.SGD(
      self.net.parameters(), LEARNING_RATE, momentum=MOMENTUM
    )

  def training(self) -> None:
    self.net.train()
    self.optimizer.zero_grad()
    logits = self.net(self.images)
    self.torch.nn.functional.cross_entropy(logits, self.labels).backward()
    self.optimizer.step()

  def inference(self) -> None:
    self.net.eval()
    with self.torch.inference_mode():
      self.net(self.images)
