"""Lengths and a carried state in training, beside sequences taken one by one."""

import functools
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

import convscan.architectures as arch
from convscan import data
from convscan.configs import digits_lenet, pydoc_lstm
from convscan.data.text import START, StreamWindows
from convscan.train import loop, sequences, tasks
from convscan.train.errors import ConfigError, Stopped
from convscan.train.mesh import batch_sharded, make_mesh, put_batch, replicated
from convscan.train.metrics import read
from convscan.train.state import create_state
from convscan.train.step import eval_step, train_step
from convscan.train.tasks.task import mean

BATCH, STEPS, VOCAB = 3, 7, 11
LENGTHS = np.array([7, 1, 4], np.int32)
SMALL = {'hidden_features': 6, 'embedding_features': 5}

# By task: a model that takes lengths, its fields, whether each step has a target.
CASES = {
  'classification': ('gru_classifier', {'num_classes': 3, 'vocab_size': VOCAB}, False),
  'tagging': ('gru_tagger', {'num_tags': 3, 'vocab_size': VOCAB}, True),
  'language_model': ('lstm_lm', {'vocab_size': VOCAB}, True),
  'forecasting': ('gru_forecaster', {'horizon': 2, 'num_targets': 1}, False),
}


def _ragged(task, per_step):
  """A batch whose padding is as large as what counts, and of weight 0."""
  rng = np.random.default_rng(0)
  within = np.arange(STEPS) < LENGTHS[:, None]
  if task == 'forecasting':
    return {
      'inputs': rng.normal(size=(BATCH, STEPS, 1)).astype(np.float32),
      'targets': rng.normal(size=(BATCH, 2, 1)).astype(np.float32),
      'weights': np.ones((BATCH, 2), np.float32),
      'lengths': LENGTHS,
    }
  shape = (BATCH, STEPS) if per_step else (BATCH,)
  return {
    'inputs': rng.integers(0, VOCAB, (BATCH, STEPS)).astype(np.int32),
    'targets': rng.integers(0, 3, shape).astype(np.int32),
    'weights': within.astype(np.float32) if per_step else np.ones(BATCH, np.float32),
    'lengths': LENGTHS,
  }


def _make(model, inputs, tx, **options):
  parts = {'model': model, 'tx': tx}
  create = functools.partial(create_state, **parts, **options)
  return jax.jit(create)(jax.random.key(0), jnp.asarray(inputs[:1]), {}), parts


@pytest.mark.parametrize('name', CASES)
def test_padding_changes_neither_loss_nor_gradient(name):
  model_name, fields, per_step = CASES[name]
  model = arch.build(model_name, hidden_features=6, num_layers=1, **fields)
  task, batch = tasks.get(name), _ragged(name, per_step)
  state, parts = _make(model, batch['inputs'], optax.sgd(1.0))

  def alone(params, row):
    """The sum of the losses of one example without its padding, and their number."""
    steps = slice(int(LENGTHS[row]))
    targets = batch['targets'][row, steps] if per_step else batch['targets'][row]
    inputs = batch['inputs'][row, steps]
    outputs = model.apply({'params': params}, inputs[None], train=True)
    losses = task.losses(outputs, targets[None])
    return jnp.sum(losses), losses.size

  def one_by_one(params):
    sums, counts = zip(*(alone(params, row) for row in range(BATCH)), strict=True)
    return sum(sums) / sum(counts)

  expected, grads = jax.jit(jax.value_and_grad(one_by_one))(state.params)
  after, metrics = jax.jit(functools.partial(train_step, task=task, **parts))(
    state, batch
  )
  assert mean([metrics])['loss'] == pytest.approx(float(expected), rel=1e-5)
  got = jax.tree.map(lambda before, after: before - after, state.params, after.params)
  for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(grads), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6)
  evaluate = jax.jit(functools.partial(eval_step, model=model, task=task))
  evaluated, _ = evaluate(state.variables, batch)
  assert mean([evaluated])['loss'] == pytest.approx(float(expected), rel=1e-5)
  if name == 'forecasting':
    steps = [np.abs(np.diff(batch['inputs'][r, :n, 0])) for r, n in enumerate(LENGTHS)]
    naive = np.mean([s.mean() for s in steps if s.size])
    assert mean([evaluated])['naive'] == pytest.approx(naive, rel=1e-5)


