"""What a rehearsal says, beside what runs do, and numbers reckoned by hand."""

import dataclasses
import functools
import gc
import importlib.util
import math
import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from commands import lines
from jax.sharding import PartitionSpec as P

import convscan.architectures as arch
from convscan import data
from convscan.configs import digits_lenet, pydoc_lstm
from convscan.train import (
  evaluation,
  flags,
  loop,
  machines,
  rehearsal,
  rehearsal_text,
  remedies,
  topologies,
)
from convscan.train.collectives import read_collectives
from convscan.train.errors import ConfigError
from convscan.train.topologies import Topology

needs_libtpu = pytest.mark.skipif(
  importlib.util.find_spec('libtpu') is None,
  reason='libtpu is not installed: make test-long installs it',
)


def _command(*arguments):
  """Runs the command as a person does: in an environment that knows nothing of it."""
  environment = {
    k: v
    for k, v in os.environ.items()
    if k not in ('JAX_PLATFORMS', 'XLA_FLAGS', 'TF_CPP_MIN_LOG_LEVEL')
  }
  command = [sys.executable, '-m', 'convscan.train.rehearse', *arguments]
  return subprocess.run(command, env=environment, capture_output=True, text=True)


def _lenet(**changes):
  """A small CNN of which every array can be halved."""
  config = digits_lenet.get_config()
  config.model.update({'filters': (8, 16), 'hidden': (32, 16), 'dropout_rate': 0.0})
  config.num_train_steps, config.optimizer.warmup_steps = 4, 0
  config.batch_size = 16
  config.mesh.fsdp_min_size = 1
  config.update(changes)
  return config


def _text(**changes):
  config = pydoc_lstm.get_config()
  config.data.length = 16
  config.model.update({'embedding_features': 8, 'hidden_features': 8})
  config.num_train_steps, config.optimizer.warmup_steps = 4, 0
  config.batch_size = 8
  config.sample.length = 4
  config.carry_state = True
  config.update(changes)
  return config


def _rehearse(config, devices=1):
  dataset = loop.build_dataset(config, data.declare)
  return rehearsal.rehearse(config, dataset, Topology('cpu', str(devices)))


@functools.cache
def _needs(batch_size):
  """Returns the bytes that one device needs for a batch of the small CNN."""
  return _rehearse(_lenet(batch_size=batch_size)).needs


@pytest.fixture(scope='module')
def on_eight():
  return _rehearse(_lenet(), devices=8)


# The step that is compiled, and the memory that it needs, are those of a run.


@pytest.mark.parametrize('make', [_lenet, _text])
def test_the_steps_compiled_are_the_steps_trained(make, tmp_path, monkeypatch):
  config = make(ema_decay=0.9)
  config.mesh.data = 1
  ran, rehearsed = {}, {}

  def text(lower):
    jax.clear_caches()  # the names of functions depend on what was traced before
    return lower().as_text()

  def noting(name, step):
    def call(*args):
      if name not in ran:
        ran[name] = text(lambda: step.lower(*args))
      return step(*args)

    return call

  make_experiment, make_eval_step = loop.make_experiment, evaluation.make_eval_step

  def experiment(*args):
    made = make_experiment(*args)
    return dataclasses.replace(made, update=noting('training', made.update))

  monkeypatch.setattr(loop, 'make_experiment', experiment)
  monkeypatch.setattr(
    evaluation,
    'make_eval_step',
    lambda *args: noting('evaluation', make_eval_step(*args)),
  )
  loop.train_and_evaluate(config, str(tmp_path))
  compile_ = rehearsal._compile

  def compiling(lower, held, arguments):
    name = 'evaluation' if rehearsed else 'training'
    rehearsed[name] = text(lower)
    return compile_(lower, held, arguments)

  monkeypatch.setattr(rehearsal, '_compile', compiling)
  _rehearse(config)
  for name in ('training', 'evaluation'):
    assert len(ran[name]) > 1000
    assert rehearsed[name] == ran[name]


