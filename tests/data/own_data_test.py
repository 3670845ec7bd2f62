"""One's own files, made here, train through the ordinary command."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from convscan import data
from convscan.train.errors import ConfigError
from convscan.train.flags import find, load
from convscan.train.loop import build_dataset

SHIPPED = ('image_folder', 'series_csv', 'text_file')
RNG = np.random.default_rng(0)
# A config of what has none that is shipped.
CONFIG = """
from ml_collections import ConfigDict
from convscan.configs import base

def get_config():
  config = base.get_config()
  config.task = 'classification'
  config.model = ConfigDict({{'name': '{model}'}})
  config.data = ConfigDict({{'data_dir': '', {options}}})
  return config
"""


def _images(folder):
  for channel, name in enumerate(('red', 'green')):
    (folder / name).mkdir()
    for i in range(12):
      pixels = RNG.integers(0, 120, (16, 20, 3), np.uint8)
      pixels[..., channel] += 130
      Image.fromarray(pixels).save(folder / name / f'{i}.jpg')
  return (
    '--config=image_folder',
    '--config.model.name=lenet5_modern',
    '--config.data.size=16',
  )


def _forecasting(folder):
  lines = [f'{t},{np.sin(t / 5)},{np.cos(t / 9)}' for t in range(100)]
  (folder / 'x.csv').write_text('\n'.join(['t,x,y', *lines]))
  return (
    '--config=series_csv', '--config.data.time=t', '--config.data.length=8',
    '--config.data.horizon=4', '--config.model.horizon=4',
    '--config.model.hidden_features=8',
  )  # fmt: skip


def _labels(folder):
  lines = [
    f'{s},{"up" if s % 2 else "down"},{t * (s % 2 * 2 - 1)}'
    for s in range(24)
    for t in range(3 + s % 4)
  ]
  (folder / 'x.csv').write_text('\n'.join(['id,label,x', *lines]))
  options = "'name': 'series_classification', 'path': '', 'series': 'id'"
  config = CONFIG.format(model='gru_classifier', options=options)
  (folder.parent / 'mine.py').write_text(config)
  return (f'--config={folder.parent}/mine.py',)


def _text(folder):
  for i in range(10):
    (folder / f'{i}.txt').write_text(f'{i} sheep in the field of {i + 7} goats\n' * 9)
  return (
    '--config=text_file', '--config.data.tokens=word', '--config.data.length=8',
    '--config.model.hidden_features=8', '--config.model.num_layers=1',
    '--config.sample.length=8',
  )  # fmt: skip


def _arrays(folder):
  np.savez(
    folder / 'x.npz',
    inputs=RNG.integers(0, 256, (40, 16, 16), np.uint8),
    targets=np.arange(40) % 3,
  )
  options = "'name': 'arrays', 'path': ''"
  config = CONFIG.format(model='lenet5_modern', options=options)
  (folder.parent / 'mine.py').write_text(config)
  return (f'--config={folder.parent}/mine.py',)


@pytest.mark.parametrize('make', [_images, _forecasting, _labels, _text, _arrays])
def test_a_run_on_ones_own_files(make, tmp_path):
  folder = tmp_path / 'data'
  folder.mkdir()
  arguments = make(folder)
  files = sorted(folder.iterdir())
  path = folder if len(files) > 1 else files[0]
  done = subprocess.run(
    [
      sys.executable, '-m', 'convscan.train.main', *arguments,
      f'--config.data.path={path}', f'--workdir={tmp_path}/run',
      '--config.batch_size=8', '--config.num_train_steps=4',
      '--config.optimizer.warmup_steps=0',
    ],
    capture_output=True,
    text=True,
    env=os.environ | {'XLA_FLAGS': ''},
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  lines = (tmp_path / 'run/metrics.jsonl').read_text().splitlines()
  (metrics,) = [m for m in map(json.loads, lines) if 'eval/loss' in m]
  assert metrics['step'] == 4
  assert 0 < metrics['eval/loss'] < 10


@pytest.mark.parametrize('name', SHIPPED)
def test_a_shipped_config_asks_for_its_path(name, tmp_path):
  config = load(find(name))
  with pytest.raises(ConfigError, match=r"^config\.data\.path is '', but must be a "):
    build_dataset(config)
  config.data.path = str(tmp_path / 'nowhere')
  with pytest.raises(data.DataError, match=r'nowhere: .*'):
    build_dataset(config)
