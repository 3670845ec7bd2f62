"""Every shipped experiment builds, and takes a step."""

import importlib

import jax
import jax.numpy as jnp
import pytest
from safetensors.numpy import save_file

import convscan.architectures as arch
from convscan.train import flags
from convscan.train.loop import train_and_evaluate

# Sizes that make a step quick; everything else is the experiment's own.
SHRUNK = {
  'adding_gru': {'model.hidden_features': 8, 'data.length': 20},
  'digits_angle': {},
  'digits_finetune': {},
  'digits_gru': {'model.hidden_features': 16},
  'digits_lenet': {},
  'digits_resnet': {},
  'digits_unet': {'model.channels': (4, 8)},
  'mackey_glass_tcn': {},
  'parity_lstm': {'model.hidden_features': 8, 'data.test_lengths': (41, 50)},
  'python_tagger': {'model.hidden_features': 8},
  'pydoc_lstm': {'model.hidden_features': 16, 'data.length': 32},
}


# Trained on files of one's own in tests/data/own_data_test.py.
OWN_DATA = {'image_folder', 'series_csv', 'text_file'}

# Trained on small files in recipes_test.py.
PUBLISHED = {
  'imagenet_convnext_tiny',
  'imagenet_resnet50',
  'wikitext103_lstm',
  'wikitext2_awd_lstm',
}


def test_every_shipped_config_is_listed_here():
  assert set(flags.shipped()) == set(SHRUNK) | OWN_DATA | PUBLISHED


@pytest.mark.parametrize('name', sorted(SHRUNK))
def test_it_takes_a_step(name, tmp_path):
  config = importlib.import_module(f'convscan.configs.{name}').get_config()
  config.update_from_flattened_dict(
    {'num_train_steps': 1, 'optimizer.warmup_steps': 0, 'sample.length': 8}
    | SHRUNK[name]
  )
  if config.init_from:  # weights of a model of other classes
    model = arch.build(config.model.name, num_classes=3)
    variables = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)), train=False)
    config.init_from = str(tmp_path / 'other.safetensors')
    save_file(arch.weights.to_torch(model, variables), config.init_from)
  metrics = train_and_evaluate(config, str(tmp_path / 'run'))
  assert metrics['eval/loss'] > 0