def test_a_run_holds_what_the_rehearsal_says(tmp_path, monkeypatch):
  config = _lenet(ema_decay=0.9, eval_every_steps=2, checkpoint_every_steps=6)
  config.num_train_steps = 6
  config.mesh.update({'data': 2, 'fsdp': 2})
  said = _rehearse(config, devices=4)
  state = sum(
    said.training.memory[k]
    for k in ('parameters', 'optimizer state', 'batch statistics', 'averages')
  )
  whole = said.evaluation.memory['what is evaluated, whole']
  batch = said.training.memory[rehearsal.BATCH] // 2

  def live():
    return sum(
      math.prod(array.sharding.shard_shape(array.shape)) * array.dtype.itemsize
      for array in jax.live_arrays()
      if jax.devices()[0] in array.sharding.device_set
    )

  gc.collect()
  before, training, evaluating = live(), [], []

  def noted(into, put):
    def call(*args):
      into.append(live() - before)
      return put(*args)

    return call

  monkeypatch.setattr(loop, 'put_batch', noted(training, loop.put_batch))
  monkeypatch.setattr(evaluation, 'put_batch', noted(evaluating, evaluation.put_batch))
  loop.train_and_evaluate(config, str(tmp_path))
  # Besides, some numbers: learning rates, metrics, keys.
  assert len(training) == 6
  for held in training:
    assert state <= held < state + batch + 2048, (held, state, batch)
  assert len(evaluating) > 3
  assert whole > batch + 4096
  for held in evaluating:
    assert state + whole <= held < state + whole + batch + 4096
  assert lines(tmp_path)[-1]['step'] == 6


@pytest.mark.parametrize('make', [_lenet, _text])
def test_batches_have_the_shapes_that_are_compiled(make):
  config = make()
  dataset = loop.build_dataset(config)
  training, evaluation_ = rehearsal.batch_shapes(config, dataset)
  batches = loop.make_batches(config, dataset)
  real = next(batches)
  batches.close()
  del real['index']
  for shapes, arrays in [
    (training, real),
    (evaluation_, next(data.eval_batches(dataset, 'test', config.batch_size))),
  ]:
    assert {k: (v.shape, v.dtype) for k, v in shapes.items()} == {
      k: (v.shape, v.dtype) for k, v in arrays.items()
    }


def test_a_batch_larger_than_the_split_is_refused():
  with pytest.raises(ConfigError, match=r'config\.batch_size: .*2048.*only 1438'):
    _rehearse(_lenet(batch_size=2048))


# The numbers.


def test_the_state_of_a_config_is_four_bytes_a_number(on_eight):
  model = arch.build(
    'lenet5_modern', num_classes=10, filters=(8, 16), hidden=(32, 16), dropout_rate=0.0
  )
  count = arch.summary(model, (1, 8, 8, 1)).num_params
  memory = on_eight.training.memory
  assert memory['parameters'] == 4 * count == 4 * on_eight.num_params
  # AdamW's two averages, and two counters: its own and that of its schedule.
  assert memory['optimizer state'] == 8 * count + 2 * 4
  # 2 of 16 images of 8x8, with a target and a weight each; and the next batch's.
  assert memory[rehearsal.BATCH] == 2 * 2 * (8 * 8 + 2) * 4
  # The state is updated where it lies: what comes out besides are metrics.
  assert memory['results'] < 1024
  # Two for each channel of the two norms.
  assert memory['batch statistics'] == 4 * 2 * (8 + 16)
  evaluated = on_eight.evaluation.memory['what is evaluated, whole']
  assert evaluated == 4 * (count + 2 * (8 + 16))
  assert 'averages' not in memory


