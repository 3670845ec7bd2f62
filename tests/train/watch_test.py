"""What a person sees of a run beside its metrics, and that seeing costs nothing."""

import glob
import math

import jax
import jax.numpy as jnp
import pytest
from jax.profiler import ProfileData

import convscan.architectures as arch
from convscan.configs import digits_lenet
from convscan.train import loop, machines, metrics, report
from convscan.train.errors import ConfigError
from convscan.train.profiler import check_profile


def _config(**changes):
  config = digits_lenet.get_config()
  config.update({'num_train_steps': 12, 'log_every_steps': 2, 'eval_every_steps': 4,
                 'checkpoint_every_steps': 4})  # fmt: skip
  config.model.update({'filters': (4, 4), 'hidden': (8,)})
  config.optimizer.warmup_steps = 0
  config.update(changes)
  return config


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A run with a profile; its folder, and what happened, in order."""
  workdir = str(tmp_path_factory.mktemp('watch') / 'run')
  events = []
  put_batch, get, progress = loop.put_batch, jax.device_get, loop.MetricWriter.progress

  def noted(name, call):
    def wrapper(*args, **kwargs):
      events.append((name, None))
      return call(*args, **kwargs)

    return wrapper

  def at_step(self, step):
    events.append(('step', step))
    return progress(self, step)

  def listen(event, duration, **kwargs):
    if event.startswith('/jax/core/compile/'):
      events.append(('compile', event))

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(loop, 'put_batch', noted('put', put_batch))
    patch.setattr(jax, 'device_get', noted('get', get))
    patch.setattr(loop.MetricWriter, 'progress', at_step)
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
      loop.train_and_evaluate(_config(profile=(5, 6)), workdir)
    finally:
      jax.monitoring.unregister_event_duration_listener(listen)
  return workdir, events


def _between(events, first, last):
  """Returns the events after step `first` was dispatched until `last` was."""
  start, end = events.index(('step', first)), events.index(('step', last))
  return events[start:end]


def test_nothing_is_compiled_after_the_second_step(run):
  _, events = run
  compiled = {
    (first, first + 1): [e for e in _between(events, first, first + 1)
                         if e[0] == 'compile'] for first in range(1, 12)
  }  # fmt: skip
  first_evaluation = compiled.pop((4, 5))
  assert first_evaluation  # the listener hears
  assert [e for e in events[: events.index(('step', 1))] if e[0] == 'compile']
  compiled.pop((1, 2))
  # The second evaluation and the second checkpoint are those after step 8.
  assert {steps: found for steps, found in compiled.items() if found} == {}


def test_metrics_are_fetched_when_the_next_step_was_dispatched(run):
  _, events = run
  for step in (2, 6, 9, 10):
    names = [name for name, _ in _between(events, step, step + 1)]
    assert names == ['step', 'put', 'get']


def test_lines_are_complete_and_in_order(run):
  lines = metrics.read(run[0])
  assert [m['step'] for m in lines if 'train/loss' in m] == [2, 4, 6, 8, 10, 12]
  assert [m['step'] for m in lines if 'eval/loss' in m] == [4, 8, 12]
  assert [m['step'] for m in lines] == sorted(m['step'] for m in lines)
  for line in lines:
    if 'train/loss' in line:
      assert line['perf/examples_per_second'] > 0
      assert 0 <= line['perf/data_wait_share'] <= 1
      assert line['perf/host_memory_gib'] > 0.05


# Python 3.13 warns of a type that jaxlib makes there, which ends in C++ as an error.
@pytest.mark.filterwarnings('ignore:builtin type event_stats:DeprecationWarning')
def test_the_profile_holds_its_steps_and_the_compiled_step(run):
  (path,) = glob.glob(f'{run[0]}/profile/**/*.xplane.pb', recursive=True)
  found, names = set(), set()
  for plane in ProfileData.from_file(path).planes:
    for line in plane.lines:
      for event in line.events:
        names.add(event.name)
        if event.name == 'train':
          found.add(dict(event.stats)['step_num'])
  assert found == {5, 6}
  assert any('train_step' in name for name in names), sorted(names)[:50]


@pytest.mark.parametrize('steps', [(0, 3), (3, 2), (1, 13), (4,), (1, 2, 3), (1.0, 2)])
def test_a_profile_out_of_range_is_refused(steps, tmp_path):
  with pytest.raises(ConfigError, match=r'config\.profile: .*1 <= first <= last <= 12'):
    check_profile(steps, 12)


def test_a_wrong_profile_leaves_no_folder(tmp_path):
  with pytest.raises(ConfigError, match=r'config\.profile'):
    loop.train_and_evaluate(_config(profile=(9, 99)), str(tmp_path / 'run'))
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('kind', sorted(k for k in machines.PEAK_FLOPS if 'TPU' in k))
def test_the_peaks_of_tpus_are_those_that_jax_has(kind):
  tpu_info = pytest.importorskip('jax._src.pallas.mosaic.tpu_info')
  version = tpu_info.chip_version_from_device_kind(kind)
  assert version is not None, kind


def test_flops_are_those_of_a_dense_networks_products():
  class_count, features = 10, (4, 4)
  model = arch.build('lenet5_modern', filters=features, hidden=(8,), num_classes=10)
  table = arch.summary(model, (2, 8, 8, 1))
  # 8x8 and, pooled, 4x4 outputs of 3x3 filters; 2x2x4 features into 8, into 10.
  macs = 64 * 9 * 4 + 16 * 9 * 4 * 4 + 16 * 8 + 8 * class_count
  assert report.model_flops(table) == 6 * macs
  assert report.model_flops(table, {'head'}) == 6 * macs - 4 * 8 * class_count


def test_throughput_counts_steps_and_leaves_out_pauses(monkeypatch):
  now = iter([0, 1, 2, 3, 7, 10]).__next__  # restart, wait 1-2, pause 3-7, report
  monkeypatch.setattr(report.time, 'perf_counter', lambda: float(now()))
  monkeypatch.setattr(report, 'peak_flops', lambda kind: 1000.0)
  speed = report.Throughput(
    6, 50, jax.make_mesh((2,), ('data',), devices=jax.devices()[:2])
  )
  speed.count()
  with speed.waiting():
    pass
  with speed.paused():
    pass
  for _ in range(3):
    speed.count()
  now = iter([10, 10]).__next__
  numbers = speed.report()
  assert numbers['perf/examples_per_second'] == 3 * 6 / 6
  assert numbers['perf/data_wait_share'] == pytest.approx(1 / 6)
  assert math.isclose(numbers['perf/model_flop_share'], 3.0 * 50 / 2000)


def test_the_start_line_counts_a_devices_share_of_parameters():
  mesh = jax.make_mesh((4,), ('data',), devices=jax.devices()[:4])
  split, whole = (jax.NamedSharding(mesh, jax.P(*names)) for names in (['data'], []))
  params = [jax.device_put(jnp.ones((8, 3)), split), jax.device_put(jnp.ones(5), whole)]
  line = report.start_line(mesh, params, 64)
  assert line == (
    '4 x cpu, mesh data=4; 29 parameters, 11 a device; batch 64, 16 a device'
  )
