"""What every convolutional network promises, whatever its family."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import convscan.architectures as arch
from convscan.architectures.cnn.network import Network
from convscan.architectures.cnn.tcn import TemporalConvNet
from convscan.architectures.layers import BatchNorm

# One of each file, and others with other parts.
NAMES = [
  models[0] for file, models in arch._MODELS['cnn'].items() if file != '.cnn.lenet'
]
NAMES += ['resnet18d', 'seresnet18', 'wide_resnet16_8']
each = pytest.mark.parametrize('name', NAMES)


def shapes(model: Any, images: Any, **options: Any) -> tuple[Any, Any]:
  """The shapes and dtypes of a network's variables, and of what it returns."""
  key = jax.random.key(0)
  variables = jax.eval_shape(lambda x: model.init(key, x, train=False), images)
  rngs = {'dropout': key}
  return variables, jax.eval_shape(
    lambda v, x: model.apply(v, x, rngs=rngs, **options), variables, images
  )


@each
def test_any_channels_classes_and_the_smallest_size(name: str) -> None:
  model: Any = arch.build(name, num_classes=7)
  assert isinstance(model, Network | TemporalConvNet)
  size = model.min_size
  images = jax.ShapeDtypeStruct((3, size, size, 5), jnp.float32)
  variables, logits = shapes(model, images, train=False)
  pixels = (size, size) if name == 'unet' else ()
  assert (logits.shape, logits.dtype) == ((3, *pixels, 7), jnp.float32)
  if size > 1:
    small = jax.ShapeDtypeStruct((3, size, size - 1, 5), jnp.float32)
    with pytest.raises(
      ValueError, match=f'images: got {size} x {size - 1} pixels, exp'
    ):
      shapes(model, small, train=False)
  if isinstance(model, TemporalConvNet):
    return
  for shape in [(3, size, size, 4), (3, 5, size, size)]:
    message = (
      rf'images: got shape \({", ".join(map(str, shape))}\), expected \[batch, h'
    )
    if shape[1] < size:
      message = (
        rf'images: got 5 x {size} pixels, expected .* in \[batch, height, width, c'
      )
    else:
      message += '.* channels last, with 5 channels for these parameters'
    wrong = jax.ShapeDtypeStruct(shape, jnp.float32)
    with pytest.raises(ValueError, match=message):
      jax.eval_shape(partial(model.apply, train=False), variables, wrong)


@each
def test_bfloat16_is_the_dtype_of_all_but_the_logits(name: str) -> None:
  model: Any = arch.build(name, dtype=jnp.bfloat16)
  images = jax.ShapeDtypeStruct((2, 96, 96, 3), jnp.float32)
  variables, maps = shapes(model, images, method='features')
  assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
  assert {x.dtype for x in maps.values()} == {jnp.dtype(jnp.bfloat16)}
  _, logits = shapes(model, images, train=False)
  assert logits.dtype == jnp.float32


@each
def test_rematerialised_stages_have_the_same_variables(name: str) -> None:
  images = jax.ShapeDtypeStruct((2, 96, 96, 3), jnp.float32)
  model: Any = arch.build(name)
  stages = tuple(model.feature_info)
  expected, _ = shapes(model, images, train=False)
  got, _ = shapes(model.clone(remat=stages), images, train=False)
  assert got == expected


def test_rematerialisation_stores_less_and_changes_nothing() -> None:
  images = jnp.asarray(
    np.random.default_rng(0).normal(size=(2, 64, 64, 3)), jnp.float32
  )
  plain: Any = arch.build('resnet18', num_classes=3)
  variables = jax.jit(partial(plain.init, train=False))(jax.random.key(0), images)

  def gradient(model: Any) -> Any:
    def loss(params: Any) -> Any:
      variables_now = {**variables, 'params': params}
      logits, _ = model.apply(
        variables_now, images, train=True, mutable=['batch_stats']
      )
      return jnp.sum(logits * jnp.arange(3.0)[None])

    stored = jax.eval_shape(lambda p: jax.vjp(loss, p)[1], variables['params'])
    size = sum(x.size for x in jax.tree.leaves(stored))
    return jax.jit(jax.grad(loss))(variables['params']), size

  expected, all_of_it = gradient(plain)
  got, less = gradient(plain.clone(remat=('stage1', 'stage2', 'stage3', 'stage4')))
  params = sum(x.size for x in jax.tree.leaves(variables['params']))
  assert less - params < 0.5 * (all_of_it - params)
  jax.tree.map(partial(np.testing.assert_allclose, rtol=2e-3, atol=2e-4), got, expected)


def test_fields_are_checked() -> None:
  with pytest.raises(ValueError, match=r"remat: got 'stage9', expected one of stage0"):
    arch.build('resnet18', remat=('stage9',))
  with pytest.raises(
    ValueError, match=r"remat: got 'stage1', expected a seq.*stage1',"
  ):
    arch.build('resnet18', remat='stage1')
  with pytest.raises(ValueError, match='num_classes: got 0, expected at least 1'):
    arch.build('vgg11', num_classes=0)
  norm = partial(BatchNorm, momentun=0.9)
  with pytest.raises(ValueError, match=r'norm: got momentun=0.9, expected .* momentum'):
    arch.build('resnet18', norm=norm)
  with pytest.raises(ValueError, match=r'images: got shape \(3, 8, 8\), expected'):
    arch.build('resnet18').init(jax.random.key(0), jnp.ones((3, 8, 8)), train=False)


@pytest.mark.parametrize(
  ('name', 'rate'),
  [
    ('resnet18', 'dropout_rate'),
    ('convnext_tiny', 'stochastic_depth_rate'),
    ('efficientnet_b0', 'stochastic_depth_rate'),
    ('googlenet', 'aux_dropout_rate'),
    ('tcn_tagger', 'dropout_rate'),
  ],
)
def test_a_rate_is_refused_in_the_name_of_its_field(name: str, rate: str) -> None:
  with pytest.raises(ValueError, match=rf'^{rate}: got 1\.0, expected 0 <= rate < 1'):
    arch.build(name, **{rate: 1.0})
