"""A network of each family that torchvision does not have takes a training step."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import convscan.architectures as arch

# Small ones, by name and fields.
_RESNET = {'stage_sizes': (1, 1)}
_TCN = {'hidden_features': 4, 'num_layers': 2, 'kernel_size': 2}
NETWORKS: dict[str, dict[str, Any]] = {
  'convnextv2_atto': {'stage_sizes': (1,), 'channels': (4,)},
  'preact_resnet110_cifar': {**_RESNET, 'channels': (4, 6)},
  'resnet18d': _RESNET,
  'resnet20_cifar': {**_RESNET, 'channels': (4, 6)},
  'seresnet18': _RESNET,
  'tcn_classifier': _TCN,
  'tcn_forecaster': {**_TCN, 'horizon': 3},
  'tcn_tagger': _TCN,
  'unet': {'channels': (4, 6), 'use_norm': True},
  'xception': {
    'stem_widths': (4, 6),
    'blocks': (((6,),), ((8,), (8,))),
    'last_widths': (10,),
  },
}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 32, 32, 3)).astype(np.float32)


def make_variables(model: Any) -> Any:
  """As initialised, but without compiling that."""
  shapes = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), X)

  def make(path: Any, leaf: Any) -> np.ndarray:
    if path[-1].key == 'kernel':
      fan_in = np.prod(leaf.shape[:-1])
      return RNG.normal(size=leaf.shape, scale=fan_in**-0.5).astype(np.float32)
    return np.full(leaf.shape, path[-1].key in ('scale', 'var'), np.float32)

  return jax.tree_util.tree_map_with_path(make, shapes)


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize('name', NETWORKS)
def test_a_step_lowers_the_loss_and_reaches_every_parameter(
  name: str, dtype: str
) -> None:
  model: Any = arch.build(name, **NETWORKS[name], dtype=dtype)
  variables = make_variables(model)
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

  step = jax.jit(jax.value_and_grad(loss, has_aux=True))
  params = variables['params']
  (before, updates), gradient = step(params, X)
  params = jax.tree.map(lambda p, g: p - 1e-2 * g, params, gradient)
  (after, _), _ = step(params, X)
  assert after < before
  assert jax.tree.structure(updates) == jax.tree.structure(others)
  for path, leaf in jax.tree_util.tree_leaves_with_path((gradient, updates)):
    assert leaf.dtype == jnp.float32
    assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)
  for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
    assert leaf.any(), jax.tree_util.keystr(path)
