"""What is shown of a sweep, read from what its trials left on disk."""

import csv
import json
import os
import struct

import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from convscan.train.errors import ConfigError
from convscan.train.sweeping import pictures, records, table
from convscan.train.sweeping.plan import Trial
from convscan.train.sweeping.screen import Screen
from convscan.train.sweeping.tensorboard import write_hparams

ACCURACY = table.make_metric('eval/accuracy')


def write_run(root, trial, values, last=30, state=None, reason='', seconds=75.0):
  """Writes what a trial leaves: its metrics at steps 10, 20, ..., and its record."""
  folder = root / trial.name
  (folder / 'tensorboard').mkdir(parents=True)
  (folder / 'config.json').write_text(json.dumps({'num_train_steps': last}))
  with (folder / 'metrics.jsonl').open('w') as f:
    for i, value in enumerate(values):
      f.write(json.dumps({'step': 10 * (i + 1), 'train/loss': 1.0}) + '\n')
      f.write(json.dumps({'step': 10 * (i + 1), 'eval/accuracy': value}) + '\n')
    f.write('{"step": 40, "eval/accuracy": 0.9')  # as a kill cuts a line
  if state:
    (root / 'trials').mkdir(exist_ok=True)
    attempts = [
      {'host': 'h', 'started': 100.0, 'ended': 110.0, 'status': None},
      {'host': 'h', 'started': 200.0, 'ended': 190.0 + seconds, 'status': 0},
    ]
    noted = {'state': state, 'reason': reason, 'attempts': attempts}
    (root / 'trials' / f'{trial.name}.json').write_text(json.dumps(noted))
    (root / 'trials' / f'{trial.name}.log').write_text('\n'.join('abcdefgh' * 3))


@pytest.fixture
def swept(tmp_path):
  """Five trials: good, better, stopped, failed and not begun."""
  listed = [
    Trial(f'rate={r}', {'optimizer.learning_rate': r, 'model.name': 'm' * i})
    for i, r in enumerate((0.001, 0.01, 0.1, 1.0, 0.5))
  ]
  write_run(tmp_path, listed[0], [0.5, 0.7, 0.6], state='finished')
  write_run(tmp_path, listed[1], [0.5, 0.6, 0.8], state='finished', seconds=4000)
  write_run(tmp_path, listed[2], [0.3], state='running')
  (tmp_path / 'trials' / f'{listed[2].name}.stop').write_text('{"reason": "too low"}')
  write_run(tmp_path, listed[3], [None], state='failed', reason='exit status 1')
  return tmp_path, listed


def _rows(swept):
  root, listed = swept
  return [table.read_row(str(root), trial, ACCURACY) for trial in listed]


def test_rows_are_read_from_disk(swept):
  rows = _rows(swept)
  states = ['finished', 'finished', 'stopped', 'failed', 'waiting']
  assert [row.state for row in rows] == states
  assert [row.best for row in rows] == [(20, 0.7), (30, 0.8), (10, 0.3), None, None]
  assert [row.step for row in rows] == [30, 30, 10, 10, 0]
  assert [row.seconds for row in rows] == [75, 4000, 75, 75, 0]
  assert [row.reason for row in rows] == ['', '', 'too low', 'exit status 1', '']


def test_a_log_that_was_deleted_costs_no_more_than_a_duration(swept):
  root, listed = swept
  for trial in listed[:3]:
    path = root / 'trials' / f'{trial.name}.json'
    noted = json.loads(path.read_text())
    noted['attempts'][0]['ended'] = None  # its worker was killed
    path.write_text(json.dumps(noted))
  log = root / 'trials' / f'{listed[0].name}.log'
  os.utime(log, (150, 150))
  for trial in listed[1:4]:
    (root / 'trials' / f'{trial.name}.log').unlink()
  # 10 of 75 seconds were the first attempt's; the first log says 50.
  assert [row.seconds for row in _rows(swept)] == [115, 3990, 65, 75, 0]


def test_the_table_has_the_best_first(swept):
  lines = [line.split() for line in table.as_text(_rows(swept), ACCURACY).splitlines()]
  assert lines[0] == ['learning_rate', 'model.name', 'state', 'step', 'eval/accuracy',
                      'at', 'step', 'time']  # fmt: skip
  assert lines[1] == ['0.01', 'm', 'finished', '30/30', '0.8000', '30', '1:06:40']
  assert lines[2] == ['0.001', 'finished', '30/30', '0.7000', '20', '1:15']
  assert lines[3][0] == '0.1'
  assert {lines[4][0], lines[5][0]} == {'1', '0.5'}
  short = table.as_text(_rows(swept), ACCURACY, limit=2).splitlines()
  assert len(short) == 4
  assert short[-1] == '... and 3 more'
  lower = table.Metric('eval/accuracy', 'min')
  assert table.as_text(_rows(swept), lower).splitlines()[1].startswith('0.1 ')


