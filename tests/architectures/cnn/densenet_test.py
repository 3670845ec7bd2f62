"""What `torchvision_test.py` does not see of DenseNet."""

import re

import jax
import jax.numpy as jnp
import numpy as np

from convscan.architectures import weights
from convscan.architectures.cnn.densenet import DenseNet

SHAPE = (2, 32, 32, 3)


def make(**options):
  model = DenseNet(num_classes=3, stage_sizes=(2, 1), growth=4, **options)
  return model, model.init(jax.random.key(0), jnp.ones(SHAPE), train=False)


def test_the_keys_of_torchvisions_files_are_read():
  model, variables = make()
  state = weights.to_torch(model, variables)
  old = {
    re.sub(r'(denselayer\d\.\w+)(\d)', r'\1.\2', key): a for key, a in state.items()
  }
  assert 'features.denseblock1.denselayer2.norm.1.weight' in old
  jax.tree.map(
    np.testing.assert_array_equal, weights.from_torch(model, old, SHAPE), variables
  )


def test_layers_drop_out_in_training_alone():
  model, variables = make(dropout_rate=0.5)
  x = jax.random.normal(jax.random.key(1), SHAPE)

  def maps(seed, train):
    rngs = {'dropout': jax.random.key(seed)}
    maps, _ = model.apply(
      variables, x, train=train, method='features', rngs=rngs, mutable='batch_stats'
    )
    return maps['stage1']

  np.testing.assert_array_equal(maps(0, train=False), maps(1, train=False))
  first, second = maps(0, train=True), maps(1, train=True)
  # What a layer gets is never dropped, and half of what it adds is.
  np.testing.assert_array_equal(first[..., :64], second[..., :64])
  assert 0.3 < float(jnp.mean(first[..., 64:] == 0)) < 0.7