def test_a_language_model_carries_the_state_at_each_length():
  model = arch.build('gru_lm', vocab_size=VOCAB, num_layers=1, **SMALL)
  batch = _ragged('language_model', True)
  variables = model.init(jax.random.key(0), batch['inputs'], train=False)
  read = functools.partial(model.apply, variables, train=False, return_carry=True)
  (carry,), _ = read(batch['inputs'], seq_lengths=LENGTHS)
  for row, length in enumerate(LENGTHS):
    (expected,), _ = read(batch['inputs'][row : row + 1, :length])
    np.testing.assert_allclose(carry[row], expected[0], rtol=1e-5, atol=1e-6)


# A text of documents whose starts lie anywhere in windows.
_RNG = np.random.default_rng(1)
DOCUMENTS = [_RNG.integers(1, VOCAB, n).astype(np.int32) for n in (37, 5, 61, 20)]
WINDOW, TRACKS = 6, 2


def _stream(documents=DOCUMENTS, window=WINDOW):
  source = StreamWindows(documents, window)
  test = StreamWindows(documents, window)
  splits = {'train': source, 'test': test}
  return data.Dataset('words', 'language_model', tuple(map(str, range(VOCAB))), splits)


def _carried(model, tx, count, documents=DOCUMENTS, mesh=None, rows=TRACKS, **options):
  """The states after each of the first batches, their metrics, and the batches."""
  mesh = mesh or make_mesh(1)
  batches = data.train_batches(_stream(documents), rows, 0, carry_state=True)
  batches = [next(batches) for _ in range(count)]
  shape = jax.ShapeDtypeStruct(batches[0]['inputs'].shape, np.int32)
  params = jax.eval_shape(
    functools.partial(model.init, train=False), jax.random.key(0), shape
  )
  carry = sequences.carry_shapes(model, params, shape)
  state, parts = _make(model, batches[0]['inputs'], tx, carry=carry)
  everywhere, split = replicated(mesh), batch_sharded(mesh)
  places = jax.tree.map(lambda _: everywhere, state)
  places = places.replace(carry=jax.tree.map(lambda _: split, carry))
  # Whatever it begins with, the first batch resets it.
  state = state.replace(carry=jax.tree.map(lambda c: c + 7, state.carry))
  task = tasks.get('language_model')
  step = jax.jit(
    functools.partial(train_step, task=task, **parts, **options),
    in_shardings=(places, split),
    out_shardings=(places, everywhere),
  )
  states, metrics = [jax.device_put(state, places)], []
  for batch in batches:
    arrays = {k: v for k, v in batch.items() if k != 'index'}
    state, numbers = step(states[-1], put_batch(arrays, mesh))
    states.append(state)
    metrics.append(numbers)
  return states, metrics, batches


