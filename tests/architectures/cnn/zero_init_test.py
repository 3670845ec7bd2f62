"""Residual blocks that begin as their shortcuts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures import build


@pytest.mark.parametrize(
  ('name', 'last'), [('resnet18', 'norm2'), ('resnet50', 'norm3')]
)
def test_blocks_are_their_shortcuts_at_first(name, last):
  model = build(name, num_classes=3, zero_init_residual=True)
  images = jax.random.normal(jax.random.key(0), (2, 64, 64, 3))
  init = jax.jit(lambda key: model.init(key, images, train=False))
  variables = init(jax.random.key(1))
  zero = {
    (module, norm)
    for module, layers in variables['params'].items()
    if module.startswith('stage')
    for norm, leaves in layers.items()
    if 'scale' in leaves and not leaves['scale'].any()
  }
  blocks = {module for module in variables['params'] if '_block' in module}
  assert zero == {(block, last) for block in blocks}
  assert len(blocks) == sum(model.stage_sizes)

  features = jax.jit(
    lambda v: model.apply(v, images, train=False, method='features')['stage4']
  )
  before = np.asarray(features(variables))
  assert before.std() > 1e-3
  # What a block adds to its shortcut is nothing, whatever its filters are.
  block = variables['params']['stage4_block1']
  block['conv1']['kernel'] = -3 * block['conv1']['kernel']
  np.testing.assert_array_equal(features(variables), before)
  block[last]['scale'] = jnp.ones_like(block[last]['scale'])
  assert np.abs(features(variables) - before).max() > 1e-3
