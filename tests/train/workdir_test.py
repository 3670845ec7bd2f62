"""Whose a folder is, and what a run may change when it goes on."""

import json

import numpy as np
import pytest

from convscan.configs import digits_lenet
from convscan.train.errors import ConfigError
from convscan.train.workdir import claim, config_json, read_config

INPUTS = np.zeros((8, 8, 1), np.float32)


@pytest.mark.parametrize(
  ('folder', 'why'),
  [
    ('file', 'File exists'),
    ('file/run', 'Not a directory'),
    ('x' * 300, 'File name too long'),
    ('/proc/self/convscan', 'No such file or directory'),
  ],
)
def test_a_folder_that_cant_be_made(folder, why, tmp_path):
  (tmp_path / 'file').write_text('mine')
  path = str(tmp_path / folder)
  with pytest.raises(ConfigError) as error:
    claim(path, digits_lenet.get_config(), ('a', 'b'), INPUTS)
  words = f'--workdir: {path!r} is not a folder that can be written: {why}'
  assert str(error.value) == words
  assert (tmp_path / 'file').read_text() == 'mine'


def test_a_bucket_is_no_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(
    ConfigError, match=r'^--workdir: .gs://runs/a. is a URL; expected'
  ):
    claim('gs://runs/a', digits_lenet.get_config(), ('a', 'b'), INPUTS)
  assert not list(tmp_path.iterdir())


def _claim(workdir, **changes):
  config = digits_lenet.get_config()
  config.update_from_flattened_dict(changes)
  claim(str(workdir), config, ('a', 'b'), INPUTS)
  return config


@pytest.mark.parametrize(
  ('key', 'value'),
  [
    ('checkpoint_every_steps', 7),
    ('data.data_dir', '/elsewhere'),
    ('eval_every_steps', 7),
    ('eval_split', 'validation'),
    ('keep_checkpoints', 7),
    ('log_every_steps', 7),
    ('mesh.fsdp', 2),
    ('num_reader_workers', 2),
    ('profile', (1, 2)),
    ('sample.length', 7),
    ('sample.temperature', 0.1),
  ],
)
def test_what_may_be_another_value_is_noted(key, value, tmp_path):
  _claim(tmp_path)
  config = _claim(tmp_path, **{key: value})
  noted = json.loads((tmp_path / 'config.json').read_text())
  assert noted == json.loads(config.to_json())


@pytest.mark.parametrize(
  'changes',
  [
    {'seed': 7},
    {'batch_size': 8, 'log_every_steps': 3},
    {'optimizer.learning_rate': 0.5},
    {'model.filters': (3, 4)},
    {'batch_norm': 'per_device'},
  ],
)
def test_what_is_computed_may_not_change(changes, tmp_path):
  config = _claim(tmp_path)
  with pytest.raises(ConfigError, match='Give another --workdir') as error:
    _claim(tmp_path, **changes)
  key = next(iter(changes))
  assert f'holds the run of another config: config.{key} is' in str(error.value)
  assert 'log_every_steps' not in str(error.value)
  noted = json.loads((tmp_path / 'config.json').read_text())
  assert noted == json.loads(config.to_json())


def test_the_number_of_steps_may_change_where_no_learning_rate_depends_on_it(tmp_path):
  _claim(tmp_path / 'cosine')
  with pytest.raises(
    ConfigError, match=r"schedule 'cosine' depends on num_train_steps"
  ):
    _claim(tmp_path / 'cosine', num_train_steps=9999)
  constant = {'optimizer.schedule': 'constant'}
  _claim(tmp_path / 'constant', **constant)
  _claim(tmp_path / 'constant', num_train_steps=9999, **constant)
  (tmp_path / 'constant/checkpoints/40').mkdir(parents=True)
  with pytest.raises(ConfigError, match='num_train_steps: 39; expected 40 or more'):
    _claim(tmp_path / 'constant', num_train_steps=39, **constant)


def test_a_key_that_came_later_has_its_default(tmp_path):
  config = _claim(tmp_path)
  path = tmp_path / 'config.json'
  noted = json.loads(path.read_text())
  del noted['carry_state'], noted['mesh']['fsdp']
  path.write_text(json.dumps(noted))
  assert config_json(read_config(str(tmp_path))) == config_json(config)
  _claim(tmp_path)
  with pytest.raises(ConfigError, match=r'config\.carry_state is False there and True'):
    _claim(tmp_path, carry_state=True)
