"""Fine-tuning: a run that starts from a file, and one that is written to a file."""

import functools
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax.traverse_util import flatten_dict

import convscan.architectures as arch
import convscan.train
from convscan.configs import digits_finetune
from convscan.train.errors import ConfigError
from convscan.train.export import export
from convscan.train.loop import train_and_evaluate
from convscan.train.modules import without

SIZES = {'stage_sizes': (1, 1, 1), 'channels': (4, 6, 8)}


def _config(path, **changes):
  config = digits_finetune.get_config()
  config.model = config.model.to_dict() | SIZES
  flat = {
    'init_from': str(path), 'num_train_steps': 4, 'checkpoint_every_steps': 2,
    'log_every_steps': 2, 'optimizer.warmup_steps': 0,
  }  # fmt: skip
  config.update_from_flattened_dict(flat | changes)
  return config


@pytest.fixture(scope='module')
def source(tmp_path_factory):
  """A model of three classes, and its file."""
  model = arch.build('resnet20_cifar', num_classes=3, **SIZES)
  images = jnp.zeros((1, 8, 8, 1))
  init = functools.partial(model.init, train=False)
  rng = np.random.default_rng(0)
  variables = jax.tree.map(
    lambda x: jnp.float32(rng.uniform(0.2, 1, x.shape)),
    jax.eval_shape(init, jax.random.key(0), images),
  )
  path = tmp_path_factory.mktemp('source') / 'source.safetensors'
  safetensors.numpy.save_file(arch.weights.to_torch(model, variables), path)
  return variables, path


@pytest.fixture(scope='module')
def tuned(source, tmp_path_factory):
  """A run from a copy of that file, which it left alone and which is gone."""
  folder = tmp_path_factory.mktemp('tuned')
  path, workdir = folder / 'copy.safetensors', str(folder / 'run')
  shutil.copy(source[1], path)
  config = _config(path)
  train_and_evaluate(config, workdir)
  os.remove(path)
  return config, workdir


def test_a_run_starts_from_the_file_and_with_a_head_of_its_seed(source, tmp_path):
  heads = []
  for seed in (0, 1):
    still = {'optimizer.learning_rate': 0.0, 'num_train_steps': 1, 'seed': seed}
    train_and_evaluate(_config(source[1], **still), str(tmp_path / str(seed)))
    model, got = convscan.train.restore(str(tmp_path / str(seed)))
    jax.tree.map(
      np.testing.assert_array_equal,
      without(got['params'], {'head'}), without(source[0]['params'], {'head'}),
    )  # fmt: skip
    for module in ('stem_norm', 'stage1_block0'):
      jax.tree.map(
        np.testing.assert_array_equal,
        got['batch_stats'][module], source[0]['batch_stats'][module],
      )  # fmt: skip
    key, _ = jax.random.split(jax.random.key(seed))
    fresh = jax.jit(functools.partial(model.init, train=False))(
      key, jnp.zeros((1, 8, 8, 1))
    )
    heads.append(got['params']['head']['dense']['kernel'])
    np.testing.assert_array_equal(heads[-1], fresh['params']['head']['dense']['kernel'])
  assert np.abs(heads[0] - heads[1]).max() > 0.1


def test_a_stopped_run_goes_on_to_the_same_bits_without_the_file(tuned, tmp_path):
  config, workdir = tuned
  again = str(tmp_path / 'again')
  shutil.copytree(workdir, again)
  shutil.rmtree(f'{again}/checkpoints/4')
  train_and_evaluate(config, again)
  jax.tree.map(
    np.testing.assert_array_equal,
    convscan.train.restore(workdir)[1], convscan.train.restore(again)[1],
  )  # fmt: skip


def test_it_does_not_go_on_from_another_file(tuned, source):
  with pytest.raises(ConfigError, match=r'config\.init_from is .* there and .* here'):
    train_and_evaluate(_config(source[1]), tuned[1])


def test_an_exported_run_reads_back_bit_by_bit(tuned, tmp_path):
  path = tmp_path / 'out.safetensors'
  export(tuned[1], str(path))
  model, variables = convscan.train.restore(tuned[1])
  loaded = arch.weights.load(model, path, (1, 8, 8, 1))
  assert flatten_dict(loaded).keys() == flatten_dict(variables).keys()
  jax.tree.map(np.testing.assert_array_equal, loaded, variables)
  assert safetensors.numpy.load_file(path)['fc.weight'].shape == (5, 8)
  written = path.read_bytes()
  with pytest.raises(ConfigError, match=r'--path: .*exists'):
    export(tuned[1], str(path))
  assert path.read_bytes() == written


@pytest.mark.parametrize(
  ('path', 'words'),
  [
    ('out.bin', 'expected the name of a .safetensors'),
    ('no/out.safetensors', '--path'),
  ],
)
def test_where_no_file_can_be_written(path, words, tuned, tmp_path):
  with pytest.raises(ConfigError, match=words):
    export(tuned[1], str(tmp_path / path))
  assert not list(tmp_path.iterdir())


BAD = {
  'missing': ({'init_from': '/no/such.safetensors'}, "'/no/such.safetensors'"),
  'suffix': ({'init_from': '/no/such.bin'}, 'expected one of .safetensors'),
  'other classes': (
    {'init_fresh': ()},
    r"fc.weight: got shape \(3, 8\), expected \(5[^$]* config.init_fresh=\('head',\)$",
  ),
  'fresh': ({'init_fresh': ('haed',)}, "config.init_fresh: .*'haed'; did you mean 'he"),
  'frozen': (
    {'frozen': ('stem', 'stage9')},
    "config.frozen: unknown 'stage9'.* Known: head, stage1, stage2, stage3, stem",
  ),
  'all frozen': (
    {'frozen': ('stem', 'stage1', 'stage2', 'stage3', 'head')},
    'at least',
  ),
  'fresh of nothing': (
    {'init_from': ''},
    r"config.init_fresh: \('head',\); expected \(\) without a file in config.init_from",
  ),
  'aux': ({'aux_loss_weight': -0.5}, 'config.aux_loss_weight: -0.5; expected 0 or mo'),
}


@pytest.mark.parametrize('name', sorted(BAD))
def test_a_mistake_is_found_before_any_work(name, source, tmp_path):
  changes, words = BAD[name]
  with pytest.raises(ConfigError, match=words) as error:
    train_and_evaluate(_config(source[1], **changes), str(tmp_path / 'run'))
  assert str(error.value).startswith('config.')
  # The keys that do not fit are listed, one a line.
  assert '\n' not in str(error.value) or name == 'other classes'
  assert not (tmp_path / 'run').exists()


def test_files_that_are_not_whole_and_models_without_names(source, tmp_path):
  path = tmp_path / 'half.safetensors'
  path.write_bytes(source[1].read_bytes()[:-100])
  with pytest.raises(ConfigError, match=r'config\.init_from: .* no whole safetensors'):
    train_and_evaluate(_config(path), str(tmp_path / 'run'))
  config = _config(source[1], frozen=())
  config.model = {'name': 'lenet5_modern'}
  with pytest.raises(ConfigError, match=r'config\.init_from: .*LeNet'):
    train_and_evaluate(config, str(tmp_path / 'run'))
