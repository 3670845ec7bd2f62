"""The command that tells whether a run waits for data."""

import json
import os
import re
import threading
import time

import numpy as np
import pytest

from convscan import data
from convscan.configs import digits_lenet
from convscan.train import data_speed, loop
from convscan.train.errors import ConfigError


class _Slow:
  """Examples of which one is read at a time, for a millisecond."""

  def __init__(self):
    self._lock = threading.Lock()

  def __len__(self):
    return 64

  def __getitem__(self, index):
    with self._lock:
      time.sleep(0.001)
    return {
      'inputs': np.zeros((8, 8, 1), np.float32),
      'targets': np.array(index % 10, np.int32),
      'weights': np.array(1, np.float32),
    }


def _config():
  config = digits_lenet.get_config()
  config.batch_size = 16
  return config


def _run(folder, waited, workers=0):
  (folder / 'config.json').write_text(json.dumps({'num_reader_workers': workers}))
  lines = [
    {'step': 1, 'train/loss': 2.0, 'perf/host_memory_gib': 1.0},
    *(
      {'step': step, 'perf/examples_per_second': rate, 'perf/data_wait_share': waited}
      for step, rate in [(2, 10.0), (3, 50.0), (4, 60.0)]
    ),
  ]
  text = '\n'.join(map(json.dumps, lines))
  (folder / 'metrics.jsonl').write_text(text + '\n')
  return str(folder)


def test_it_measures_what_reading_takes(monkeypatch, tmp_path, capsys):
  splits = {'train': _Slow(), 'test': _Slow()}
  dataset = data.Dataset('slow', 'classification', tuple('0123456789'), splits)
  monkeypatch.setattr(loop, 'build_dataset', lambda config: dataset)
  data_speed.main(_config(), _run(tmp_path, waited=0.4), seconds=0.5)
  reading, training, verdict = capsys.readouterr().out.splitlines()
  rate = float(re.match(r'reading +([\d.]+) examples a second', reading)[1])
  assert 100 < rate < 1000  # never more than one each ms
  assert re.match(r'training +50 examples a second, 40% waiting for data', training)
  assert verdict.startswith('It waits for data, 40% of its time: reading is ')
  # Of 0.6 of its time 50 a second are made: of all of it 83.
  said = re.search(r'reading is ([\d.]+) times as fast as the step alone', verdict)
  assert float(said[1]) == pytest.approx(rate / (50 / 0.6), abs=0.11)  # of rounded ones
  cores = os.cpu_count()
  assert f'Raise config.num_reader_workers from 0 to {min(2, cores)}; this ' in verdict


@pytest.mark.parametrize(
  ('read', 'waited', 'workers', 'had', 'cores', 'said'),
  [
    (90, 0.5, 1, 1, 8, r'^It waits for data, 50% of its time: reading is 0\.9 times '
     r'as fast as the step alone, 100 examples a second\. Raise .* from 1 to 2; .* 8'),
    (90, 0.5, 3, 3, 4, r'Raise config\.num_reader_workers from 3 to 4; this machine'),
    (90, 0.5, 2, 2, 2, r'second\. More than 2 reader workers gain nothing, since this '
     r'machine has 2 cores: '),
    (160, 0.05, 2, 2, 2, r'^It does not wait for data: reading is 3\.0 .* second\.$'),
    (250, 0.5, 4, 0, 8, r'^That run had 0 reader workers\. With 4, reading is 2\.5 '
     r'times as fast as the step alone, 100 examples a second\.$'),
    (80, 0.5, 2, 0, 8, r'^That run had 0 .* With 2, reading is 0\.8 .* from 2 to 4;'),
  ],
)  # fmt: skip
def test_what_is_said(read, waited, workers, had, cores, said):
  assert re.search(
    said,
    data_speed.verdict(
      read=read, trained=50, waited=waited, workers=workers, had=had, cores=cores
    ),
  )


def test_a_run_with_other_workers_is_told_apart(tmp_path, capsys):
  data_speed.main(_config(), _run(tmp_path, waited=0.4, workers=3), seconds=0.1)
  said = capsys.readouterr().out
  assert 'That run had 3 reader workers. With 0, reading is ' in said
  assert 'It waits' not in said


def test_a_run_that_does_not_wait_is_left_alone(tmp_path, capsys):
  data_speed.main(_config(), _run(tmp_path, waited=0.02), seconds=0.1)
  assert 'It does not wait for data: reading is' in capsys.readouterr().out
  data_speed.main(_config(), None, seconds=0.1)
  assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_folder_without_speeds_is_refused(tmp_path):
  with pytest.raises(ConfigError, match=r'has no metrics.jsonl with a speed yet'):
    data_speed.main(_config(), str(tmp_path), seconds=0.1)


def test_batches_that_can_not_be_made_are_refused():
  config = _config()
  config.length_buckets = 4
  with pytest.raises(ConfigError, match=r'config\.length_buckets: 4; expected 0'):
    data_speed.measure(config, seconds=0.1)