@pytest.mark.parametrize('parts', [2, 4])
def test_fsdp_divides_the_state(on_eight, parts):
  config = _lenet(ema_decay=0.9)
  config.mesh.fsdp = parts
  memory = _rehearse(config, devices=8).training.memory
  # Of all arrays only the 10 biases of the classes can be halved but not quartered.
  whole = 0 if parts == 2 else 10
  expected = (on_eight.num_params - whole) // parts + whole
  assert memory['parameters'] == 4 * expected
  assert memory['averages'] == 4 * expected + memory['batch statistics']
  assert memory['batch statistics'] == 4 * 2 * (8 + 16) // parts
  assert memory['optimizer state'] == 8 * expected + 2 * 4


def test_flops_are_those_of_a_dense_networks_products(on_eight):
  # 8x8 and, pooled, 4x4 outputs of 3x3 filters; 2x2x16 features into 32, 16, 10.
  macs = 64 * 9 * 8 + 16 * 9 * 8 * 16 + 64 * 32 + 32 * 16 + 16 * 10
  assert on_eight.flops == 6 * macs * 16 / 8
  # XLA leaves out padding and the inputs' gradient, and has activations besides.
  assert 0.6 < on_eight.training.flops / on_eight.flops < 1.4


def test_gradients_are_summed_over_devices_once(on_eight):
  gradients = 4 * on_eight.num_params
  sent = on_eight.training.sent
  assert gradients <= sent.bytes['all-reduce'] < gradients + 256
  assert _rehearse(_lenet()).training.sent.bytes == {}


def test_collectives_of_a_program_reckoned_by_hand():
  mesh = jax.make_mesh((8,), ('x',), axis_types=(jax.sharding.AxisType.Auto,))
  shift = [(i, (i + 1) % 8) for i in range(8)]

  def program(x):  # float32 [16, 8] on each device, 512 bytes
    def body(c, _):
      return jax.lax.psum(c, 'x') * 0.5, jax.lax.all_gather(c, 'x').sum(0)

    c, ys = jax.lax.scan(body, x, None, length=5)
    c = jax.lax.ppermute(c, 'x', shift)
    c = jax.lax.cond(
      c[0, 0] > 0,
      lambda c: jax.lax.psum(c, 'x')[:1],
      lambda c: jax.lax.psum(c[:1], 'x'),
      c,
    )
    scattered = jax.lax.psum_scatter(ys[0].reshape(-1), 'x', tiled=True)
    return c, scattered, jax.lax.all_to_all(ys[1].reshape(8, -1), 'x', 0, 0)

  split = functools.partial(jax.shard_map, mesh=mesh, check_vma=False)
  compiled = (
    jax.jit(split(program, in_specs=P('x'), out_specs=P('x')))
    .lower(jax.ShapeDtypeStruct((8 * 16, 8), jnp.float32))
    .compile()
  )
  sent = read_collectives(compiled.as_text())
  assert sent.counts == {
    'all-reduce': 5 + 1,  # of the two branches the larger
    'all-gather': 5,
    'collective-permute': 1,
    'reduce-scatter': 1,
    'all-to-all': 1,
  }
  assert sent.bytes == {
    'all-reduce': 5 * 512 + 512,
    'all-gather': 5 * 8 * 512,
    'collective-permute': 512,
    'reduce-scatter': 512,
    'all-to-all': 512,
  }
  assert (sent.loops, sent.product_loops) == ((5,), ())