def test_lines_and_now_and_then_the_table_where_there_is_no_terminal(swept, capsys):
  rows = _rows(swept)
  often, seldom = Screen(ACCURACY, 5, table_seconds=0), Screen(ACCURACY, 5)
  seldom.show(rows)
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) == 4  # what waits is not told
  assert lines[0].startswith('[4/5] rate=0.001: finished, eval/accuracy 0.7000')
  often.show(rows)
  told = capsys.readouterr().out.splitlines()
  assert told == [*lines, *table.as_text(rows, ACCURACY).splitlines()]
  often.show(rows)  # nothing new
  assert capsys.readouterr().out == ''


def test_the_summary_can_be_read_as_csv(swept):
  root, _ = swept
  with open(table.write_csv(str(root), _rows(swept), ACCURACY)) as f:
    rows = list(csv.DictReader(f))
  assert [row['optimizer.learning_rate'] for row in rows[:3]] == [
    '0.01',
    '0.001',
    '0.1',
  ]
  assert rows[1]['best eval/accuracy'] == '0.7'
  assert rows[1]['last eval/accuracy'] == '0.6'
  assert {row['reason'] for row in rows[3:]} == {'exit status 1', ''}


def test_a_metric_that_nobody_wrote_is_told_with_those_there_are(swept):
  root, listed = swept

  def said(name, trials):
    metric = table.Metric(name, 'max')
    rows = [table.read_row(str(root), trial, metric) for trial in trials]
    return table.unknown_metric(str(root), rows, metric)

  assert said('eval/acuracy', listed) == (
    "--metric: 'eval/acuracy', which no trial has written; did you mean "
    "'eval/accuracy'? There are eval/accuracy"
  )
  assert said('eval/qqqqqqqqqqqqqqqq', listed) == (
    "--metric: 'eval/qqqqqqqqqqqqqqqq', which no trial has written. There are "
    'eval/accuracy'
  )
  assert said('accuracy', listed).endswith("did you mean 'eval/accuracy'? There are "
                                           'eval/accuracy')  # fmt: skip
  assert said('eval/accuracy', listed) == ''
  assert said('eval/accuracy', listed[3:4]) == ''  # it is written, but not finite
  assert said('eval/acuracy', listed[4:]) == ''  # none has begun
  folder = root / listed[4].name
  folder.mkdir()
  (folder / 'metrics.jsonl').write_text('{"step": 10, "train/loss": 0.5}\n')
  assert said('eval/accuracy', listed[4:]) == ''  # none has been evaluated


def test_what_failed_is_told_with_the_end_of_its_log(swept):
  root, _ = swept
  said = table.failures(str(root), _rows(swept), lines=2)
  assert said.splitlines() == [
    'rate=1.0 failed: exit status 1 (attempts: 2); '
    f'{root / "trials" / "rate=1.0.log"} ends',
    '  | g',
    '  | h',
  ]


@pytest.mark.parametrize(
  ('name', 'mode'),
  [
    ('eval/accuracy', 'max'),
    ('eval/top5_accuracy', 'max'),
    ('eval/f1_macro', 'max'),
    ('eval/loss', 'min'),
    ('train/loss', 'min'),
    ('eval/rmse', 'min'),
  ],
)
def test_which_is_better_is_known_by_name(name, mode):
  assert table.make_metric(name) == table.Metric(name, mode)
  other = 'min' if mode == 'max' else 'max'
  assert table.make_metric(name, other).mode == other


def test_an_unknown_metric_needs_a_mode():
  with pytest.raises(ConfigError, match=r"'eval/charm', if .* needs --mode=max or"):
    table.make_metric('eval/charm')


def test_a_run_by_other_means_has_finished_when_it_saved_its_last_step(tmp_path):
  trial = Trial('seed=1', {'seed': 1})
  write_run(tmp_path, trial, [0.1, 0.2, 0.3])
  assert records.state(str(tmp_path), trial.name) == 'interrupted'
  (tmp_path / trial.name / 'checkpoints' / '30').mkdir(parents=True)
  assert records.state(str(tmp_path), trial.name) == 'finished'


@pytest.mark.parametrize('noted', ['failed', 'running', 'interrupted', 'waiting'])
def test_a_complete_run_has_finished_whatever_was_noted_of_it(noted, tmp_path):
  trial = Trial('seed=1', {'seed': 1})
  write_run(tmp_path, trial, [0.1, 0.2, 0.3], state=noted, reason='lost')
  (tmp_path / trial.name / 'checkpoints' / '30').mkdir(parents=True)
  row = table.read_row(str(tmp_path), trial, ACCURACY)
  assert (row.state, row.reason) == ('finished', '')


def test_a_worker_that_is_lost_after_its_trial_ended_changes_nothing(tmp_path):
  for before, after in (
    ('finished', 'finished'),
    ('stopped', 'stopped'),
    ('running', 'failed'),
  ):
    (tmp_path / 'trials').mkdir(exist_ok=True)
    noted = {'state': before, 'reason': '', 'attempts': []}
    (tmp_path / 'trials' / 'seed=1.json').write_text(json.dumps(noted))
    records.note_failure(str(tmp_path), 'seed=1', 'its machine was lost')
    assert records.read(str(tmp_path), 'seed=1')['state'] == after


