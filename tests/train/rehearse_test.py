"""What a rehearsal says, beside what runs do, and numbers reckoned by hand."""

import dataclasses
import gc
import importlib.util
import math
import re
import signal
import subprocess
import sys

import jax
import pytest
from commands import lines
from rehearsing import command, lenet, rehearse_on_cpu, text_lstm

import convscan.architectures as arch
from convscan import data
from convscan.train import (
  evaluation,
  loop,
  machines,
  rehearsal,
  rehearsal_text,
  topologies,
)
from convscan.train.errors import ConfigError


@pytest.fixture(scope='module')
def on_eight():
  return rehearse_on_cpu(lenet(), devices=8)


# The step that is compiled, and the memory that it needs, are those of a run.


@pytest.mark.parametrize('make', [lenet, text_lstm])
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

  def compiling(what, lower, held, arguments):
    name = 'evaluation' if rehearsed else 'training'
    rehearsed[name] = text(lower)
    return compile_(what, lower, held, arguments)

  monkeypatch.setattr(rehearsal, '_compile', compiling)
  rehearse_on_cpu(config)
  for name in ('training', 'evaluation'):
    assert len(ran[name]) > 1000
    assert rehearsed[name] == ran[name]


def test_a_run_holds_what_the_rehearsal_says(tmp_path, monkeypatch):
  config = lenet(ema_decay=0.9, eval_every_steps=2, checkpoint_every_steps=6)
  config.num_train_steps = 6
  config.mesh.update({'data': 2, 'fsdp': 2})
  said = rehearse_on_cpu(config, devices=4)
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


@pytest.mark.parametrize('make', [lenet, text_lstm])
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
    rehearse_on_cpu(lenet(batch_size=2048))


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
  config = lenet(ema_decay=0.9)
  config.mesh.fsdp = parts
  memory = rehearse_on_cpu(config, devices=8).training.memory
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


def test_loops_do_not_hide_flops():
  at_once = rehearse_on_cpu(lenet()).training
  in_parts = rehearse_on_cpu(lenet(accumulate_steps=4)).training
  assert in_parts.program.product_loops == (4,)
  # The products are the same, and most of what there is to compute.
  assert in_parts.flops == pytest.approx(at_once.flops, rel=0.1)
  config = text_lstm()
  config.model.hidden_features = 128
  recurrent = rehearse_on_cpu(config)
  assert set(recurrent.training.program.product_loops) == {16}
  assert recurrent.training.flops == pytest.approx(recurrent.flops, rel=0.1)


def test_gradients_are_summed_over_devices_once(on_eight):
  gradients = 4 * on_eight.num_params
  sent = on_eight.training.program
  assert gradients <= sent.bytes['all-reduce'] < gradients + 256
  assert rehearse_on_cpu(lenet()).training.program.bytes == {}


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
  ran = command(
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
  ran = command('--config=digits_lenet', *arguments)
  assert ran.returncode == 2
  assert re.search(said, ran.stderr)
  assert ran.stderr.startswith('convscan: ')
  assert ran.stderr.count('\n') == 1
  assert ran.stdout == ''


def test_ctrl_c_does_not_wait_for_the_compiler():
  process = subprocess.Popen(
    ['env', '--default-signal=INT', sys.executable, '-m', 'convscan.train.rehearse',
     '--config=digits_resnet', '--topology=cpu'],
    stderr=subprocess.PIPE,
    text=True,
  )  # fmt: skip
  with process:
    assert 'compiling' in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == -signal.SIGINT
    assert process.stderr.read() == ''


def test_no_gpu_is_said_in_a_line():
  if any(importlib.util.find_spec(f'jax_cuda{n}_plugin') for n in (12, 13)):
    pytest.skip('there may be one')
  ran = command('--config=digits_lenet', '--topology=gpu')
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
