"""Normalisations within an example, with the constants of torch's."""

import flax.linen as nn


class GroupNorm(nn.GroupNorm):
  """`flax.linen.GroupNorm` with the epsilon of torch's, 1e-5.

  Wu & He 2018, https://arxiv.org/abs/1803.08494. `num_groups` blocks of channels are
  normalised, each over all spatial dimensions.

  >>> import jax
  >>> x = jax.numpy.ones((2, 5, 5, 8))
  >>> GroupNorm(num_groups=4).init_with_output(jax.random.key(0), x)[0].shape
  (2, 5, 5, 8)
  """

  epsilon: float = 1e-5


class InstanceNorm(nn.InstanceNorm):
  """`flax.linen.InstanceNorm` with the epsilon of torch's, 1e-5.

  Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022. Each channel is normalised over
  all spatial dimensions. It has a scale and a bias, as torch's has with `affine=True`;
  `use_scale=False, use_bias=False` is torch's default.

  >>> import jax
  >>> x = jax.numpy.ones((2, 5, 5, 8))
  >>> InstanceNorm().init_with_output(jax.random.key(0), x)[0].shape
  (2, 5, 5, 8)
  """

  epsilon: float = 1e-5


class LayerNorm(nn.LayerNorm):
  """`flax.linen.LayerNorm` with the epsilon of torch's, 1e-5.

  Ba et al. 2016, https://arxiv.org/abs/1607.06450. The channels of each position are
  normalised, as by torch's with channels last.

  >>> import jax
  >>> x = jax.numpy.ones((2, 5, 5, 8))
  >>> LayerNorm().init_with_output(jax.random.key(0), x)[0].shape
  (2, 5, 5, 8)
  """

  epsilon: float = 1e-5
