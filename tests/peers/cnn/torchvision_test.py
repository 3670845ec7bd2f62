"""The published networks compute what torchvision's do.

All 68 are compared by `python benchmarks/parity.py`, and with what torchvision's have
computed before in `tests/architectures/cnn/references_test.py`.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import seeded
import torch
from torch_networks import logits_and_maps, norm_options, prepared

import convscan.architectures as arch

# By how many pixels more than rounding a map may differ from the image by its stride.
UNPADDED = {'inception_v3': 3, 'squeezenet1_0': 2}


@pytest.fixture(scope='module')
def pair(request: pytest.FixtureRequest) -> Any:
  """A network of torchvision's, and ours with its weights."""
  model: Any = arch.build(request.param)
  net = prepared(request.param, model.min_size)
  variables = arch.weights.from_torch(model, net.state_dict(), (1, 96, 96, 3))
  return request.param, net, model, variables


each = pytest.mark.parametrize('pair', seeded.KINDS, indirect=True)
# Those whose gradient is compiled in seconds.
SMALL = ('alexnet', 'resnet18', 'squeezenet1_1', 'vgg13_bn')
each_or_small = pytest.mark.parametrize(
  'pair',
  [
    pytest.param(name, marks=[] if name in SMALL else pytest.mark.long)
    for name in seeded.KINDS
  ],
  indirect=True,
)


@each
def test_logits_and_maps_are_torchvisions(pair: Any) -> None:
  name, net, model, variables = pair
  evaluate = seeded.logits_and_maps(model)
  for which in ('odd', 'even'):
    x = seeded.make_images(which, model.min_size)
    expected, expected_maps = logits_and_maps(net, name, x)
    logits, maps = evaluate(variables, x)
    assert seeded.varies(expected)
    assert seeded.relative_error(logits, expected) < 1e-3
    assert list(maps) == list(model.feature_info)
    for stage, theirs in zip(maps, expected_maps, strict=True):
      stride, channels = model.feature_info[stage]
      assert seeded.relative_error(maps[stage], theirs) < 1e-3
      assert maps[stage].shape[-1] == channels
      assert abs(maps[stage].shape[1] - x.shape[1] / stride) < 2 + UNPADDED.get(name, 0)


@each
def test_training_takes_torchvisions_statistics(pair: Any) -> None:
  # Torch's variances were multiplied by (n - 1) / n as they were taken.
  _, _, model, variables = pair
  got = seeded.calibrate(model, variables)
  errors = jax.tree.map(seeded.relative_error, got, dict(variables))
  assert max(jax.tree.leaves(errors)) < 1e-3


@each
def test_normalisations_have_torchvisions_options(pair: Any) -> None:
  _, net, model, _ = pair
  assert norm_options(net) in (None, seeded.norm_options(model))


@each
def test_a_round_trip_returns_every_array(pair: Any) -> None:
  _, net, model, variables = pair
  theirs = {
    key: tensor.numpy()
    for key, tensor in net.state_dict().items()
    if not key.endswith('num_batches_tracked')
  }
  back = arch.weights.to_torch(model, variables)
  assert back.keys() == theirs.keys()
  jax.tree.map(np.testing.assert_array_equal, back, theirs)
  state = net.state_dict()  # for its metadata, without which MNASNet loads nothing
  state.update({key: torch.from_numpy(a.copy()) for key, a in back.items()})
  missing, unexpected = net.load_state_dict(state)
  assert not missing
  assert not unexpected


@each_or_small
def test_every_leaf_matters(pair: Any) -> None:
  _, _, model, variables = pair
  x = jnp.asarray(seeded.make_images('even', model.min_size)[:1])

  def total(variables: Any) -> Any:
    logits = model.apply(variables, x, train=False)
    return jnp.sum(logits * jnp.sin(jnp.arange(logits.size)).reshape(logits.shape))

  gradient = jax.jit(jax.grad(total))(variables)
  for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
    key = jax.tree_util.keystr(path)
    # The auxiliary heads matter in training alone: see aux_logits_test.py.
    assert bool(jnp.any(leaf)) != ('aux' in key), key