# As libtpu writes them: one that is begun, gone on with while a product is computed,
# and done; a reduce-scatter as a fusion; a loop whose length only its condition has;
# and one of unknown length.
_TPU = """
%begin (p.1: bf16[4,8]) -> (bf16[4,8], bf16[8,8], u32[]) {
  %p.1 = bf16[4,8]{1,0:T(8,128)(2,1)S(1)} parameter(0)
  %all-gather.1 = bf16[8,8]{1,0:T(8,128)(2,1)} all-gather(%p.1), channel_id=1
  ROOT %c.1 = (bf16[4,8]{1,0}, bf16[8,8]{1,0}, u32[]) custom-call(%all-gather.1), \
custom_call_target="AsyncCollectiveStart"
}

%async_collective_fusion.7 (p.2: bf16[4,8], q.2: f32[8,8]) -> f32[8,8] {
  %p.2 = bf16[4,8]{1,0} parameter(0)
  %q.2 = f32[8,8]{1,0} parameter(1)
  %all-gather.2 = bf16[8,8]{1,0:T(8,128)(2,1)} all-gather(%p.2), channel_id=1
  ROOT %d.2 = f32[8,8]{1,0} convolution(%q.2, %q.2), dim_labels=bf_io->bf
}

%done (p.3: bf16[4,8]) -> bf16[8,8] {
  %p.3 = bf16[4,8]{1,0} parameter(0)
  %all-gather.3 = bf16[8,8]{1,0:T(8,128)(2,1)} all-gather(%p.3), channel_id=1
  ROOT %c.3 = bf16[8,8]{1,0} custom-call(%all-gather.3), \
custom_call_target="AsyncCollectiveDone"
}

%all-reduce-scatter.2 (input: f32[8,8]) -> f32[4,8] {
  %input = f32[8,8]{1,0} parameter(0)
  %all-reduce.4 = f32[8,8]{1,0:T(8,128)} all-reduce(%input), to_apply=%add
  ROOT %s.4 = f32[4,8]{1,0} dynamic-slice(%all-reduce.4)
}

%body (p.5: (s32[], f32[8])) -> (s32[], f32[8]) {
  %p.5 = (s32[]{:T(128)}, f32[8]{0:T(128)}) parameter(0)
  %x.5 = f32[8]{0:T(128)} get-tuple-element(%p.5), index=1
  %y.5 = (f32[8]{0}, f32[8]{0}, u32[]{:S(2)}, u32[]{:S(2)}) \
collective-permute-start(%x.5), channel_id=5
  %z.5 = f32[8]{0} collective-permute-done(%y.5)
  %f.5 = f32[8,8]{1,0} fusion(%z.5), kind=kOutput, calls=%async_collective_fusion.7
  ROOT %t.5 = (s32[]{:T(128)}, f32[8]{0}) tuple(%x.5, %z.5)
}

%condition (p.6: (s32[], f32[8])) -> pred[] {
  %n.6 = s32[]{:T(128)} constant(7)
  %p.6 = (s32[]{:T(128)}, f32[8]{0:T(128)}) parameter(0)
  %i.6 = s32[]{:T(128)} get-tuple-element(%p.6), index=0
  ROOT %lt.6 = pred[]{:T(512)} compare(%i.6, %n.6), direction=LT
}

%unknown (p.7: (s32[], f32[8])) -> pred[] {
  %p.7 = (s32[]{:T(128)}, f32[8]{0:T(128)}) parameter(0)
  %x.7 = s32[]{:T(128)} get-tuple-element(%p.7), index=0
  ROOT %lt.7 = pred[]{:T(512)} compare(%x.7, %x.7), direction=LT
}

ENTRY %main (a: bf16[4,8], b: f32[8,8], c: (s32[], f32[8])) -> f32[8,8] {
  %a = bf16[4,8]{1,0} parameter(0)
  %b = f32[8,8]{1,0} parameter(1)
  %c = (s32[], f32[8]{0}) parameter(2)
  %f.1 = (bf16[4,8], bf16[8,8], u32[]) fusion(%a), kind=kCustom, calls=%begin
  %f.2 = f32[8,8] fusion(%a, %b), kind=kOutput, calls=%async_collective_fusion.7
  %f.3 = bf16[8,8] fusion(%a), kind=kCustom, calls=%done
  %f.4 = f32[4,8] fusion(%f.2), kind=kCustom, calls=%all-reduce-scatter.2
  %w.5 = (s32[], f32[8]) while(%c), condition=%condition, body=%body
  ROOT %w.6 = (s32[], f32[8]) while(%w.5), condition=%unknown, body=%body
}
"""


