"""The networks that `convolution.py` times: ours, of flax's layers, torch's."""

import contextlib
import importlib
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from rounds import num_cores

import convscan.architectures as arch
from convscan.architectures.layers import BatchNorm

PASSES = ('training', 'inference')
LEARNING_RATE, MOMENTUM = 0.01, 0.9


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


def flax_layers(model: Any) -> Any:
  """Returns the same network of flax's convolutions and normalisations."""
  norm = model.norm
  if norm.func is BatchNorm:
    norm = partial(nn.BatchNorm, **norm.keywords)
  return model.clone(conv=flax_conv, norm=norm)


class Jax:
  """A network's passes, compiled, and what that took.

  Attributes:
    seconds: of tracing and compiling each pass.
    peak_bytes: what each pass needs besides its arguments, by XLA's plan.
  """

  def __init__(self, name: str, images: np.ndarray, dtype: str, *, flax: bool = False):
    self.model: Any = arch.build(name, dtype=jnp.dtype(dtype))
    pooling: Any = contextlib.nullcontext()
    if flax:
      self.model = flax_layers(self.model)
      pooling = flax_pooling(self.model)
    self.tx = optax.sgd(LEARNING_RATE, MOMENTUM)
    self.images = jnp.asarray(images)
    self.labels = jnp.arange(len(images)) % 1000
    with pooling:
      self.state = jax.jit(self.init)(jax.random.key(0), self.images)
      calls = {
        'training': (
          jax.jit(self.train, donate_argnums=0),
          (self.state, self.images, self.labels),
        ),
        'inference': (jax.jit(self.infer), (self.state[0], self.images)),
      }
      self.seconds, self.peak_bytes, self.compiled = {}, {}, {}
      for key, (function, args) in calls.items():
        began = time.perf_counter()
        compiled = function.lower(*args).compile()
        self.seconds[key] = time.perf_counter() - began
        self.peak_bytes[key] = compiled.memory_analysis().temp_size_in_bytes
        self.compiled[key] = compiled

  def init(self, key: Array, images: Array) -> Any:
    variables = self.model.init(key, images, train=False)
    return variables, self.tx.init(variables['params'])

  def train(self, state: Any, images: Array, labels: Array) -> Any:
    (variables, opt_state), key = state, jax.random.key(1)

    def loss(params: Any) -> Any:
      logits, updates = self.model.apply(
        {**variables, 'params': params},
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
  """A network of torchvision's, its maps in channels-last memory."""

  def __init__(self, name: str, images: np.ndarray, dtype: str):
    import torch
    from torch_networks import import_torchvision

    self.torch, self.dtype = torch, getattr(torch, dtype)
    self.device = 'cuda' if jax.default_backend() == 'gpu' else 'cpu'
    torch.manual_seed(0)
    torch.set_num_threads(num_cores())
    layout = {'device': self.device, 'memory_format': torch.channels_last}
    self.net = import_torchvision().models.get_model(name, weights=None).to(**layout)
    self.images = torch.from_numpy(images).permute(0, 3, 1, 2).to(**layout)
    self.labels = (torch.arange(len(images)) % 1000).to(self.device)
    self.optimizer = torch.optim.SGD(
      self.net.parameters(), LEARNING_RATE, momentum=MOMENTUM
    )

  def logits(self) -> Any:
    mixed = self.dtype != self.torch.float32
    with self.torch.autocast(self.device, self.dtype, enabled=mixed):
      return self.net(self.images)

  def wait(self) -> None:
    if self.device == 'cuda':
      self.torch.cuda.synchronize()

  def training(self) -> None:
    self.net.train()
    self.optimizer.zero_grad()
    logits = self.logits()
    self.torch.nn.functional.cross_entropy(logits.float(), self.labels).backward()
    self.optimizer.step()
    self.wait()

  def inference(self) -> None:
    self.net.eval()
    with self.torch.inference_mode():
      self.logits()
    self.wait()
