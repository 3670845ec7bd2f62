"""One trial as a real process: how it fails, is tried again, is stopped, and ends."""

import concurrent.futures
import contextlib
import json
import multiprocessing
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

from convscan.configs import digits_lenet, sweeps
from convscan.train.errors import ConfigError
from convscan.train.flags import find
from convscan.train.sweeping import plan, records, table, trials
from convscan.train.sweeping.driver import Driver, Listed, alone
from convscan.train.sweeping.plan import Trial
from convscan.train.sweeping.sampling import Sampled
from convscan.train.sweeping.screen import Screen
from convscan.train.sweeping.stopping import Stopper

LOSS = table.make_metric('eval/loss')
QUICK = {'num_train_steps': 2, 'optimizer.warmup_steps': 0}


def _job(root, overrides, retries=0, config=None, name='trial'):
  config = config or find('digits_lenet')
  return trials.Job(
    root=str(root),
    trial=Trial(name, overrides),
    config=str(config),
    digest=trials.digest(config),
    common=QUICK,
    cwd=str(root),
    retries=retries,
    environment=trials.environment(1, 0, 0),
  )


def _attempts(root):
  return records.read(str(root), 'trial')['attempts']


def test_what_fails_is_tried_again_and_reported_with_its_log(tmp_path):
  job = _job(tmp_path, {'optimizer.learning_rate': 1e38}, retries=1)
  assert trials.run(job) == 'failed'
  assert [attempt['status'] for attempt in _attempts(tmp_path)] == [1, 1]
  said = table.failures(str(tmp_path), [table.read_row(str(tmp_path), job.trial, LOSS)])
  reason = 'exit status 1: step 2: grad_norm and loss not finite, and '
  assert said.startswith(f'trial failed: {reason}')
  assert '(attempts: 2); ' in said
  assert '| convscan: ' in said.splitlines()[-1]
  assert 'not finite' in said


@pytest.mark.parametrize(
  ('log', 'said'),
  [
    ('convscan: config.seed: 1.5\n', ': config.seed: 1.5'),
    ('Traceback:\n  x\njax.errors.JaxRuntimeError: OOM\n----\nFor simplicity, JAX\n',
     ': jax.errors.JaxRuntimeError: OOM'),
    ('06:45:44  step 1\n', ''),
    ('', ''),
  ],
)  # fmt: skip
def test_of_a_log_the_last_error_of_its_last_attempt_is_the_reason(log, said, tmp_path):
  file = tmp_path / 'log'
  file.write_text(f'--- attempt 1, on h\nconvscan: old\n--- attempt 2, on h\n{log}')
  assert trials._last_word(file) == said


class Threaded:
  """A launcher that runs trials in a thread here, one after the other."""

  def __enter__(self):
    self._running = {}
    self._pool = concurrent.futures.ThreadPoolExecutor(max_workers=1)
    return self

  def __exit__(self, *unused):
    self._pool.shutdown()

  def slots(self):
    return 1

  def start(self, job):
    self._running[self._pool.submit(trials.run, job)] = job.trial.name

  def wait(self, seconds):
    done, _ = concurrent.futures.wait(
      self._running, seconds, concurrent.futures.FIRST_COMPLETED
    )
    return {self._running.pop(future): '' for future in done}


def test_a_config_that_can_not_be_is_tried_once_and_ends_the_sweep(tmp_path):
  (tmp_path / 'trials').mkdir()
  listed = [Trial(f'trial{i}', {'batch_size': -i}) for i in (1, 2)]
  with Threaded() as launcher:
    driver = Driver(
      root=str(tmp_path),
      source=Listed(listed),
      launcher=launcher,
      job=lambda t: _job(tmp_path, t.overrides, retries=2, name=t.name),
      parallel=2,
      metric=LOSS,
      stopper=None,
      screen=Screen(LOSS, 2),
    )
    with pytest.raises(ConfigError, match='the first trial can not be run') as raised:
      driver.run()
  assert 'config.batch_size: -1' in str(raised.value)
  noted = json.loads((tmp_path / 'trials' / 'trial1.json').read_text())
  assert [attempt['status'] for attempt in noted['attempts']] == [2]
  assert noted['overrides'] == {'batch_size': -1}
  assert records.read(str(tmp_path), 'trial2')['attempts'] == []


def test_a_metric_that_no_evaluation_writes_ends_the_sweep(tmp_path):
  (tmp_path / 'trials').mkdir()
  listed = [Trial(f'trial{i}', {'seed': i}) for i in (1, 2)]
  metric = table.Metric('eval/acuracy', 'max')
  with Threaded() as launcher:
    driver = Driver(
      root=str(tmp_path),
      source=Listed(listed),
      launcher=launcher,
      job=lambda t: _job(tmp_path, t.overrides, name=t.name),
      parallel=1,
      metric=metric,
      stopper=None,
      screen=Screen(metric, 2),
    )
    with pytest.raises(ConfigError, match="did you mean 'eval/accuracy'"):
      driver.run()
  assert records.read(str(tmp_path), 'trial1')['attempts'] != []
  assert records.read(str(tmp_path), 'trial2')['attempts'] == []


