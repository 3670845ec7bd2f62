"""The losses against torch's, forward, reduced and in gradients."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from convscan.train import tasks
from convscan.train.tasks.task import Options

CLASS_WEIGHTS = (0.05, 0.0, 0.3, 0.01)


def _mean_and_gradient(task, outputs, targets):
  batch = {'targets': targets, 'weights': jnp.ones(outputs.shape[:-1])}

  def loss(outputs):
    total = jnp.sum(task.losses(outputs, targets) * batch['weights'])
    return total / task.total_weight(batch)

  return jax.value_and_grad(loss)(outputs)


def _torch(function, outputs, targets, **options):
  x = torch.from_numpy(outputs).requires_grad_()
  loss = function(x, torch.from_numpy(targets), **options)
  return loss.detach(), torch.autograd.grad(loss, [x])[0]


def _equal(ours, theirs):
  for a, b in zip(ours, theirs, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 * float(b.abs().max()))


@pytest.mark.parametrize(
  ('smoothing', 'class_weights', 'soft'),
  [*itertools.product([0.0, 0.1], [(), CLASS_WEIGHTS], [False, True])],
)
def test_cross_entropy(smoothing, class_weights, soft):
  rng = np.random.default_rng(0)
  logits = 3 * rng.normal(size=(6, 4)).astype(np.float32)
  # Their weights, 0.05 and 0.3, add up to less than 1.
  targets = np.array([0, 2, 3, 0, 1, 2])
  if soft:
    targets = rng.dirichlet(np.ones(4), 6).astype(np.float32)
  task = tasks.get(
    'classification', Options(label_smoothing=smoothing, class_weights=class_weights)
  )
  weight = torch.tensor(class_weights) if class_weights else None
  options = {'weight': weight, 'label_smoothing': smoothing}
  _equal(
    _mean_and_gradient(task, logits, targets),
    _torch(F.cross_entropy, logits, targets, **options),
  )


def test_cross_entropy_of_pixels():
  rng = np.random.default_rng(1)
  logits = rng.normal(size=(2, 3, 5, 4)).astype(np.float32)
  targets = rng.integers(0, 4, (2, 3, 5))
  options = Options(label_smoothing=0.2, class_weights=CLASS_WEIGHTS)

  def channels_first(x, t):
    return F.cross_entropy(
      x.permute(0, 3, 1, 2), t, torch.tensor(CLASS_WEIGHTS), label_smoothing=0.2
    )

  _equal(
    _mean_and_gradient(tasks.get('segmentation', options), logits, targets),
    _torch(channels_first, logits, targets),
  )


@pytest.mark.parametrize(
  ('name', 'theirs'),
  [
    ('squared', F.mse_loss),
    ('absolute', F.l1_loss),
    ('huber', lambda x, t: F.huber_loss(x, t, delta=0.7)),
  ],
)
def test_errors(name, theirs):
  rng = np.random.default_rng(2)
  outputs, targets = 2 * rng.normal(size=(2, 9, 5)).astype(np.float32)
  task = tasks.get('regression', Options(loss=name, delta=0.7))
  _equal(_mean_and_gradient(task, outputs, targets), _torch(theirs, outputs, targets))