def test_collectives_of_a_tpus_program_reckoned_by_hand():
  sent = read_collectives(_TPU)
  assert sent.counts == {'all-gather': 1, 'reduce-scatter': 1, 'collective-permute': 8}
  assert sent.bytes == {
    'all-gather': 128,
    'reduce-scatter': 256,
    'collective-permute': 8 * 32,
  }
  assert sent.loops == sent.product_loops == (7, None)


# What is said of it.


def test_the_verdict_is_the_larger_steps(on_eight):
  training = dataclasses.replace(on_eight.training, memory={'a': 2 << 30, 'b': 1 << 30})
  evaluation_ = dataclasses.replace(on_eight.evaluation, memory={'a': 5 << 29})

  def said(limit, **changes):
    made = dataclasses.replace(
      on_eight, training=training, evaluation=evaluation_, limit=limit << 28
    )
    return rehearsal_text.verdict(dataclasses.replace(made, **changes))

  assert said(12) == 'fits (3.00 GiB of 3.00 GiB)'
  assert said(11) == 'does not fit: 256.00 MiB too much for 2.75 GiB'
  swapped = {'training': evaluation_, 'evaluation': training}
  assert said(9, **swapped) == 'does not fit: 768.00 MiB too much for 2.25 GiB'


def test_the_command_says_it_all():
  ran = _command(
    '--config=digits_lenet', '--topology=cpu,cpu:4', '--config.batch_size=32',
    '--config.mesh.fsdp=1', '--config.ema_decay=0.99',
  )  # fmt: skip
  assert ran.returncode == 0, ran.stderr
  shown = re.sub(r'\d\d:\d\d:\d\d', 'T', ran.stderr).splitlines()
  assert shown == [
    f'T  compiling the {step} step for {where}'
    for where in ('cpu:1', 'cpu:4')
    for step in ('training', 'evaluation')
  ]
  alone, four = ran.stdout.strip().split('\n\ndigits_lenet on ')
  assert alone.startswith(
    'digits_lenet on cpu:1: 1 x cpu, mesh data=1 fsdp=1; 60,766 parameters; '
    'batch 32, 32 a device\n'
  )
  assert four.startswith('cpu:4: 4 x cpu, mesh data=4 fsdp=1; ')
  assert re.search(r'\nparameters +237\.4 KiB +237\.4 KiB\n', four)
  assert re.search(r'\naverages +238\.1 KiB +238\.1 KiB\n', four)
  assert re.search(r'\nfits \([\d.]+ MiB of [\d.]+ GiB\)\n', four)
  assert re.search(r'\nall-reduce +\d+ x, 23[78]\.\d KiB ', four)
  assert 'all-reduce' not in alone
  units = {'KiB': 1, 'MiB': 1024}
  table = alone[: alone.index('\nfits')].split('\n\n')[1].splitlines()[1:]
  column = [re.split(r'  +', row)[1].split() for row in table if ' -  ' not in row]
  *parts, total = [float(number) * units[unit] for number, unit in column]
  assert sum(parts) == pytest.approx(total, rel=0.01)
  assert len(parts) >= 5
  # All lines of a table end below each other.
  assert len({len(row) for row in table}) == 1


