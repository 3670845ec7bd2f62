"""How often the EfficientNets drop a block."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import convscan.architectures as arch
from convscan.architectures.layers import StochasticDepth


def test_the_rate_rises_from_nothing_at_the_first_block() -> None:
  model = arch.build('efficientnet_v2_s', stochastic_depth_rate=0.4)
  rates = {}

  def observe(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
    if isinstance(context.module, StochasticDepth):
      rates[context.module.path[0]] = context.module.rate
      assert not kwargs['deterministic']
    return call(*args, **kwargs)

  def init(x: jax.Array) -> Any:
    keys = {'params': jax.random.key(0), 'dropout': jax.random.key(1)}
    return model.init(keys, x, train=True)

  with nn.intercept_methods(observe):
    jax.eval_shape(init, jnp.ones((1, 64, 64, 3)))
  sizes = (2, 4, 4, 6, 9, 15)
  blocks = [f'stage{i + 1}_block{j}' for i, n in enumerate(sizes) for j in range(n)]
  ramp = dict(zip(blocks, 0.4 * np.arange(40) / 40, strict=True))
  # Where the shapes differ there is no shortcut, and so nothing to drop.
  firsts = {f'stage{i}_block0' for i in (2, 3, 4, 5, 6)}
  expected = {block: rate for block, rate in ramp.items() if block not in firsts}
  assert rates.keys() == expected.keys()
  for block, rate in expected.items():
    np.testing.assert_allclose(rates[block], rate)
