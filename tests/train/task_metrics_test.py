"""The metrics of a split, in padded batches over devices, against scikit-learn's."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from sklearn import metrics as sk

from convscan import data
from convscan.configs import digits_lenet
from convscan.train import tasks
from convscan.train.errors import ConfigError
from convscan.train.mesh import batch_sharded, make_mesh, put_batch, replicated
from convscan.train.step import eval_step
from convscan.train.tasks.task import Options, mean

BATCH = 16


class _Given(nn.Module):
  """Gives its inputs back: a test chooses the outputs."""

  @nn.compact
  def __call__(self, x, *, train):
    return x


def _evaluate(task, arrays, devices, model=None):
  """Returns the metrics of all examples, in batches of which the last is padded."""
  mesh = make_mesh(devices)
  step = jax.jit(
    functools.partial(eval_step, model=model or _Given(), task=task),
    in_shardings=(replicated(mesh), batch_sharded(mesh)),
    out_shardings=replicated(mesh),
  )
  found, count = [], len(arrays['targets'])
  for start in range(0, count, BATCH):
    rows = np.minimum(np.arange(start, start + BATCH), count - 1)
    batch = {name: a[rows] for name, a in arrays.items()}
    batch['weights'][np.arange(start, start + BATCH) >= count] = 0
    metrics, predictions = step({}, put_batch(batch, mesh))
    found.append(jax.device_get(metrics))
    assert predictions['predicted'].shape[0] == BATCH
  return task.derive(mean(found))


def _classes(num_classes, shape=(), used=None, seed=0):
  """Returns 41 examples: logits that are often right, and targets of some classes."""
  rng = np.random.default_rng(seed)
  targets = rng.choice(used or num_classes, (41, *shape)).astype(np.int32)
  logits = rng.normal(size=(41, *shape, num_classes)).astype(np.float32)
  logits[..., -1] -= 9  # a class that nothing is taken for
  logits += 1.5 * np.eye(num_classes, dtype=np.float32)[targets]
  weights = (rng.uniform(size=targets.shape) < 0.8).astype(np.float32)
  return {'inputs': logits, 'targets': targets, 'weights': weights}


@pytest.mark.parametrize('devices', [1, 8])
@pytest.mark.parametrize(
  ('name', 'arrays'),
  [
    ('classification', _classes(12)),
    ('classification', _classes(12, used=[0, 3, 4, 9])),
    ('classification', _classes(3)),
    ('tagging', _classes(4, (7,))),
    ('segmentation', _classes(3, (5, 6))),
  ],
)
def test_class_scores_are_scikit_learns(name, arrays, devices):
  got = _evaluate(tasks.get(name), arrays, devices)
  counted = arrays['weights'] > 0
  true, logits = arrays['targets'][counted], arrays['inputs'][counted]
  predicted, num_classes = logits.argmax(-1), logits.shape[-1]
  e = np.exp(logits.astype(np.float64))
  probabilities = e / e.sum(-1, keepdims=True)
  labels = range(num_classes)
  zero = {'zero_division': 0}
  expected = {
    'loss': sk.log_loss(true, probabilities, labels=labels),
    'cross_entropy': sk.log_loss(true, probabilities, labels=labels),
    'accuracy': sk.accuracy_score(true, predicted),
    'balanced_accuracy': np.mean(
      [(predicted == true)[true == k].mean() for k in np.unique(true)]
    ),
    'precision_macro': sk.precision_score(true, predicted, average='macro', **zero),
    'recall_macro': sk.recall_score(true, predicted, average='macro', **zero),
    'f1_macro': sk.f1_score(true, predicted, average='macro', **zero),
    'precision_weighted': sk.precision_score(
      true, predicted, average='weighted', **zero
    ),
    'f1_weighted': sk.f1_score(true, predicted, average='weighted', **zero),
    'cohen_kappa': sk.cohen_kappa_score(true, predicted),
    'matthews': sk.matthews_corrcoef(true, predicted),
    'mean_iou': sk.jaccard_score(true, predicted, average='macro', **zero),
  }
  if set(predicted) <= set(true):  # else it warns, and leaves the others out likewise
    assert expected['balanced_accuracy'] == pytest.approx(
      sk.balanced_accuracy_score(true, predicted)
    )
  if num_classes >= 10:
    expected['top5_accuracy'] = sk.top_k_accuracy_score(
      true, logits, k=5, labels=labels
    )
  assert got == {k: pytest.approx(v, rel=1e-5) for k, v in expected.items()}
  assert 0.2 < got['accuracy'] < 0.95


def test_weights_are_sample_weights():
  arrays = _classes(4)
  weights = np.random.default_rng(5).uniform(0, 0.01, 41).astype(np.float32)
  got = _evaluate(tasks.get('classification'), arrays | {'weights': weights}, 8)
  true, predicted = arrays['targets'], arrays['inputs'].argmax(-1)
  options = {'sample_weight': weights, 'average': 'macro', 'zero_division': 0}
  for name, score in [('f1_macro', sk.f1_score), ('mean_iou', sk.jaccard_score)]:
    assert got[name] == pytest.approx(score(true, predicted, **options), rel=1e-5)
  assert got['accuracy'] == pytest.approx(
    sk.accuracy_score(true, predicted, sample_weight=weights), rel=1e-5
  )


def test_shares_of_classes_are_scored_by_the_largest_or_in_part():
  arrays = _classes(12)
  shares = np.random.default_rng(1).dirichlet(np.ones(12), 41).astype(np.float32)
  got = _evaluate(tasks.get('classification'), arrays | {'targets': shares}, 8)
  counted = arrays['weights'] > 0
  logits, shares = arrays['inputs'][counted], shares[counted]
  logits64 = logits.astype(np.float64)
  log_p = logits64 - np.log(np.exp(logits64).sum(-1, keepdims=True))
  assert got['loss'] == pytest.approx(-(shares * log_p).sum(-1).mean(), rel=1e-5)
  own = np.take_along_axis(shares, logits.argmax(-1)[:, None], -1)
  assert got['accuracy'] == pytest.approx(own.mean(), rel=1e-5)
  assert got['top5_accuracy'] == pytest.approx(
    sk.top_k_accuracy_score(shares.argmax(-1), logits, k=5, labels=range(12))
  )


def test_logits_that_are_not_numbers_are_not_right():
  arrays = _classes(12)
  arrays['inputs'][:] = np.nan
  got = _evaluate(tasks.get('classification'), arrays, 1)
  assert got['top5_accuracy'] == 0
  assert np.isnan(got['loss'])


def _numbers(shape, origin=0.0):
  rng = np.random.default_rng(2)
  targets = (rng.normal(size=(41, *shape)) * [1, 4, 0.2] + origin).astype(np.float32)
  outputs = targets + rng.normal(size=targets.shape).astype(np.float32) / 2
  weights = (rng.uniform(size=targets.shape[:-1]) < 0.8).astype(np.float32)
  return {'inputs': outputs, 'targets': targets, 'weights': weights}


@pytest.mark.parametrize('devices', [1, 8])
# Around 1000 the squares, each 10**6, leave nothing of a variance of 0.04.
@pytest.mark.parametrize('origin', [0.0, 1000.0])
def test_errors_of_numbers_are_scikit_learns(devices, origin):
  arrays = _numbers((3,), origin)
  task = tasks.get('regression', Options(origin=arrays['targets'][0]))
  got = _evaluate(task, arrays, devices)
  counted = arrays['weights'] > 0
  true, predicted = (arrays[k][counted] for k in ('targets', 'inputs'))
  true, predicted = true.astype(np.float64), predicted.astype(np.float64)
  mse = sk.mean_squared_error(true, predicted)
  expected = {
    'loss': mse,
    'mse': mse,
    'rmse': mse**0.5,
    'mae': sk.mean_absolute_error(true, predicted),
    'r2': sk.r2_score(true, predicted),
  }
  assert got == {k: pytest.approx(v, rel=1e-4) for k, v in expected.items()}


def test_r2_of_a_constant_is_scikit_learns():
  for error in (0.0, 0.5):
    targets = np.full((41, 1), 3.0, np.float32)
    arrays = {'targets': targets, 'inputs': targets + np.float32(error)}
    arrays['weights'] = np.ones(41, np.float32)
    task = tasks.get('regression', Options(origin=targets[0]))
    got = _evaluate(task, arrays, 1)
    assert got['r2'] == sk.r2_score(targets, arrays['inputs'])


@pytest.mark.parametrize('devices', [1, 8])
def test_a_forecast_is_scaled_by_the_naive_one(devices):
  rng = np.random.default_rng(3)
  series = np.cumsum(rng.normal(size=(41, 12, 3)), axis=1).astype(np.float32)
  weights = (rng.uniform(size=(41, 4)) < 0.8).astype(np.float32)
  weights[7] = 0
  # Two of the three features are foretold, by those 4 steps before.
  arrays = {'inputs': series[:, :8], 'targets': series[:, 8:, :2], 'weights': weights}

  class Model(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
      return x[:, -4:, :2]

  task = tasks.get('forecasting', Options(origin=arrays['targets'][0, 0]))
  got = _evaluate(task, arrays, devices, Model())
  counted = weights > 0
  true = arrays['targets'][counted].astype(np.float64)
  predicted = arrays['inputs'][:, -4:, :2][counted].astype(np.float64)
  mae = sk.mean_absolute_error(true, predicted)
  naive = 0.0
  for i in range(41):
    steps = [abs(series[i, t, :2] - series[i, t - 1, :2]).mean() for t in range(1, 8)]
    naive += np.mean(steps) * counted[i].sum() / counted.sum()
  expected = {
    'loss': sk.mean_squared_error(true, predicted),
    'mse': sk.mean_squared_error(true, predicted),
    'rmse': sk.root_mean_squared_error(true.ravel(), predicted.ravel()),
    'mae': mae,
    'r2': sk.r2_score(true, predicted),
    'mase': mae / naive,
  }
  assert got == {k: pytest.approx(v, rel=1e-4) for k, v in expected.items()}


@pytest.mark.parametrize(('name', 'gain'), [('classification', 12), ('regression', 3)])
def test_what_is_shown_is_measured(name, gain):
  arrays = _classes(gain) if name == 'classification' else _numbers((3,))
  task = tasks.get(name)
  assert set(task.shown) <= set(_evaluate(task, arrays, 1))


def test_a_metric_without_weight_is_not_a_number_and_a_count_is_a_sum():
  zero, one = jnp.zeros(()), jnp.ones(())
  means = mean([{'a': (zero, zero), 'n': (one, None)}] * 2)
  assert np.isnan(means['a'])
  assert means['n'] == 2
  got = tasks.get('tagging').derive({'counts': np.zeros((3, 2))})
  assert set(got.values()) == {0.0}


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'class_weights': ('one', 'two')}, "class_weights: ('one', 'two'); expected 0 or"),
    ({'class_weights': (1.0, -1.0)}, 'class_weights: (1.0, -1.0); expected 0 or more'),
    ({'class_weights': (0, 0)}, 'class_weights: (0, 0); expected 0 or more, and not 0'),
    ({'class_weights': (1.0,)}, 'class_weights: 1 weights; expected 2, one for each'),
    ({'label_smoothing': 1.0}, 'label_smoothing: 1.0; expected 0 or more and less'),
    ({'name': 'hubber'}, "name: unknown 'hubber'; did you mean 'huber'? Known: abs"),
    ({'delta': 0.0}, 'delta: 0.0; expected more than 0'),
  ],
)
def test_a_loss_that_can_not_be(changes, message):
  config = digits_lenet.get_config()
  config.loss.update(changes)
  dataset = data.build('digits', labels=(3, 8))
  with pytest.raises(ConfigError) as error:
    tasks.build(config, dataset)
  assert str(error.value).startswith(f'config.loss.{message}')


def test_a_perplexity_beyond_all_numbers_is_infinite():
  task = tasks.get('language_model', Options(unit='word'))
  found = task.derive({'loss': 762.0, 'bits_per_word': 1100.0, 'accuracy': 0.0})
  assert found['perplexity'] == np.inf
