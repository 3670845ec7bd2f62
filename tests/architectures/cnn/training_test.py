"""A network of each family that torchvision does not have takes a training step."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import convscan.architectures as arch

# Small ones, by name and fields.
_CIFAR = {'stage_sizes': (1, 1, 1)}
_TCN = {'hidden_features': 4, 'num_layers': 2, 'kernel_size': 2}
NETWORKS: dict[str, dict[str, Any]] = {
  'convnextv2_atto': {'stage_sizes': (1, 1, 1, 1), 'channels': (4, 6, 8, 10)},
  'preact_resnet110_cifar': {**_CIFAR, 'channels': (4, 6, 8)},
  'resnet18d': {'stage_sizes': (1, 1, 1, 1)},
  'resnet20_cifar': {**_CIFAR, 'channels': (4, 6, 8)},
  'seresnet18': {'stage_sizes': (1, 1, 1, 1)},
  'tcn_classifier': _TCN,
  'tcn_forecaster': {**_TCN, 'horizon': 3},
  'tcn_tagger': _TCN,
  'unet': {'channels': (4, 6, 8), 'use_norm': True},
  'xception': {
    'stem_widths': (4, 6),
    'blocks': (((6, 8),), ((8, 10), (10, 10, 10))),
    'last_widths': (12, 14),
  },
}
X = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize('name', NETWORKS)
def test_a_step_lowers_the_loss_and_reaches_every_parameter(
  name: str, dtype: str
) -> None:
  model: Any = arch.build(name, **NETWORKS[name], dtype=dtype)
  init = jax.jit(partial(model.init, train=False))
  variables = init(jax.random.key(0), X)
  others = {key: value for key, value in variables.items() if key != 'params'}

  def loss(params: Any, x: Any) -> Any:
    y, updates = model.apply(
      {**others, 'params': params},
      x,
      train=True,
      rngs={'dropout': jax.random.key(1)},
      mutable=['batch_stats'],
    )
    return jnp.mean((y - jnp.sin(jnp.arange(y.size)).reshape(y.shape)) ** 2), updates

  @jax.jit
  def step(params: Any, x: Any) -> Any:
    (before, updates), gradient = jax.value_and_grad(loss, has_aux=True)(params, x)
    params = jax.tree.map(lambda p, g: p - 1e-3 * g, params, gradient)
    return gradient, updates, before, loss(params, x)[0]

  gradient, updates, before, after = step(variables['params'], X)
  assert after < before
  assert jax.tree.structure(updates) == jax.tree.structure(others)
  for path, leaf in jax.tree_util.tree_leaves_with_path((gradient, updates)):
    assert leaf.dtype == jnp.float32
    assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)
  for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
    assert leaf.any(), jax.tree_util.keystr(path)
