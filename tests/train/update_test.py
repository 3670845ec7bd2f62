"""What an update may be besides one gradient: in parts, averaged, left out."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import convscan.architectures as arch
import convscan.train
from convscan.configs import digits_lenet
from convscan.train import tasks
from convscan.train.batch_norm import normalise_by
from convscan.train.errors import ConfigError, RunError
from convscan.train.finite import check_finite
from convscan.train.loop import train_and_evaluate
from convscan.train.state import create_state
from convscan.train.step import train_step
from convscan.train.tasks.task import mean

BATCH = 12
TASK = tasks.get('classification')


def _batch(seed=0):
  rng = np.random.default_rng(seed)
  return {
    'inputs': rng.uniform(size=(BATCH, 8, 8, 1)).astype(np.float32),
    'targets': rng.integers(0, 10, BATCH).astype(np.int32),
    'weights': rng.uniform(0.2, 1, BATCH).astype(np.float32),
  }


def _build(norm=False, **fields):
  name = 'lenet5_modern' if norm else 'lenet5'
  padding = {} if norm else {'padding': 2}  # for images as small as these
  return arch.build(name, num_classes=10, **padding, **fields)


def _steps(model, count=1, ema=False, tx=None, batches=_batch, **options):
  """Returns the states before and after so many steps, and the steps' metrics."""
  parts = {'model': model, 'tx': tx or optax.sgd(0.1, momentum=0.9)}
  create = functools.partial(create_state, ema=ema, **parts)
  state = jax.jit(create)(jax.random.key(0), jnp.zeros((1, 8, 8, 1)), {})
  step = jax.jit(functools.partial(train_step, task=TASK, **parts, **options))
  states, metrics = [state], []
  for i in range(count):
    state, numbers = step(state, batches(i))
    states.append(state)
    metrics.append(numbers)
  return states, metrics


def _assert_close(a, b, **tolerance):
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_allclose(x, y, **tolerance)


def test_from_a_step_on_the_averages_are_plain_means():
  states, _ = _steps(_build(norm=True), 5, ema=True, average_from_step=3)
  for number, state in enumerate(states):
    of = [jax.tree.leaves(s.variables) for s in states[min(3, number) : number + 1]]
    means = [
      np.mean([np.asarray(x, np.float64) for x in xs], 0)
      for xs in zip(*of, strict=True)
    ]
    _assert_close(state.evaluated, means, rtol=1e-5, atol=1e-6)
  before, after = (jax.tree.leaves(s.variables['params'])[0] for s in states[2:4])
  assert np.abs(before - after).max() > 1e-4


def test_a_run_is_evaluated_by_the_means_that_its_config_wants(tmp_path):
  def run(num_train_steps, average_from_step):
    config = digits_lenet.get_config()
    config.num_train_steps = num_train_steps
    config.average_from_step = average_from_step
    config.optimizer.warmup_steps = 0
    config.optimizer.schedule = 'constant'
    workdir = str(tmp_path / f'{num_train_steps} {average_from_step}')
    train_and_evaluate(config, workdir)
    return convscan.train.restore(workdir)[1]

  one, two = run(1, 0), run(2, 0)
  means = jax.tree.map(lambda a, b: (np.asarray(a) + np.asarray(b)) / 2, one, two)
  _assert_close(run(2, 1), means, rtol=1e-5, atol=1e-6)
  _assert_close(run(2, 2), two, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('parts', [2, 3, 12])
def test_a_batch_in_parts_makes_the_update_of_the_whole(parts):
  model = _build()
  (_, whole), whole_metrics = _steps(model)
  (before, split), metrics = _steps(model, accumulate_steps=parts)
  _assert_close(split.params, whole.params, rtol=1e-5, atol=1e-6)
  _assert_close(metrics, whole_metrics, rtol=1e-5)
  moved = jax.tree.map(
    lambda a, b: float(jnp.abs(a - b).max()), before.params, split.params
  )
  assert min(jax.tree.leaves(moved)) > 1e-4


def test_batch_norms_see_the_parts_one_after_the_other():
  model = _build(norm=True, dropout_rate=0.0)
  (before, after), _ = _steps(model, accumulate_steps=3)
  expected = before.batch_stats
  for part in range(3):
    _, updates = model.apply(
      {'params': before.params, 'batch_stats': expected},
      _batch(0)['inputs'][part::3],
      train=True,
      mutable=['batch_stats'],
    )
    expected = updates['batch_stats']
  _assert_close(after.batch_stats, expected, rtol=1e-5, atol=1e-6)


def test_averages_follow_parameters_and_statistics():
  states, _ = _steps(_build(norm=True), 4, ema=True, ema_decay=0.3)
  expected = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(states[0].ema)]
  for number, state in enumerate(states[1:]):
    decay = min(0.3, (1 + number) / (10 + number))
    leaves = jax.tree.leaves(state.variables)
    expected = [
      decay * a + (1 - decay) * np.asarray(v, np.float64)
      for a, v in zip(expected, leaves, strict=True)
    ]
    _assert_close(state.ema, expected, rtol=1e-5, atol=1e-6)
    assert state.evaluated is state.ema
  assert _steps(_build())[0][1].evaluated['params'] is not None