def test_a_config_file_that_has_changed_is_not_run(tmp_path):
  config = tmp_path / 'mine.py'
  config.write_text('def get_config(): ...\n')
  job = _job(tmp_path, {}, config=config)
  config.write_text('def get_config(): return 3\n')
  assert trials.run(job) == 'failed'
  assert records.reason(str(tmp_path), 'trial', 'failed').endswith(
    'has changed meanwhile'
  )
  assert _attempts(tmp_path) == []


def test_a_shipped_config_is_run_by_its_bare_name(tmp_path):
  job = _job(tmp_path, {}, config='digits_lenet')
  assert job.digest == trials.digest(find('digits_lenet'))
  assert '--config=digits_lenet' in job.arguments
  assert trials.run(job) == 'finished'


def test_a_trial_that_loses_is_stopped_saves_and_stays_stopped(tmp_path):
  (tmp_path / 'trials').mkdir()
  # The first has ended at an earlier start; the second is worse at the rung, and would
  # go on for long.
  (tmp_path / 'good').mkdir()
  line = {'step': 20, 'eval/loss': 0.1}
  (tmp_path / 'good' / 'metrics.jsonl').write_text(json.dumps(line) + '\n')
  noted = {'state': 'finished', 'reason': '', 'attempts': []}
  (tmp_path / 'trials' / 'good.json').write_text(json.dumps(noted))
  listed = [
    Trial('good', {}),
    Trial('bad', {'num_train_steps': 1_000_000, 'optimizer.learning_rate': 1e-9}),
  ]
  evaluated = {'eval_every_steps': 20}

  def drive():
    driver = Driver(
      root=str(tmp_path),
      source=Listed(listed),
      launcher=launcher,
      job=lambda t: _job(tmp_path, t.overrides | evaluated, name=t.name),
      parallel=1,
      metric=LOSS,
      stopper=Stopper('halving', min_steps=20, factor=2, num_steps=30),
      screen=Screen(LOSS, 2),
    )
    return driver.run()

  with Threaded() as launcher:
    rows = drive()
    assert [row.state for row in rows] == ['finished', 'stopped']
    assert rows[1].reason == 'not among the best 1 of 2 at step 20'
    (attempt,) = records.read(str(tmp_path), 'bad')['attempts']
    assert attempt['status'] == 0  # it saved
    assert 20 <= rows[1].step < 1_000_000
    assert list((tmp_path / 'bad' / 'checkpoints').iterdir())
    assert [row.state for row in drive()] == ['finished', 'stopped']
  assert len(records.read(str(tmp_path), 'bad')['attempts']) == 1


def write_ended(root, trial, loss, state='finished'):
  """Writes what a trial leaves that has ended at an earlier start."""
  (root / 'trials').mkdir(exist_ok=True)
  (root / trial.name).mkdir()
  line = {'step': 20, 'eval/loss': loss}
  (root / trial.name / 'metrics.jsonl').write_text(json.dumps(line) + '\n')
  noted = {'state': state, 'reason': '', 'attempts': []}
  (root / 'trials' / f'{trial.name}.json').write_text(json.dumps(noted))


def sampled(root, num_trials):
  space = {'optimizer.learning_rate': sweeps.log_uniform(1e-4, 1e-2)}

  def make(overrides):
    return plan.make_trial(overrides, digits_lenet.get_config(), {})

  return Sampled(str(root), space, 'random', num_trials, 0, LOSS, make)


def make_driver(root, source, launcher, stopper=None, screen=None):
  return Driver(
    root=str(root),
    source=source,
    launcher=launcher,
    job=lambda t: _job(root, t.overrides, name=t.name),
    parallel=1,
    metric=LOSS,
    stopper=stopper,
    screen=screen or Screen(LOSS, 2),
  )


def test_a_restarted_sampler_s_finished_trials_stay_in_the_table(tmp_path):
  source = sampled(tmp_path, num_trials=2)
  for loss in (0.5, 0.25):
    trial = source.ask()
    write_ended(tmp_path, trial, loss)
    source.tell(table.read_row(str(tmp_path), trial, LOSS))
  with Threaded() as launcher:
    rows = make_driver(tmp_path, sampled(tmp_path, num_trials=2), launcher).run()
  assert [row.best for row in rows] == [(20, 0.5), (20, 0.25)]


