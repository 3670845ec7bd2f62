"""Examples that can't be used are named, whatever is wrong with them."""

import pickle
import traceback

import numpy as np
import pytest

from convscan import data
from convscan.data import skipping
from convscan.data.errors import BadExample
from convscan.data.guarded import guard
from convscan.train.errors import ConfigError, blame

MODULE = """
import numpy as np
from convscan import data

class Waves:
  def __init__(self, split):
    self.split = split

  def __len__(self):
    return 40

  def __getitem__(self, index):
    if (self.split, index) == ('train', {at}):
      raise {error}
    return {{
      'inputs': np.ones((6, 1), np.float32),
      'targets': np.array({target} if index == 5 else index % 2, np.int32),
      'weights': np.array(1, np.float32),
    }}

def load():
  splits = {{split: Waves(split) for split in ('train', 'test')}}
  return data.Dataset('waves', 'classification', ('low', 'high'), splits)
"""


@pytest.fixture
def build(tmp_path, monkeypatch):
  def build(error="data.DataError('37.wav: cut off')", target=1, at=37):
    name = f'waves_of_{len(list(tmp_path.iterdir()))}_{tmp_path.name}'
    (tmp_path / f'{name}.py').write_text(
      MODULE.format(error=error, target=target, at=at)
    )
    return data.build(f'{name}:load')

  monkeypatch.syspath_prepend(tmp_path)
  return build


class Batches:
  """Examples that are read several at once."""

  def __init__(self, examples):
    self.examples = examples

  def __len__(self):
    return len(self.examples['inputs'])

  def __getitem__(self, index):
    return {k: v[index] for k, v in self.examples.items()}

  def get_batch(self, indices):
    return {k: v[indices] for k, v in self.examples.items()}


def tags(**changes):
  """Returns a guarded set of 4 examples of 3 steps, whose classes are 0 and 1."""
  examples = {
    'inputs': np.zeros((4, 3), np.int32),
    'targets': np.tile(np.array([0, 1, 1], np.int32), (4, 1)),
    'weights': np.ones((4, 3), np.float32),
  }
  splits = {'train': Batches(examples | changes), 'test': Batches(examples)}
  return guard(data.Dataset('tags', 'tagging', ('a', 'b'), splits))


@pytest.mark.parametrize('target', [2, -1])
def test_a_target_that_is_no_class_is_named(build, target):
  dataset = build(target=target)
  message = rf'^waves, test: example 5: target {target}; expected 0 to 1\. '
  with pytest.raises(BadExample, match=message):
    list(data.eval_batches(dataset, 'test', 8))
  batches = data.train_batches(dataset, 40, 0)
  with pytest.raises(data.DataError, match=r'^waves, train: example (5|37): '):
    next(batches)
  batches.close()


def test_it_is_left_out_like_what_can_not_be_read(build, caplog):
  batches = data.train_batches(data.skip_bad(build(target=2)), 40, 0)
  batch = next(batches)
  batches.close()
  assert {*batch['index'][batch['skipped'] > 0]} == {5, 37}
  assert {*batch['targets']} == {0, 1}
  assert sorted(r.getMessage() for r in caplog.records) == [
    'waves, train: left out example 37: 37.wav: cut off',
    'waves, train: left out example 5: target 2; expected 0 to 1',
  ]


@pytest.mark.parametrize('whole', [True, False])
def test_of_several_targets_those_that_do_not_count_are_free(whole):
  targets = np.tile(np.array([0, 1, 255], np.int32), (4, 1))
  weights = np.tile(np.array([1, 1, 0], np.float32), (4, 1))
  for changes in ({'weights': weights}, {'lengths': np.full(4, 2, np.int32)}):
    dataset = tags(targets=targets, **changes)
    source = dataset.splits['train']
    found = source.get_batch(np.arange(4)) if whole else source[2]
    assert np.unique(found['targets']).tolist() == [0, 1]
    assert found['targets'].dtype == np.int32
  targets[2, 1] = 7
  source = tags(targets=targets, weights=weights).splits['train']
  message = r'^tags, train: example 2: target 7; expected 0 to 1\. config\.on_bad_exam'
  with pytest.raises(BadExample, match=message):
    source.get_batch(np.array([3, 2])) if whole else source[2]


def test_numbers_are_not_classes():
  examples = {
    'inputs': np.zeros((4, 3), np.float32),
    'targets': np.full((4, 1), 9, np.float32),
    'weights': np.ones(4, np.float32),
  }
  splits = {'train': Batches(examples)}
  dataset = guard(data.Dataset('numbers', 'regression', ('y',), splits))
  assert dataset.splits['train'][0]['targets'] == 9


def test_what_can_not_be_read_is_named_with_what_to_do(build):
  with pytest.raises(data.DataError) as caught:
    list(data.eval_batches(build(), 'train', 8))
  assert str(caught.value) == (
    'waves, train: example 37: 37.wav: cut off. config.on_bad_example=skip leaves such '
    'out'
  )
  # From a reader process.
  assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize('error', ["KeyError('wave')", 'ValueError(3)'])
def test_another_error_has_a_note(build, error):
  with pytest.raises((KeyError, ValueError)) as caught:
    list(data.eval_batches(build(error), 'train', 8))
  said = ''.join(traceback.format_exception(caught.value))
  assert said.count("\nwhile reading example 37 of 'train' of waves\n") == 1


def test_so_has_that_of_the_first_which_is_read_at_once(build):
  message = r"^config\.data: 3 \(while reading example 0 of 'train' of waves\)$"
  with pytest.raises(ConfigError, match=message), blame('config.data'):
    build('ValueError(3)', at=0)


def test_of_a_batch_the_example_is_found():
  class Broken(Batches):
    def __getitem__(self, index):
      if index == 3:
        raise OSError('gone')
      return super().__getitem__(index)

    def get_batch(self, indices):
      return {k: np.stack([self[i][k] for i in indices]) for k in self.examples}

  examples = {k: np.zeros(4, np.float32) for k in ('inputs', 'targets', 'weights')}
  dataset = data.Dataset('x', 'regression', ('y',), {'train': Broken(examples)})
  with pytest.raises(OSError, match='gone') as caught:
    guard(dataset).splits['train'].get_batch(np.array([1, 3]))
  assert caught.value.__notes__ == ["while reading example 3 of 'train' of x"]


def test_too_many_are_an_error_of_a_line(build):
  everything = build(error='data.DataError("x")').splits['test']
  dataset = tags(targets=np.full((4, 3), 2, np.int32))
  assert len(skipping.Skipping(everything, 'waves')) == 40
  message = r"^tags, train: 4 of 4 examples can't be read; .*such as target 2; expecte"
  with pytest.raises(data.DataError, match=message):
    data.skip_bad(dataset)
