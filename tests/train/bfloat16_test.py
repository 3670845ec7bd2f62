"""A run that computes in bfloat16 keeps its parameters in float32, and learns."""

import jax
import jax.numpy as jnp

import convscan.train
from convscan.configs import digits_lenet
from convscan.train.loop import train_and_evaluate


def _train(workdir, dtype):
  config = digits_lenet.get_config()
  config.unlock()
  config.model.dtype = dtype
  config.num_train_steps = 200
  config.eval_every_steps = 200
  config.checkpoint_every_steps = 200
  return train_and_evaluate(config, str(workdir))


def test_it_learns_as_well_with_parameters_in_float32(tmp_path):
  low = _train(tmp_path / 'low', 'bfloat16')
  high = _train(tmp_path / 'high', 'float32')
  assert low['eval/accuracy'] > 0.95
  # It was not the same computation, and not far from it.
  assert 0 < abs(low['eval/loss'] - high['eval/loss']) < 0.1
  model, variables = convscan.train.restore(str(tmp_path / 'low'))
  assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
  images = jnp.ones((1, 8, 8, 1))
  hidden = jax.make_jaxpr(lambda v: model.apply(v, images, train=False))(variables)
  assert 'bf16[1,8,8,' in str(hidden)
