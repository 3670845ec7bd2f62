"""The table of datasets, and preparation that survives company and death."""

import shutil
import signal
import subprocess
import sys

import pytest

from convscan import data
from convscan.data.builders import digits, imagenette, pydoc_topics

# The sets that ship with what is installed.
LOCAL = (
  'digits',
  'digits_angle',
  'digits_pixels',
  'mackey_glass',
  'pydoc_topics',
  'python_tokens',
)

OPEN = """
import sys
from convscan import data
dataset = data.build(sys.argv[1], data_dir=sys.argv[2])
assert 'tensorflow' not in sys.modules
batch = next(data.train_batches(dataset, 8, 0, num_threads=0))
assert 'tensorflow' not in sys.modules
print(len(dataset.splits['train']), batch['targets'].sum())
"""

DIE = """
import os, signal, sys
from convscan import data
from convscan.data.builders import digits

generate = digits.Digits._generate_examples

def dying(self, test):
  for index, record in generate(self, test):
    if test and index > 100:
      os.kill(os.getpid(), signal.SIGKILL)
    yield index, record

digits.Digits._generate_examples = dying
data.build('digits', data_dir=sys.argv[1])
"""


def _start(code, *args):
  return subprocess.Popen(
    [sys.executable, '-W', 'error', '-c', code, *map(str, args)],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


@pytest.mark.parametrize('name', LOCAL)
def test_processes_prepare_at_once_in_silence_without_tensorflow(name, tmp_path):
  processes = [_start(OPEN, name, tmp_path) for _ in range(3)]
  outcomes = [(*process.communicate(), process.returncode) for process in processes]
  assert len(set(outcomes)) == 1, outcomes
  out, err, code = outcomes[0]
  assert code == 0
  assert err == ''
  assert len(out.splitlines()) == 1


def test_a_killed_preparation_leaves_no_trace_in_the_next(tmp_path):
  killed = _start(DIE, tmp_path)
  killed.communicate()
  assert killed.returncode == -signal.SIGKILL
  assert list(tmp_path.glob('digits/*incomplete*')), 'not killed midway'
  dataset = data.build('digits', data_dir=tmp_path)
  assert {k: len(v) for k, v in dataset.splits.items()} == {'train': 1438, 'test': 359}


def test_a_prepared_set_is_read_not_prepared_again(tmp_path, monkeypatch):
  for name in LOCAL:
    data.build(name, data_dir=tmp_path)
  for builder in (digits.Digits, pydoc_topics.PydocTopics):
    monkeypatch.setattr(builder, '_split_generators', None)
  for name in LOCAL:
    assert data.build(name, data_dir=tmp_path).name == name


def test_the_default_directory_is_that_of_tfds(tmp_path, monkeypatch):
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  code = "from convscan import data; data.build('pydoc_topics')"
  process = _start(code)
  assert process.communicate() == ('', '')
  assert (tmp_path / 'pydoc_topics').is_dir()


@pytest.mark.parametrize(
  ('name', 'options', 'message'),
  [
    (
      'digit',
      {},
      r"dataset: 'digit'\. Did you mean 'digits'\? Known: .*digits, digits_angle, ",
    ),
    (
      'zzz',
      {},
      r"dataset: 'zzz'\. Known: .*digits, digits_angle, digits_pixels, ",
    ),
    (
      'digits',
      {'max_shfit': 2},
      r"of digits: 'max_shfit'\. Did you mean 'max_shift'\? Known: data_dir, lab",
    ),
    ('pydoc_topics', {'max_shift': 2}, r"option of pydoc_topics: 'max_shift'"),
    ('digits', {'max_shift': -1}, r'max_shift is -1'),
    ('pydoc_topics', {'length': 1}, r'length is 1,'),
    ('pydoc_topics', {'length': 10**6}, r'length is 1000000,'),
  ],
)
def test_errors_name_the_culprit_and_what_is_legal(name, options, message):
  with pytest.raises(ValueError, match=message):
    data.build(name, **options)


def test_a_set_prepared_by_another_since_we_looked_is_read(tmp_path, monkeypatch):
  init = pydoc_topics.PydocTopics.__init__

  def overtaken(self, **kwargs):
    init(self, **kwargs)
    monkeypatch.undo()
    data.build('pydoc_topics', data_dir=tmp_path)

  monkeypatch.setattr(pydoc_topics.PydocTopics, '__init__', overtaken)
  assert len(data.build('pydoc_topics', data_dir=tmp_path).classes) > 100


@pytest.mark.parametrize('content', ['{"name": "dig', '', '[]', '{"name": 3}'])
def test_damage_in_what_is_known_of_a_set_is_an_error_of_a_line(content, tmp_path):
  data.build('digits', data_dir=tmp_path)
  (info,) = tmp_path.glob('digits/*/dataset_info.json')
  info.write_text(content)
  message = rf'^{info.parent}: dataset_info\.json is damaged or missing: .*\. Remove th'
  # Ours, and as one of TFDS's, where none says which set it should be.
  for name in ('digits', 'digits:1.0.0')[: 1 if content == '[]' else 2]:
    with pytest.raises(data.DataError, match=message) as caught:
      data.build(name, data_dir=tmp_path)
    assert '\n' not in str(caught.value)
  shutil.rmtree(info.parent)
  data.build('digits', data_dir=tmp_path)


def test_damage_in_what_is_known_of_a_set_with_configurations(tmp_path):
  version = imagenette.Imagenette.VERSION
  folder = tmp_path / f'imagenette/160px/{version}'
  folder.mkdir(parents=True)
  (folder / 'dataset_info.json').write_text('no')
  with pytest.raises(
    data.DataError, match=rf'^{folder}: dataset_info\.json is damaged'
  ):
    data.build('imagenette', data_dir=tmp_path)