def test_tensorboard_gets_the_overrides_and_keeps_what_was_logged(swept):
  root, listed = swept
  folder = root / listed[1].name / 'tensorboard'
  other = folder / 'events.out.tfevents.1.host'
  other.write_bytes(b'as it was')
  write_hparams(_rows(swept), str(root), ACCURACY)
  (before,) = folder.glob('*.hparams')
  before.rename(folder / 'events.out.tfevents.2.host.hparams')  # of another second
  write_hparams(_rows(swept), str(root), ACCURACY)
  assert other.read_bytes() == b'as it was'
  (path,) = folder.glob('*.hparams')
  found, metrics = {}, []
  for event in _events(path):
    for value in event.summary.value:
      content = HParamsPluginData()
      content.ParseFromString(value.metadata.plugin_data.content)
      for key, hparam in content.session_start_info.hparams.items():
        found[key] = hparam.number_value or hparam.string_value
      metrics += [info.name.tag for info in content.experiment.metric_infos]
  assert found == {'optimizer.learning_rate': 0.01, 'model.name': 'm'}
  assert metrics == ['eval/accuracy']
  assert not list((root / listed[4].name).glob('tensorboard/*'))


def _events(path):
  """Reads the records of an event file: a length, a checksum, the event, a checksum."""
  data = path.read_bytes()
  while data:
    (length,) = struct.unpack('<Q', data[:8])
    event = Event()
    event.ParseFromString(data[12 : 12 + length])
    yield event
    data = data[16 + length :]


def test_axes_are_logarithmic_over_a_factor_of_ten_and_have_few_marks():
  scale = pictures.make_scale('rate', [1e-4, 3e-3, 1e-1])
  assert scale.label == 'rate (log)'
  assert scale.ticks() == [
    (-4, '0.0001'),
    (pytest.approx(-2.52288), '0.003'),
    (-1, '0.1'),
  ]
  assert pictures.make_scale('rate', [0.0, 3e-3, 1e-1]).label == 'rate'
  many = pictures.make_scale('rate', [0.1 + 0.01 * i for i in range(40)])
  assert 3 <= len(many.ticks()) <= 7
  words = pictures.make_scale('filters', [(32, 64), (8, 16), (32, 64)])
  assert words.ticks() == [(0, '(8, 16)'), (1, '(32, 64)')]


def test_pictures_have_the_values_that_a_trial_left_as_they_were(tmp_path, monkeypatch):
  trials_ = [
    Trial('seed=1', {'seed': 1}),
    Trial('batch_size=64', {'batch_size': 64}),
    Trial('batch_size=16', {'batch_size': 16}),
  ]
  for trial, value in zip(trials_, (0.5, 0.5, 0.2), strict=True):
    write_run(tmp_path, trial, [value], state='finished')
    config = {'seed': 0, 'batch_size': 32, 'num_train_steps': 30} | trial.overrides
    (tmp_path / trial.name / 'config.json').write_text(json.dumps(config))
  given = []
  for name in ('parallel_coordinates', 'metric_by_parameter'):
    monkeypatch.setattr(pictures, name, lambda *arguments: given.append(arguments))
  pictures.draw(str(tmp_path), _rows((tmp_path, trials_)), ACCURACY)
  for _, rows, _, scales in given:
    # The best is last: of two as good, that which the table has first.
    assert [(r.trial.overrides['seed'], r.trial.overrides['batch_size'])
            for r in rows] == [(0, 16), (0, 64), (1, 32)]  # fmt: skip
    assert scales['seed'].values == [0, 1]
    assert scales['batch_size'].values == [16, 32, 64]
  assert len(given) == 2


def test_the_best_and_the_worst_line_are_named(swept, monkeypatch):
  figures = []
  monkeypatch.setattr(pictures, 'save', lambda figure, *names: figures.append(figure))
  pictures.draw(str(swept[0]), _rows(swept), ACCURACY)
  texts = [t.get_text() for t in figures[0].axes[0].get_legend().get_texts()]
  assert texts == ['worst: 0.3', 'best: 0.8']


def test_both_pictures_are_drawn_of_what_has_values(swept):
  root, listed = swept
  drawn = pictures.draw(str(root), _rows(swept), ACCURACY)
  assert [path.rpartition('/')[2] for path in drawn] == [
    'parallel_coordinates.png',
    'metric_by_parameter.png',
  ]
  for path in drawn:
    with open(path, 'rb') as f:
      header = f.read(24)
    width, height = struct.unpack('>II', header[16:])
    assert header[1:4] == b'PNG'
    assert width > 500
    assert height > 300
  # No key has two values among those that have any.
  assert pictures.draw(str(root), _rows((root, listed[3:])), ACCURACY) == []
  assert pictures.draw(str(root), _rows((root, listed[:1])), ACCURACY) == []