def test_windows_in_turn_have_the_losses_of_one_long_pass():
  model = arch.build('gru_lm', vocab_size=VOCAB, num_layers=1, **SMALL)
  windows = 124 // TRACKS // WINDOW
  # As many documents as tracks, and each exactly a track: no reset within.
  track = windows * WINDOW
  rng = np.random.default_rng(2)
  texts = [rng.integers(1, VOCAB, n).astype(np.int32) for n in (track - 1, track)]
  states, metrics, _ = _carried(model, optax.sgd(0.0), windows, documents=texts)
  stream = np.concatenate([[START, *text] for text in texts])
  rows = np.stack([stream[:track], stream[track : 2 * track]])
  targets = np.stack([stream[1 : track + 1], stream[track + 1 :]])
  long_pass = jax.jit(functools.partial(model.apply, train=True, return_carry=True))
  carry, logits = long_pass(states[0].variables, rows)
  log_p = jax.nn.log_softmax(logits)
  losses = -np.take_along_axis(np.asarray(log_p), targets[..., None], 2)[..., 0]
  losses[targets == START] = 0
  for number, window in enumerate(np.split(losses, windows, axis=1)):
    assert float(metrics[number]['loss'][0]) == pytest.approx(window.sum(), rel=1e-5)
  for a, b in zip(
    jax.tree.leaves(states[-1].carry), jax.tree.leaves(carry), strict=True
  ):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_plain_loop_over_the_text_has_the_same_losses():
  model = arch.build('elman_lm', vocab_size=VOCAB, num_layers=1, **SMALL)
  windows = 126 // TRACKS // WINDOW
  states, metrics, _ = _carried(model, optax.sgd(0.0), 2 * windows)
  p = jax.tree.map(lambda a: np.asarray(a, np.float64), states[0].params)
  cell, head = p['layers_0']['cell'], p['head']
  stream = np.concatenate([[START, *text] for text in DOCUMENTS])
  expected = np.zeros(2 * windows)
  for row in range(TRACKS):
    begin = row * ((len(stream) - 1) // TRACKS)
    for number in range(2 * windows):
      for step in range(WINDOW):
        at = begin + number % windows * WINDOW + step
        if stream[at] == START or (number % windows == 0 and step == 0):
          h = np.zeros(SMALL['hidden_features'])
        x = p['embed']['embedding'][stream[at]]
        h = np.tanh(x @ cell['kernel'] + h @ cell['recurrent_kernel'] + cell['bias'])
        scores = h @ head['kernel'] + head['bias']
        if stream[at + 1] != START:
          expected[number] += np.log(np.exp(scores).sum()) - scores[stream[at + 1]]
  got = [float(m['loss'][0]) for m in metrics]
  np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_gradients_end_at_the_start_of_a_window():
  model = arch.build('lstm_lm', vocab_size=VOCAB, num_layers=2, **SMALL)
  states, _, batches = _carried(model, optax.sgd(1.0), 3)
  batch, before, after = batches[2], states[2], states[3]
  assert not batch['resets'][:, 0].any()

  def loss(params, carry):
    _, logits = model.apply(
      {'params': params}, batch['inputs'], train=True, initial_carry=carry,
      resets=batch['resets'], return_carry=True,
    )  # fmt: skip
    log_p = jax.nn.log_softmax(logits)
    own = jnp.take_along_axis(log_p, batch['targets'][..., None], 2)[..., 0]
    return -jnp.sum(own * batch['weights']) / batch['weights'].sum()

  gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
  grads, by_carry = gradient(before.params, before.carry)
  assert max(float(jnp.abs(g).max()) for g in jax.tree.leaves(by_carry)) > 1e-5
  got = jax.tree.map(lambda b, a: b - a, before.params, after.params)
  for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(grads), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('case', ['parts', 'devices'])
def test_a_batch_in_parts_or_on_devices_carries_the_same(case):
  model = arch.build('lstm_lm', vocab_size=VOCAB, num_layers=1, **SMALL)
  options = {'accumulate_steps': 2} if case == 'parts' else {'mesh': make_mesh(2)}
  expected, numbers, _ = _carried(model, optax.sgd(0.5), 4, rows=4)
  states, metrics, _ = _carried(model, optax.sgd(0.5), 4, rows=4, **options)
  expected, states = jax.device_get((expected[-1], states[-1]))
  for a, b in zip(
    jax.tree.leaves((states.params, states.carry, metrics)),
    jax.tree.leaves((expected.params, expected.carry, numbers)),
    strict=True,
  ):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
  _, second, third, _ = jax.tree.leaves(states.carry)[0]
  assert np.abs(second - third).max() > 1e-3  # so that rows in another order show


def _config(**changes):
  config = pydoc_lstm.get_config()
  config.update({'carry_state': True, 'batch_size': 8, 'num_train_steps': 8,
                 'eval_every_steps': 8, 'checkpoint_every_steps': 8,
                 'log_every_steps': 2})  # fmt: skip
  config.data.length = 16
  config.model.update({'embedding_features': 8, 'hidden_features': 8, 'num_layers': 1})
  config.optimizer.warmup_steps = 0
  config.sample.length = 4
  config.mesh.data = 2
  config.update(changes)
  return config


def _saved(workdir, step=6):
  with ocp.PyTreeCheckpointer() as reader:
    return reader.restore(f'{workdir}/checkpoints/{step}/state')


@pytest.mark.filterwarnings('ignore:Sharding info not provided')
def test_a_stopped_run_goes_on_with_the_state_it_carried(tmp_path):
  whole, stopped = str(tmp_path / 'whole'), str(tmp_path / 'stopped')
  for workdir, steps in [(whole, [6]), (stopped, [3, 6])]:
    for last in steps:
      with pytest.raises(Stopped):
        loop.train_and_evaluate(
          _config(), workdir, lambda step, last=last: step == last
        )
  expected, got = _saved(whole), _saved(stopped)
  carried = [name for name in expected if name.startswith('carry/')]
  assert [expected[name].shape for name in carried] == [(8, 8)] * 2
  assert all(np.abs(expected[name]).max() > 0 for name in carried)
  assert got.keys() == expected.keys()
  for name, leaf in expected.items():
    np.testing.assert_array_equal(got[name], leaf, err_msg=name)
  losses = [
    [m['train/loss'] for m in read(w) if 'train/loss' in m] for w in (whole, stopped)
  ]
  assert losses[0] == losses[1]


class _Ragged:
  """Tags of tokens, of many lengths."""

  def __len__(self):
    return 96

  def __getitem__(self, index):
    length = 1 + index % 16
    tokens = np.where(np.arange(16) < length, 1 + np.arange(16) % 5, 0)
    return {
      'inputs': tokens.astype(np.int32),
      'targets': (tokens % 3).astype(np.int32),
      'weights': np.ones(16, np.float32),
      'lengths': np.array(length, np.int32),
    }


def _ragged_dataset():
  splits = {'train': _Ragged(), 'test': _Ragged()}
  return data.Dataset('ragged', 'tagging', ('a', 'b', 'c'), splits)


def _ragged_config(**changes):
  config = pydoc_lstm.get_config()
  config.task = 'tagging'
  config.model = {'name': 'gru_tagger', 'vocab_size': 6, 'hidden_features': 4}
  config.update({'batch_size': 8, 'num_train_steps': 24, 'eval_every_steps': 24,
                 'checkpoint_every_steps': 24, 'log_every_steps': 24})  # fmt: skip
  config.optimizer.warmup_steps = 0
  config.mesh.data = 1
  config.update(changes)
  return config


def test_buckets_compile_a_step_for_each_length_and_no_more(tmp_path, monkeypatch):
  monkeypatch.setattr(loop, 'build_dataset', lambda config: _ragged_dataset())
  compiled, shapes, put = [], [], loop.put_batch

  def noted(batch, mesh):
    shapes.append(batch['inputs'].shape)
    return put(batch, mesh)

  def listen(event, duration, **kwargs):
    if event == '/jax/core/compile/backend_compile_duration':
      compiled.append(len(shapes))

  monkeypatch.setattr(loop, 'put_batch', noted)
  jax.monitoring.register_event_duration_secs_listener(listen)
  try:
    with pytest.raises(Stopped):
      loop.train_and_evaluate(
        _ragged_config(length_buckets=3), str(tmp_path), lambda step: step == 23
      )
  finally:
    jax.monitoring.unregister_event_duration_listener(listen)
  lengths = list(dict.fromkeys(steps for _, steps in shapes))
  assert len(lengths) == 3
  first = {1 + shapes.index((8, steps)) for steps in lengths}
  late = {at for at in first if at > 2}
  assert late
  assert {at for at in compiled if 2 < at < 23} == late


def test_what_does_not_fit_is_refused_before_anything_runs(tmp_path):
  def refused(config, message):
    with pytest.raises(ConfigError, match=message):
      loop.train_and_evaluate(config, str(tmp_path / 'never'))
    assert not (tmp_path / 'never').exists()

  digits = digits_lenet.get_config()
  refused(_with(digits, length_buckets=4), r"length_buckets: 4; expected 0.*'digits'")
  refused(_with(digits, length_buckets=-4), r'length_buckets: -4; expected 0 or more')
  refused(
    _with(digits, carry_state=True), r"carry_state: True; .* 'digits' is no strea"
  )
  refused(_config(batch_size=40_000), r'batch_size is 40000, but the text has only')
  config = _ragged_config()
  config.model.name = 'lenet5'
  with pytest.raises(
    ConfigError, match=r"'lenet5' does not take seq_lengths.*have len"
  ):
    sequences.check_model(config, _ragged_dataset(), arch.build('lenet5'))
  tagger = arch.build('gru_tagger')
  with pytest.raises(ConfigError, match=r'take initial_carry, return_carry, resets;'):
    sequences.check_model(_config(), _stream(), tagger)


def _with(config, **changes):
  config = config.copy_and_resolve_references()
  config.update(changes)
  return config


@pytest.mark.long
@pytest.mark.filterwarnings('ignore:Sharding info not provided')
def test_a_killed_run_ends_with_the_bits_of_one_that_was_not(tmp_path):
  flags = [
    '--config=pydoc_lstm', '--config.carry_state', '--config.num_train_steps=60',
    '--config.checkpoint_every_steps=3', '--config.eval_every_steps=60',
    '--config.data.length=16', '--config.model.hidden_features=8',
    '--config.sample.length=4',
  ]  # fmt: skip

  def start(workdir):
    command = [sys.executable, '-m', 'convscan.train.main', *flags]
    return subprocess.Popen([*command, f'--workdir={workdir}'], stderr=subprocess.PIPE)

  killed, whole = tmp_path / 'killed', tmp_path / 'whole'
  for goal in (9, 30):
    process = start(killed)
    while not (killed / f'checkpoints/{goal}').exists() and process.poll() is None:
      time.sleep(0.001)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL, 'it ended before it was killed'
  for workdir in (killed, whole):
    process = start(workdir)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
  got, expected = _saved(killed, 60), _saved(whole, 60)
  assert got.keys() == expected.keys()
  for name, leaf in expected.items():
    np.testing.assert_array_equal(got[name], leaf, err_msg=name)
