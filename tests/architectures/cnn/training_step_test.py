"""Every published network takes a training step, in float32 and in bfloat16."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import seeded

import convscan.architectures as arch

# Some that are compiled in seconds, and traced.
COMPILED = ('resnet18', 'shufflenet_v2_x0_5', 'squeezenet1_1')
TRACED = ('convnext_tiny', 'googlenet', 'mobilenet_v3_small', 'regnet_y_400mf')
NUM_CLASSES = 5
# Classifiers of images; for the others see training_test.py.
PUBLISHED = [n for n in arch.names('cnn') if not n.startswith(('lenet', 'tcn', 'unet'))]
_TABLE = pathlib.Path(__file__).with_name('torchvision_cnn.csv').read_text()
TORCHVISION = [row.split(',')[0] for row in _TABLE.splitlines()[1:]]


def images_of(name: str) -> tuple[int, ...]:
  size = 299 if name == 'inception_v3' else 64  # its auxiliary head needs them
  return (4, size, size, 3)


def step(model: Any, variables: Any, images: Any, labels: Any) -> Any:
  """One step of gradient descent: the variables after it, and the gradient."""

  def loss_fn(params: Any) -> Any:
    logits, updates = model.apply(
      {**variables, 'params': params},
      images,
      train=True,
      rngs={'dropout': jax.random.key(1)},
      mutable=['batch_stats', 'aux_logits'],
    )
    losses = [
      optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean()
      for scores in (logits, *updates.pop('aux_logits', {}).values())
    ]
    return sum(losses), updates

  gradient, updates = jax.grad(loss_fn, has_aux=True)(variables['params'])
  params = jax.tree.map(lambda p, g: p - 0.1 * g, variables['params'], gradient)
  return {**variables, **updates, 'params': params}, gradient


def cases(names: Any, default: Any) -> Any:
  """Each network in both dtypes; long but for those of the default suite."""
  return pytest.mark.parametrize(
    ('name', 'dtype'),
    [
      pytest.param(name, dtype, marks=[] if name in default else pytest.mark.long)
      for name in names
      for dtype in ('float32', 'bfloat16')
    ],
  )


@cases(PUBLISHED, TRACED)
def test_a_step_keeps_shapes_and_dtypes(name: str, dtype: str) -> None:
  model = arch.build(name, num_classes=NUM_CLASSES, dtype=dtype)

  def init_and_step(images: Any, labels: Any) -> Any:
    variables = model.init(jax.random.key(0), images, train=False)
    return variables, *step(model, variables, images, labels)

  before, after, gradient = jax.eval_shape(
    init_and_step,
    jax.ShapeDtypeStruct(images_of(name), jnp.float32),
    jax.ShapeDtypeStruct((4,), jnp.int32),
  )
  assert after == before
  assert gradient == before['params']


@cases(TORCHVISION, COMPILED)
def test_a_gradient_reaches_every_parameter(name: str, dtype: str) -> None:
  model = arch.build(name, num_classes=NUM_CLASSES, dtype=dtype)
  images = np.random.default_rng(0).normal(size=images_of(name)).astype(np.float32)
  variables = seeded.make_variables(model)

  @jax.jit
  def checked(variables: Any, images: Any) -> Any:
    after, gradient = step(model, variables, images, jnp.arange(4))
    return (
      jax.tree.map(lambda x: jnp.isfinite(x).all(), (after, gradient)),
      jax.tree.map(jnp.any, gradient),
    )

  finite, non_zero = checked(variables, images)
  for path, true in jax.tree_util.tree_leaves_with_path((finite, non_zero)):
    assert true, jax.tree_util.keystr(path)