def test_a_driver_made_again_does_not_ask_its_stopper_again(tmp_path):
  listed = [Trial('first', {}), Trial('second', {})]
  for trial, loss in zip(listed, (0.5, 0.1), strict=True):
    write_ended(tmp_path, trial, loss)
  stopper = Stopper('halving', min_steps=20, factor=2, num_steps=30)
  with Threaded() as launcher:
    make_driver(tmp_path, Listed(listed), launcher, stopper).run()
  curves = {'first': [(20, -0.5)], 'second': [(20, -0.1)]}
  assert stopper.losers(curves, ['first'], ['second']) == {}


def test_what_failed_waits_when_it_is_queued_again(tmp_path, capsys):
  listed = [Trial(f'trial{i}', {'seed': i}) for i in range(2)]
  for trial in listed:
    write_ended(tmp_path, trial, 0.5, 'failed')
    shutil.rmtree(tmp_path / trial.name)  # it failed before its first step
  with Threaded() as launcher:
    rows = make_driver(tmp_path, Listed(listed), launcher).run()
  assert [row.state for row in rows] == ['finished', 'finished']
  assert (tmp_path / 'summary.csv').read_text().count(',finished,') == 2
  said = capsys.readouterr().out
  assert 'trial1: running' in said
  assert 'failed' not in said


def test_a_sampler_keeps_to_its_metric(tmp_path):
  config = tmp_path / 'mine.py'
  config.write_text(
    'from convscan.configs import digits_lenet, sweeps\n'
    'get_config = digits_lenet.get_config\n'
    'def space():\n  return {"seed": sweeps.choice(range(9))}\n'
  )
  command = [sys.executable, '-m', 'convscan.train.sweep', f'--config={config}']
  # No machine has so many cores: it ends before the first trial.
  command += [f'--workdir={tmp_path / "sweep"}', '--sampler=random']
  command += ['--cpus_per_trial=100000']
  for metric, said in (
    ('eval/loss', '--cpus_per_trial'),
    ('eval/accuracy', 'the min of eval/loss, not of'),
  ):
    done = subprocess.run(
      [*command, f'--metric={metric}'], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.skipif(sys.platform != 'linux', reason='prctl')
def test_a_trial_dies_with_its_worker_and_then_only_frees_its_folder(tmp_path):
  job = _job(tmp_path, {'num_train_steps': 100_000})
  worker = multiprocessing.get_context('spawn').Process(target=trials.run, args=(job,))
  worker.start()
  (pid,) = _until(lambda: _trained(tmp_path))
  assert records.state(str(tmp_path), 'trial') == 'running'
  os.kill(worker.pid, signal.SIGKILL)
  worker.join()
  _until(lambda: not os.path.exists(f'/proc/{pid}'), seconds=5)
  assert records.read(str(tmp_path), 'trial')['state'] == 'running'  # as it left it
  assert records.state(str(tmp_path), 'trial') in ('running', 'interrupted')
  assert _attempts(tmp_path)[-1]['ended'] is None


def test_a_folder_is_held_while_any_process_that_trains_in_it_lives(tmp_path):
  """The lock is the process's own too, where nothing kills it with its worker."""
  lock = str(tmp_path / 'lock')
  read, write = os.pipe()
  with records.hold(lock) as held:
    wait = f'import os; os.read({read}, 1)'
    child = subprocess.Popen([sys.executable, '-c', wait], pass_fds=[held, read])
  assert records.is_locked(lock)
  os.write(write, b'x')
  child.wait()
  assert not records.is_locked(lock)
  os.close(read)
  os.close(write)


def test_a_second_driver_is_refused(tmp_path):
  refused = pytest.raises(ConfigError, match='another sweep')
  with alone(str(tmp_path)), refused, alone(str(tmp_path)):
    pass
  with alone(str(tmp_path)):
    pass


def test_a_share_of_a_machine(monkeypatch):
  monkeypatch.delenv('JAX_PLATFORMS', raising=False)
  assert trials.environment(0.5, 0, 0) == {
    'NPROC': '1',
    'OMP_NUM_THREADS': '1',
    'JAX_PLATFORMS': 'cpu',
  }
  assert trials.environment(4, 0.5, 0) == {
    'NPROC': '4',
    'OMP_NUM_THREADS': '4',
    'XLA_PYTHON_CLIENT_MEM_FRACTION': '0.450',
  }
  assert trials.environment(1, 0, 4) == {'NPROC': '1', 'OMP_NUM_THREADS': '1'}


def _trained(root):
  found = []
  for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
    with contextlib.suppress(OSError):
      words = path.read_text().split('\0')
      if f'--workdir={root}/trial' in words and '-c' not in words:
        found.append(int(path.parent.name))
  return found


def _until(happened, seconds=60):
  deadline = time.monotonic() + seconds
  while not (result := happened()):
    assert time.monotonic() < deadline
    time.sleep(0.02)
  return result