@pytest.mark.parametrize(
  ('arguments', 'said'),
  [
    (['--topology=v5e:3x5'], r"'v5e:3x5'; expected v5e:1x1, .* or v5e:16x16"),
    (['--topology=v5p:4x4'], r"'v5p:4x4'; expected .*2x2x1.* multiples of 4, to 6,144"),
    (['--topology=v5e'], r"'v5e'; expected v5e:1x1"),
    (['--topology=v55:4x4'], r"'v55:4x4'; did you mean 'v5"),
    (['--topology=cpu:0'], r"'cpu:0'; expected cpu, or cpu:8"),
    (['--topology=cpu', '--find=slice'], r"--find=slice: 'cpu' has no slices"),
    (['--topology=cpu', '--find=chip'], r'--find=chip: value should be one of'),
    (['--topology=cpu:3'], 'config.batch_size: 64; expected a positive multi'),
    (['--topology=cpu', '--config.mesh.fsdp=2'], 'config.mesh.fsdp: 2; expected 1 '),
    (['--topology=cpu', '--config.batchsize=2'], r'unknown key config\.batchsize; did'),
    (['--topology='], '--topology: none; expected one or several, such as'),
    ([], 'topology must have a value'),
  ],
)  # fmt: skip
def test_a_mistake_ends_in_one_line(arguments, said):
  ran = _command('--config=digits_lenet', *arguments)
  assert ran.returncode == 2
  assert re.search(said, ran.stderr)
  assert ran.stderr.startswith('convscan: ')
  assert ran.stderr.count('\n') == 1
  assert ran.stdout == ''


def test_no_gpu_is_said_in_a_line():
  if any(importlib.util.find_spec(f'jax_cuda{n}_plugin') for n in (12, 13)):
    pytest.skip('there may be one')
  ran = _command('--config=digits_lenet', '--topology=gpu')
  assert ran.stderr == (
    "convscan: --topology: 'gpu'; this machine has none that JAX can use\n"
  )
  assert ran.returncode == 2


def test_without_a_compiler_for_tpus_a_line_says_how_to_install_it(monkeypatch):
  monkeypatch.setitem(sys.modules, 'libtpu', None)
  with pytest.raises(ConfigError, match=r"pip install 'convscan\[tpu\]'"):
    topologies.prepare([topologies.parse('v5e:4x4')])


def test_other_errors_of_compilers_are_not_taken_for_want_of_memory():
  message = 'RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 63.80G of'
  assert rehearsal._total_needed(f'{message} 30.75G') == int(63.80 * 2**30)
  assert rehearsal._total_needed('INTERNAL: Used 63.80G of 30.75G') is None
  assert rehearsal._total_needed('RESOURCE_EXHAUSTED: of something else') is None


@pytest.mark.parametrize('family', machines.TPUS)
def test_slices_are_such_as_there_are(family):
  tpu = machines.TPUS[family]
  sizes = [machines.chips(shape) for shape in tpu.slices]
  assert sizes == sorted(sizes)
  assert sizes[-1] == tpu.most
  assert all(tpu.has(shape) for shape in tpu.slices)
  assert not any(tpu.has(s) for s in ('', '0x4', '4x4x0', '2x3', '32x32', '64x64x64'))


# What would make it fit.


def _limited(monkeypatch, limit):
  monkeypatch.setattr(topologies, 'memory', lambda *args: limit)


def test_what_makes_it_fit_is_tried(monkeypatch):
  config = _lenet(batch_size=64)
  config.mesh.data = 1
  # Between what the batch needs and what half of it does.
  limit = (_needs(32) + _needs(64)) // 2
  assert _needs(32) < limit < _needs(64)
  _limited(monkeypatch, limit)
  base = _rehearse(config)
  assert not base.fits
  dataset = loop.build_dataset(config)
  tried = list(remedies.try_remedies(config, dataset, base))
  by_key = {next(iter(t.overrides)): t for t in tried}
  assert by_key['batch_size'].overrides == {'batch_size': 32}
  assert by_key['batch_size'].rehearsal.needs == _needs(32)
  assert by_key['batch_size'].fits
  for trial in tried:
    if trial.rehearsal:
      again = _rehearse(remedies.changed(config, trial.overrides))
      assert again.training.memory == trial.rehearsal.training.memory
      assert trial.fits == (again.needs <= limit)
      assert trial.at_least <= limit
  assert by_key['accumulate_steps'].rehearsal.batch_size == 64
  assert 'mesh.fsdp' not in by_key  # one device can't share
  shown = rehearsal_text.trial(by_key['batch_size'], flags.keys(config))
  assert shown.startswith('--config.batch_size=32: fits (')


