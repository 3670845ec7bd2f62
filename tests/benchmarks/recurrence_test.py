"""The benchmark's command runs, and writes what it measured."""

import importlib
import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def test_writes_every_row(tmp_path: pathlib.Path) -> None:
  flags = (
    '--cells=elman --batch=2,1000000000 --hidden=4 --time=3 --rounds=1 --peers=flax'
  )
  done = subprocess.run(
    [sys.executable, 'benchmarks/recurrence.py', *flags.split(), f'--out={tmp_path}'],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  (path,) = tmp_path.glob('*.json')
  assert str(path) in done.stdout
  results = json.loads(path.read_text())
  assert results['settings']['hidden'] == [4]
  assert results['machine']['backend'] == 'cpu'
  assert 'absent' not in (results['versions'][name] for name in ('jax', 'flax'))

  *measured, skipped = results['rows']
  assert 'GB' in skipped['skipped']
  assert [row['pass'] for row in measured] == ['forward', 'gradient']
  names = {'ours/RNN', 'flax/SimpleCell'}
  for row in measured:
    seconds = row['seconds']
    assert set(seconds) == names | {'gemm'}
    # With one round the medians are what the ratios are made of.
    ratio = seconds['flax/SimpleCell'] / seconds['ours/RNN']
    assert row['ratios'] == {'flax': ratio}
    assert row['limit'] == seconds['gemm'] / seconds['ours/RNN']
  for row in results['compilation']:
    assert set(row['seconds']) == names
    assert min(row['seconds'].values()) > 0.01
  assert path.with_suffix('.md').read_text() in done.stdout


def test_the_fastest_variant_counts(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.syspath_prepend(ROOT / 'benchmarks')
  recurrence = importlib.import_module('recurrence')
  # The second variant is the faster in two rounds of three; one round was disturbed.
  times = {
    'ours/RNN': [1.0, 2.0, 10.0],
    'flax/A': [3.0, 6.0, 20.0],
    'flax/B': [2.0, 5.0, 70.0],
  }
  result = recurrence.compare(times, ['flax'])
  assert result['seconds'] == {'ours/RNN': 2.0, 'flax/A': 6.0, 'flax/B': 5.0}
  assert result['ratios'] == {'flax': 2.5}
  assert (result['rounds'], result['spread']) == (3, 14.0)
