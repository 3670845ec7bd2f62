"""What is written reads back, and a resumed run writes no step twice."""

import re
import struct
import time

from tensorboardX.proto.event_pb2 import Event

from convscan.train import metrics
from convscan.train.metrics import MetricWriter, read
from convscan.train.tasks.task import mean


def _events(folder):
  for path in sorted(folder.iterdir()):
    content = path.read_bytes()
    while content:  # TFRecords: length, its checksum, the data, its checksum
      (size,) = struct.unpack('<Q', content[:8])
      yield Event.FromString(content[12 : 12 + size])
      content = content[16 + size :]


def test_numbers_read_back_from_both_files(tmp_path):
  writer = MetricWriter(str(tmp_path), 0, 10)
  writer.write(1, {'train/loss': 0.5})
  writer.write(2, {'train/loss': 0.25, 'train/accuracy': 1.0})
  writer.text(2, 'sample', 'some text')
  writer.close()
  assert read(str(tmp_path)) == [
    {'step': 1, 'train/loss': 0.5},
    {'step': 2, 'train/loss': 0.25, 'train/accuracy': 1.0},
  ]
  values = [
    (event.step, value.tag, value.simple_value)
    for event in _events(tmp_path / 'tensorboard')
    for value in event.summary.value
    if value.HasField('simple_value')
  ]
  assert values == [(1, 'train/loss', 0.5), (2, 'train/loss', 0.25),
                    (2, 'train/accuracy', 1.0)]  # fmt: skip


def test_a_resumed_run_drops_what_comes_again(tmp_path):
  writer = MetricWriter(str(tmp_path), 0, 10)
  for step in range(1, 7):
    writer.write(step, {'loss': float(step)})
  writer.close()
  with (tmp_path / 'metrics.jsonl').open('a') as f:
    f.write('{"step": 7, "lo')  # a kill in the middle of a line
  writer = MetricWriter(str(tmp_path), 4, 10)
  writer.write(5, {'loss': 50.0})
  writer.close()
  assert [(m['step'], m['loss']) for m in read(str(tmp_path))] == [
    (1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0), (5, 50.0)
  ]  # fmt: skip


def test_means_over_uneven_batches_are_exact():
  batches = [{'loss': (8.0, 4.0)}, {'loss': (1.0, 1.0)}]
  assert mean(batches) == {'loss': 9.0 / 5}


def test_what_takes_long_is_told_of_until_it_ends(monkeypatch):
  said = []
  monkeypatch.setattr(metrics, 'logger', lambda: Said(said))
  with metrics.told('compiling a step', every=0.05):
    deadline = time.monotonic() + 20
    while len(said) < 3 and time.monotonic() < deadline:
      time.sleep(0.01)
  count = len(said)
  time.sleep(0.2)
  assert len(said) == count >= 3
  first, *others = said
  assert first == 'compiling a step'
  assert all(re.fullmatch(r'  still compiling, for \d+ s', line) for line in others)


class Said:
  """A logger that keeps its lines."""

  def __init__(self, lines):
    self.lines = lines

  def info(self, line, *values):
    self.lines.append(line % values)