def test_what_can_not_help_is_not_compiled_and_all_together_is(monkeypatch):
  config = _lenet(batch_size=64)
  config.mesh.data = 1
  _limited(monkeypatch, 1000)
  base = _rehearse(config)
  dataset = loop.build_dataset(config)
  *alone, together = remedies.try_remedies(config, dataset, base)
  assert [list(t.overrides) for t in alone] == [
    ['accumulate_steps'], ['model.dtype'], ['batch_size'],
  ]  # fmt: skip
  assert not any(t.rehearsal for t in alone)
  assert together.overrides == {'accumulate_steps': 64, 'model.dtype': 'bfloat16'}
  assert together.rehearsal.needs < base.needs
  known = flags.keys(config)
  assert 'can not be enough, since' in rehearsal_text.trial(alone[0], known)
  # Its file does not name it, so there is no flag for it.
  dtype = "config.model.dtype = 'bfloat16' in the file: "
  assert rehearsal_text.trial(alone[1], known).startswith(dtype)


def test_fsdp_and_remat_are_offered_where_they_can_be(monkeypatch):
  config = digits_lenet.get_config()
  config.model = {'name': 'resnet20_cifar', 'dtype': 'bfloat16'}
  config.mesh.data = 8
  dataset = loop.build_dataset(config)
  # As if compiled: what is offered is known from the config and the devices alone.
  step = rehearsal.Step({'parameters': 800, rehearsal.TEMPORARIES: 100}, 1.0, None, 1.0)
  base = rehearsal.Rehearsal(
    Topology('cpu', '8'), 'cpu', {'data': 8, 'fsdp': 1}, 64, 500, 1.0, 1, step, step
  )
  ladders = {
    next(iter(ladder[0].overrides)): ladder
    for ladder in remedies.remedies(config, dataset, base)
  }
  assert [t.overrides for t in ladders['mesh.fsdp']] == [
    {'mesh.fsdp': n, 'mesh.data': 8 // n} for n in (2, 4, 8)
  ]
  assert [t.at_least for t in ladders['mesh.fsdp']] == [500, 300, 200]
  [remat] = ladders['model.remat']
  assert remat.overrides['model.remat'] == ('stage0', 'stage1', 'stage2', 'stage3')
  assert 'model.dtype' not in ladders  # it is already
  assert [t.overrides['accumulate_steps'] for t in ladders['accumulate_steps']] == [
    2, 4, 8,
  ]  # fmt: skip


# Whatever is expected before it is compiled: too little, what is, or too much.
@pytest.mark.parametrize(('wrong_by', 'start'), [(0.05, 8), (1, 128), (100, 8)])
def test_the_largest_batch_is_that_of_all_that_were_tried_by_hand(
  wrong_by, start, monkeypatch
):
  expect = remedies._needs
  monkeypatch.setattr(remedies, '_needs', lambda *args: wrong_by * expect(*args))
  needs = {n: _needs(n) for n in (8, 16, 32, 64)}
  assert sorted(needs.values()) == list(needs.values())
  _limited(monkeypatch, (needs[32] + needs[64]) // 2)
  config = _lenet(batch_size=start)
  dataset = loop.build_dataset(config)
  base = _rehearse(config)
  found = remedies.find_batch(config, dataset, base)
  assert found.overrides == {'batch_size': 32}
  _limited(monkeypatch, 1000)
  if start == 8:
    base = dataclasses.replace(base, limit=1000)
    assert remedies.find_batch(config, dataset, base) is None


def test_the_smallest_slice_is_that_of_all_that_were_tried_by_hand(monkeypatch):
  config = _lenet(batch_size=64)
  counts = [1, 2, 3, 4, 8]  # of which 3 can't share the batch
  needs = {n: _rehearse(config, devices=n).needs for n in (1, 2, 4, 8)}
  dataset = loop.build_dataset(config)
  slices = [Topology('cpu', str(n)) for n in counts]
  for n in (1, 4):
    _limited(monkeypatch, needs[n])
    found = remedies.find_slice(config, dataset, slices)
    assert found.topology == Topology('cpu', str(n))
    assert found.needs == needs[n]
  _limited(monkeypatch, 1000)
  assert remedies.find_slice(config, dataset, slices) is None


# For TPUs.


def _gib(text):
  number, unit = text.split()
  return float(number) * {'KiB': 2**-20, 'MiB': 2**-10, 'GiB': 1}[unit]


@needs_libtpu
def test_a_small_config_for_a_slice_that_is_not_there():
  ran = _command('--config=digits_lenet', '--topology=v5e:1x1,v5e:2x2,v4:2x2x1')
  assert ran.returncode == 0, ran.stderr
  # None of what libtpu says by itself.
  assert all(re.match(r'\d\d:\d\d:\d\d  compiling', s) for s in ran.stderr.splitlines())
  one, four, v4 = ran.stdout.strip().split('\n\ndigits_lenet on ')
  assert '1 x TPU v5 lite' in one
  assert '4 x TPU v5 lite' in four
  assert '4 x TPU v4' in v4  # of two cores each, which are one device
  assert re.search(r'\nfits \(.* of 15\.75 GiB\)\n', four)
  assert re.search(r'\nfits \(.* of 30\.75 GiB\)\n', v4)
  assert 'all-reduce' not in one
  assert re.search(r'\nall-reduce +\d+ x, 23[78]\.\d KiB ', four)


@needs_libtpu
def test_a_slice_that_can_not_be_split_so_is_said_in_a_line():
  ran = _command('--config=digits_lenet', '--topology=v6e:4x4', '--config.mesh.fsdp=8')
  assert ran.returncode == 2
  assert ran.stderr == (
    'convscan: config.mesh.fsdp: 8; expected a product of whole sides of the slice, '
    'such as 4 or 16 of 4x4\n'
  )


@needs_libtpu
def test_what_a_chip_can_not_hold_is_refused_with_its_size():
  ran = _command(
    '--config=pydoc_lstm', '--topology=v5e:1x1', '--noremedies',
    '--config.model.hidden_features=16384', '--config.data.length=16',
  )  # fmt: skip
  assert ran.returncode == 1
  assert ran.stderr.endswith('\nconvscan: it does not fit on v5e:1x1\n')
  excess = re.search(r'\ndoes not fit: (.* GiB) too much for 15\.75 GiB\n', ran.stdout)
  # Two layers, the larger of 8 * hidden**2, of 12 bytes a parameter with Adam's.
  state = 12 * (12 * 16384**2) / 2**30
  assert state - 15.75 < _gib(excess[1]) < 2.5 * state


@pytest.mark.long
@needs_libtpu
@pytest.mark.parametrize('topology', ['v5e:4x4', 'v5p:2x2x2', 'v6e:4x4'])
@pytest.mark.parametrize(
  ('config', 'parameters', 'arguments'),
  [
    ('imagenet_resnet50', 25_557_032, []),
    ('imagenet_convnext_tiny', 28_589_128, []),
    # 33,556,078 in torch, whose layers have a second bias, without our start token.
    ('wikitext2_awd_lstm', 33_556_078 - 4 * (2 * 1150 + 400) + 401, []),
    ('wikitext103_lstm', 582_153_688, ['--config.mesh.fsdp={chips}']),
  ],
)
def test_published_experiments_rehearse(config, parameters, arguments, topology):
  ran = _command(
    f'--config={config}', f'--topology={topology}', '--noremedies',
    *(a.format(chips=8 if topology == 'v5p:2x2x2' else 16) for a in arguments),
  )  # fmt: skip
  assert ran.returncode == 0, ran.stderr
  assert f' {parameters:,} parameters; ' in ran.stdout
  assert re.search(r'\nfits \(', ran.stdout), ran.stdout
