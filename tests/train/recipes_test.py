"""Published experiments: what their papers say, and a step on small files."""

import importlib
import io
import math
import zipfile

import numpy as np
import pytest
from imagenet2012_test import archives, give
from serving import file_of

import convscan.architectures as arch
from convscan.data.builders import wikitext
from convscan.train.loop import train_and_evaluate
from convscan.train.optimizer import learning_rate, scale_learning_rate

IMAGES = 1_281_167


def config_of(name):
  return importlib.import_module(f'convscan.configs.{name}').get_config()


def rates(config):
  """Returns the learning rate as a function of the epoch."""
  optimizer = scale_learning_rate(config.optimizer, config.batch_size)
  schedule = learning_rate(optimizer, config.num_train_steps)
  return lambda epoch: float(schedule(round(epoch * IMAGES / config.batch_size)))


@pytest.mark.parametrize('batch_size', [256, 1024, 8192])
def test_resnets_learning_rate_is_that_of_the_paper(batch_size):
  config = config_of('imagenet_resnet50')
  config.batch_size = batch_size
  assert abs(config.num_train_steps - 90 * IMAGES / batch_size) <= 0.5
  rate, peak = rates(config), 0.1 * batch_size / 256
  assert rate(2.5) == pytest.approx(peak / 2, rel=0.01)
  step = batch_size / IMAGES  # in epochs
  for begin, end, expected in [
    (5, 30, peak), (30, 60, peak / 10), (60, 80, peak / 100), (80, 90, peak / 1000),
  ]:  # fmt: skip
    for epoch in (begin + 1.5 * step, (begin + end) / 2, end - 1.5 * step):
      assert rate(epoch) == pytest.approx(expected), epoch


def test_convnexts_learning_rate_is_that_of_the_paper():
  config = config_of('imagenet_convnext_tiny')
  rate = rates(config)
  assert abs(config.num_train_steps - 300 * IMAGES / 4096) <= 0.5
  assert rate(10) == pytest.approx(2e-3, rel=0.01)
  for epoch in (20, 100, 200, 300):
    cosine = (1 + math.cos(math.pi * (epoch - 20) / 280)) / 2
    assert rate(epoch) == pytest.approx(1e-6 + (4e-3 - 1e-6) * cosine, rel=1e-3)


def test_the_awd_lstm_is_as_large_as_the_authors():
  config = config_of('wikitext2_awd_lstm')
  model = arch.build(**config.model, vocab_size=33_279)
  count = arch.summary(model, (1, 70), np.int32).num_params
  # Theirs has no token that starts a document, and two biases a layer.
  assert count - 401 + 4 * (1150 + 1150 + 400) == 33_556_078
  # 2,088,628 words in rows of 26,107, and these in windows of 70.
  assert config.num_train_steps / 750 == pytest.approx(26_107 / 70, rel=1e-3)


def test_the_large_lstm_is_as_large_as_it_says():
  config = config_of('wikitext103_lstm')
  model = arch.build(**config.model, vocab_size=267_736)
  count = arch.summary(model, (1, 100), np.int32).num_params
  layer = 4 * 2048 * (2048 + 2048 + 1)
  assert count == 267_736 * (2048 + 1) + layer == 582_153_688


def shrink(config, tmp_path, **sizes):
  config.update_from_flattened_dict(
    {
      'data.data_dir': str(tmp_path),
      'num_train_steps': 2,
      'log_every_steps': 1,
      'optimizer.warmup_steps': 1,
      'mesh.data': 1,
      'sample.length': 8,
    }
    | sizes
  )
  return train_and_evaluate(config, str(tmp_path / 'run'))


@pytest.mark.long
@pytest.mark.parametrize('name', ['imagenet_resnet50', 'imagenet_convnext_tiny'])
def test_it_takes_steps_on_photographs(name, tmp_path, monkeypatch):
  give(tmp_path, monkeypatch, archives())
  config = config_of(name)
  with config.unlocked():
    config.model.stage_sizes = (1, 1, 1, 1)
    if name == 'imagenet_convnext_tiny':
      config.model.channels = (8, 8, 16, 16)
  metrics = shrink(config, tmp_path, batch_size=32, **{'data.size': 32})
  assert 0 < metrics['eval/loss'] < 20


@pytest.mark.parametrize('name', ['wikitext2_awd_lstm', 'wikitext103_lstm'])
def test_it_takes_steps_on_words(name, tmp_path, monkeypatch):
  config = config_of(name)
  text = ' \n the film of the year \n a <unk> film . \n'
  packed = io.BytesIO()
  with zipfile.ZipFile(packed, 'w') as archive:
    for part in ('train', 'valid', 'test'):
      archive.writestr(f'wiki/wiki.{part}.tokens', text * 40)
  (file,) = wikitext.FILES[config.data.name]
  path = tmp_path / 'downloads' / config.data.name / file.name
  path.parent.mkdir(parents=True)
  path.write_bytes(packed.getvalue())
  monkeypatch.setitem(wikitext.FILES, config.data.name, (file_of(path, ''),))
  sizes = {'model.embedding_features': 8, 'model.hidden_features': 12}
  metrics = shrink(config, tmp_path, **sizes, batch_size=64, **{'data.length': 5})
  assert metrics['eval/perplexity'] < 100
