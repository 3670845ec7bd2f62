"""A language model through the ordinary loop."""

import csv
import math
from pydoc_data.topics import topics

import pytest

import convscan.train
from convscan.configs import pydoc_lstm
from convscan.train import evaluate
from convscan.train.loop import train_and_evaluate
from convscan.train.metrics import read


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  workdir = str(tmp_path_factory.mktemp('lm'))
  config = pydoc_lstm.get_config()
  config.update({'num_train_steps': 12, 'batch_size': 16, 'log_every_steps': 4,
                 'eval_every_steps': 12, 'checkpoint_every_steps': 6})  # fmt: skip
  config.data.length = 32
  config.model.update({'embedding_features': 8, 'hidden_features': 16, 'num_layers': 1})
  config.optimizer.update({'warmup_steps': 0, 'learning_rate': 0.03})
  config.mesh.data = 2
  return workdir, train_and_evaluate(config, workdir)


def test_it_learns_and_reports_bits_per_character(run):
  workdir, metrics = run
  assert metrics['eval/bits_per_char'] == pytest.approx(
    metrics['eval/loss'] / math.log(2)
  )
  uniform = math.log2(103)
  assert 2 < metrics['eval/bits_per_char'] < uniform - 1
  assert read(workdir)[-1]['eval/bits_per_char'] == metrics['eval/bits_per_char']


def test_evaluate_counts_every_character_once(run):
  workdir, metrics = run
  again = evaluate.evaluate(workdir)
  assert again['loss'] == pytest.approx(metrics['eval/loss'], rel=1e-5)
  held_out = sum(len(topics[t]) for t in sorted(topics)[9::10])
  with open(f'{workdir}/predictions.csv', newline='') as f:
    rows = list(csv.DictReader(f))
  assert len(rows) == held_out
  bits = -sum(math.log2(max(float(r['target_probability']), 1e-7)) for r in rows) / len(
    rows
  )
  assert bits == pytest.approx(metrics['eval/bits_per_char'], rel=1e-3)


def test_figures_and_restore(run):
  workdir, _ = run
  for name in ('bits_per_char.png', 'gates.png'):
    with open(f'{workdir}/{name}', 'rb') as f:
      assert f.read(8) == b'\x89PNG\r\n\x1a\n'
  model, variables = convscan.train.restore(workdir)
  assert model.hidden_features == 16
  assert 'params' in variables
