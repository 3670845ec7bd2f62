"""What the networks drop in training, and how often.

`tests/peers/cnn/dropout_test.py` compares those of torchvision with it.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import convscan.architectures as arch
from convscan.architectures.layers import Dropout, StochasticDepth

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 8, 8, 3)).astype(np.float32)


def make_variables(model: Any) -> Any:
  shapes = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), X)
  return jax.tree.map(lambda x: RNG.normal(size=x.shape).astype(np.float32), shapes)


def depth_rates(model: Any) -> dict[str, float]:
  """With which probability each block is dropped in training."""
  rates = {}

  def observe(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
    if isinstance(context.module, StochasticDepth):
      rates[context.module.path[0]] = context.module.rate
      assert not kwargs['deterministic']
    return call(*args, **kwargs)

  keys = {'params': jax.random.key(0), 'dropout': jax.random.key(1)}
  with nn.intercept_methods(observe):
    jax.eval_shape(partial(model.init, train=True), keys, jnp.ones((1, 64, 64, 3)))
  return rates


def ramp(sizes: Any, rates: Any) -> dict[str, float]:
  blocks = [f'stage{i + 1}_block{j}' for i, n in enumerate(sizes) for j in range(n)]
  return dict(zip(blocks, rates, strict=True))


def test_efficientnets_rate_rises_from_nothing_at_the_first_block() -> None:
  rates = depth_rates(arch.build('efficientnet_v2_s', stochastic_depth_rate=0.4))
  every = ramp((2, 4, 4, 6, 9, 15), 0.4 * np.arange(40) / 40)
  # Where the shapes differ there is no shortcut, and so nothing to drop.
  firsts = {f'stage{i}_block0' for i in (2, 3, 4, 5, 6)}
  expected = {block: rate for block, rate in every.items() if block not in firsts}
  assert rates == pytest.approx(expected)


# As the authors' commands for fine-tuning have it; and torchvision, of the first.
@pytest.mark.parametrize(
  ('name', 'sizes', 'rate'),
  [
    ('convnext_small', (3, 3, 27, 3), 0.4),
    ('convnextv2_atto', (2, 2, 6, 2), 0.1),
    ('convnextv2_tiny', (3, 3, 9, 3), 0.2),
    ('convnextv2_base', (3, 3, 27, 3), 0.1),
  ],
)
def test_convnexts_rate_rises_from_nothing_to_its_own(
  name: str, sizes: Any, rate: float
) -> None:
  expected = ramp(sizes, np.linspace(0, rate, sum(sizes)))
  assert depth_rates(arch.build(name)) == pytest.approx(expected)


@pytest.mark.parametrize(
  ('name', 'last'),
  [('wide_resnet16_8', 'conv2'), ('preact_resnet164_cifar', 'conv3')],
)
def test_the_last_convolution_of_a_preactivated_block_sees_dropout(
  name: str, last: str
) -> None:
  model = arch.build(name, stage_sizes=(2,), channels=(8,), dropout_rate=0.5)
  dropouts = set()

  @jax.jit
  def inputs(variables: Any, key: jax.Array) -> dict[str, jax.Array]:
    seen = {}

    def observe(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
      if 'kernel' in context.module.variables.get('params', {}):
        seen['/'.join(context.module.path)] = args[0]
      if isinstance(context.module, Dropout) and context.module.rate:
        dropouts.add('/'.join(context.module.path))
      return call(*args, **kwargs)

    with nn.intercept_methods(observe):
      model.apply(variables, X, train=True, rngs={'dropout': key}, mutable=True)
    return seen

  variables = make_variables(model)
  one, other = (inputs(variables, jax.random.key(seed)) for seed in (0, 1))
  block = 'stage1_block0'
  assert dropouts == {f'stage1_block{j}/dropout' for j in (0, 1)}
  # All before it are the same whatever was drawn.
  changed = {key for key in one if (one[key] != other[key]).any() and block in key}
  assert changed == {f'{block}/{last}'}
  first, second = (x[f'{block}/{last}'] for x in (one, other))
  both = (first != 0) & (second != 0)
  np.testing.assert_array_equal(first[both], second[both])
  # Of what is positive after the ReLU, a half is kept by one, and by both a quarter.
  assert 0.4 < both.sum() / (first != 0).sum() < 0.6


def test_the_last_two_maps_of_a_unet_on_its_way_down_are_dropped_from() -> None:
  model: Any = arch.build('unet', channels=(4, 6, 8))
  maps = jax.jit(partial(model.apply, method='features'), static_argnames='train')
  variables, rngs = make_variables(model), {'dropout': jax.random.key(1)}
  plain, dropped = (
    jax.tree.map(np.asarray, maps(variables, X, train=train, rngs=rngs))
    for train in (False, True)
  )
  np.testing.assert_array_equal(dropped['stage1'], plain['stage1'])
  # Of this the inputs are the same: each entry is 0 or, as half of all are, doubled.
  kept = dropped['stage2'] != 0
  np.testing.assert_allclose(
    dropped['stage2'][kept], 2 * plain['stage2'][kept], rtol=1e-5
  )
  assert 0.3 < kept.sum() / (plain['stage2'] != 0).sum() < 0.7
  # And this has more zeros than a ReLU leaves.
  assert (dropped['stage3'] == 0).mean() > (plain['stage3'] == 0).mean() + 0.15
