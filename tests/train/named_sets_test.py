"""Texts and series by name through the ordinary loop, from small files of theirs."""

import io
import tarfile
import zipfile

import numpy as np
import pytest
from ml_collections import ConfigDict

from convscan import data
from convscan.configs import base
from convscan.data.builders import imdb_reviews, uea, wikitext
from convscan.data.download import File
from convscan.train.errors import ConfigError
from convscan.train.evaluate import evaluate
from convscan.train.loop import train_and_evaluate
from convscan.train.metrics import read

RNG = np.random.default_rng(0)


def put(monkeypatch, module, key, folder, name, content):
  """Leaves a set's only file where a person would who downloaded it."""
  folder.mkdir(parents=True)
  (folder / name).write_bytes(content)
  files = (File(name, 'http://none.invalid/' + name, len(content), '', 10**7),)
  if key:
    monkeypatch.setitem(module.FILES, key, files)
  else:
    monkeypatch.setattr(module, 'FILES', files)


def config_of(task, name, model, tmp_path, **options):
  config = base.get_config()
  config.task = task
  config.model = ConfigDict(model)
  config.data = ConfigDict({'name': name, 'data_dir': str(tmp_path), **options})
  config.update({'num_train_steps': 40, 'batch_size': 16, 'log_every_steps': 20,
                 'eval_every_steps': 40, 'checkpoint_every_steps': 40})  # fmt: skip
  config.optimizer.learning_rate = 0.02
  config.sample.length = 8
  return config


@pytest.fixture
def reviews(tmp_path, monkeypatch):
  packed = io.BytesIO()
  with tarfile.open(fileobj=packed, mode='w:gz') as tar:
    for split in ('train', 'test'):
      for i in range(64):
        kind = ('neg', 'pos')[i % 2]
        word = {'neg': 'dull', 'pos': 'grand'}[kind]
        words = [*RNG.choice(['a', 'film', 'of', 'the', 'year'], RNG.integers(1, 9))]
        words.insert(int(RNG.integers(0, len(words))), word)
        content = ' '.join(words).encode()
        info = tarfile.TarInfo(f'aclImdb/{split}/{kind}/{i}_5.txt')
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
  folder = tmp_path / 'downloads/imdb_reviews'
  name = imdb_reviews.FILES[0].name
  put(monkeypatch, imdb_reviews, '', folder, name, packed.getvalue())
  model = {'name': 'lstm_classifier', 'vocab_size': 20, 'embedding_features': 8,
           'hidden_features': 16}  # fmt: skip
  return config_of(
    'classification', 'imdb_reviews', model, tmp_path, vocab_size=20, length=12
  )


def test_reviews_are_learned_from_their_words(reviews, tmp_path):
  metrics = train_and_evaluate(reviews, str(tmp_path / 'run'))
  assert metrics['eval/accuracy'] > 0.9


def test_a_model_of_too_few_tokens_is_refused(reviews, tmp_path):
  reviews.model.vocab_size = 8
  expected = (
    r"config\.model\.vocab_size: 8; expected 9 or more, the tokens of 'imdb_rev"
  )
  with pytest.raises(ConfigError, match=expected):
    train_and_evaluate(reviews, str(tmp_path / 'run'))


@pytest.fixture
def words(tmp_path, monkeypatch):
  text = ' \n the film of the year \n a <unk> film . \n'  # 12 words, and line ends
  packed = io.BytesIO()
  with zipfile.ZipFile(packed, 'w') as archive:
    for part, times in (('train', 30), ('valid', 20), ('test', 30)):
      archive.writestr(f'wikitext-2/wiki.{part}.tokens', text * times)
  name = wikitext.FILES['wikitext2'][0].name
  folder = tmp_path / 'downloads/wikitext2'
  put(monkeypatch, wikitext, 'wikitext2', folder, name, packed.getvalue())
  model = {'name': 'gru_lm', 'embedding_features': 8, 'hidden_features': 16,
           'num_layers': 1}  # fmt: skip
  return config_of('language_model', 'wikitext2', model, tmp_path, length=12)


def test_words_are_measured_by_perplexity(words, tmp_path):
  workdir = tmp_path / 'run'
  metrics = train_and_evaluate(words, str(workdir))
  assert metrics['eval/perplexity'] == pytest.approx(
    np.exp(metrics['eval/loss']), rel=1e-4
  )
  assert metrics['eval/perplexity'] < 4  # of 9 words and more
  assert 'train/perplexity' in next(r for r in read(str(workdir)) if 'train/loss' in r)
  assert not any('bits_per_char' in key for key in metrics)
  assert (workdir / 'bits_per_word.png').exists()


def test_the_split_to_evaluate_is_the_configs(words, tmp_path, caplog):
  workdir = tmp_path / 'run'
  words.eval_split = 'dev'
  message = (
    r"^config\.eval_split: 'dev'; expected validation or test, the splits of 'wi"
  )
  with pytest.raises(ConfigError, match=message):
    train_and_evaluate(words, str(workdir))
  seen = {}
  for split, times in (('validation', 20), ('test', 30)):
    words.eval_split = split
    seen[split] = train_and_evaluate(words, str(workdir))
    if split == 'validation':
      trained = (workdir / 'metrics.jsonl').read_text()
    loss = evaluate(str(workdir))['loss']
    assert loss == pytest.approx(seen[split]['eval/loss'], rel=1e-5)
    rows = (workdir / 'predictions.csv').read_text().splitlines()[1:]
    assert len(rows) == 12 * times
  assert seen['test']['eval/loss'] != seen['validation']['eval/loss']
  assert (workdir / 'metrics.jsonl').read_text() == trained  # it was not trained again


@pytest.mark.long
def test_series_of_unequal_lengths_are_classified(tmp_path, monkeypatch):
  lines = []
  for i in range(64):
    steps = np.arange(RNG.integers(5, 12))
    series = np.sin(steps * (0.5 + i % 2) + RNG.uniform(0, 6))
    lines.append(','.join(f'{v:.3f}' for v in series) + f':{["slow", "fast"][i % 2]}')
  text = '@equalLength false\n@classLabel true slow fast\n@data\n' + '\n'.join(lines)
  packed = io.BytesIO()
  with zipfile.ZipFile(packed, 'w') as archive:
    for part in ('TRAIN', 'TEST'):
      archive.writestr(f'Waves_{part}.ts', text)
  put(monkeypatch, uea, '', tmp_path / 'downloads/uea', 'Waves.zip', packed.getvalue())
  model = {'name': 'gru_classifier', 'hidden_features': 16}
  config = config_of('classification', 'uea', model, tmp_path, problem='Waves')
  assert 'lengths' in data.build(**config.data).splits['train'][0]
  metrics = train_and_evaluate(config, str(tmp_path / 'run'))
  assert metrics['eval/accuracy'] > 0.8
