"""The command that shows what a run trains on."""

import jax
import numpy as np
import optax
import pytest
from PIL import Image

from convscan import architectures, data
from convscan.configs import digits_lenet, parity_lstm
from convscan.train import data_drawing, loop, tasks
from convscan.train.errors import ConfigError
from convscan.train.mixing import make_mix
from convscan.train.state import create_state
from convscan.train.step import train_step


def _config(**changes):
  config = digits_lenet.get_config()
  config.update_from_flattened_dict({'seed': 3, 'batch_size': 16} | changes)
  return config


@pytest.mark.parametrize('alphas', [(0.0, 0.0), (0.4, 0.0), (0.4, 1.0)])
def test_it_is_the_batch_of_the_first_step(alphas):
  config = _config(mixup_alpha=alphas[0], cutmix_alpha=alphas[1])
  dataset = loop.build_dataset(config)
  shown = data_drawing.first_batch(config, dataset)

  batch = next(data.train_batches(dataset, 16, seed=3))
  np.testing.assert_array_equal(shown['index'], batch.pop('index'))
  if mix := make_mix(config, 10, 3):
    seen = []

    def recorded(key, batch):
      seen.append(mix(key, batch))
      return seen[-1]

    model = architectures.build('lenet5_modern', num_classes=10)
    parts = {'model': model, 'tx': optax.sgd(0.1)}
    state = create_state(jax.random.key(3), batch['inputs'][:1], {}, **parts)
    task = tasks.build(config, dataset)
    train_step(state, batch, task=task, mix=recorded, **parts)
    (batch,) = seen
    assert not np.array_equal(batch['targets'].max(-1), np.ones(16))
  assert set(shown) - {'index'} == set(batch)
  for name in batch:
    np.testing.assert_array_equal(shown[name], batch[name])


def test_it_prints_the_batch_and_draws_it(tmp_path, capsys):
  config = parity_lstm.get_config()
  config.batch_size, config.num_reader_workers = 8, 2
  png = tmp_path / 'a.png'
  data_drawing.main(config, str(png))
  out = capsys.readouterr().out
  assert out.startswith('parity: classification\n')
  assert '\nthe first batch of 8:\narray ' in out
  assert out.endswith(f'\nexamples drawn: {png}\n')
  with Image.open(png) as image:
    assert image.size[0] == 1200


def test_a_batch_that_can_not_be_mixed_is_refused():
  config = parity_lstm.get_config()
  config.mixup_alpha = 0.2
  with pytest.raises(ConfigError, match=r'config\.mixup_alpha: 0\.2; expected 0'):
    data_drawing.first_batch(config, loop.build_dataset(config))