def _with_a_hole(number):
  """A batch whose third of four has an input that is not a number."""
  batch = _batch(number)
  if number == 2:
    batch['inputs'][5, 3, 3] = np.nan
  return batch


def test_a_step_that_is_not_finite_is_left_out_and_counted():
  options = {'batches': _with_a_hole, 'ema': True, 'ema_decay': 0.5}
  model, tx = _build(norm=True), optax.adam(1e-3)
  states, metrics = _steps(model, 4, tx=tx, skip_nonfinite=True, **options)
  for name in ('params', 'batch_stats', 'opt_state', 'ema'):
    _assert_close(getattr(states[3], name), getattr(states[2], name), rtol=0)
  assert [int(s.step) for s in states] == [0, 1, 2, 3, 4]
  moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), states[4], states[3])
  assert all(jax.tree.leaves(moved.params))
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(states[4].variables))
  numbers = mean(jax.device_get(metrics))
  assert numbers['skipped'] == 1
  finite = [m['loss'] for i, m in enumerate(metrics) if i != 2]
  loss = sum(float(a) for a, _ in finite) / sum(float(b) for _, b in finite)
  assert numbers['loss'] == pytest.approx(loss, rel=1e-6)


def test_a_step_that_is_not_finite_is_named():
  _, metrics = _steps(_build(), 4, batches=_with_a_hole)
  indices = np.array([7, 3])
  metrics = jax.device_get(metrics)
  check_finite(2, metrics[1], indices)
  with pytest.raises(RunError, match=r'step 3: grad_norm and loss .* examples 3, 7$'):
    check_finite(3, metrics[2], indices)


def test_batch_norms_as_the_config_says():
  model = _build(norm=True)
  assert normalise_by('synchronised', model, 4) is model
  (before, after), _ = _steps(normalise_by('per_device', model, 4))
  # By hand: the statistics of each four, averaged.
  first = jax.tree.leaves(
    [
      model.apply(
        before.variables, _batch(0)['inputs'][i : i + 4], train=True,
        mutable=['batch_stats'], rngs={'dropout': jax.random.key(0)},
      )[1]['batch_stats']['norms_0']
      for i in (0, 4, 8)
    ],
  )  # fmt: skip
  means = [np.mean(first[k::2], axis=0) for k in (0, 1)]
  _assert_close(after.batch_stats['norms_0'], means, rtol=1e-5, atol=1e-6)
  (before, after), _ = _steps(normalise_by('frozen', model, 4))
  _assert_close(after.batch_stats, before.batch_stats, rtol=0)
  with pytest.raises(ConfigError, match='LeNet has no batch norms'):
    normalise_by('frozen', _build(), 4)
  with pytest.raises(ConfigError, match="unknown 'frosen'; did you mean 'frozen'"):
    normalise_by('frosen', model, 4)
