"""The benchmark's command runs, and writes what it measured."""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def test_writes_every_row(tmp_path: pathlib.Path) -> None:
  flags = '--networks=squeezenet --batch=2'
  command = [sys.executable, 'benchmarks/convolution.py', f'--out={tmp_path}']
  done = subprocess.run([*command, *flags.split()], cwd=ROOT, capture_output=True)
  assert done.returncode == 2
  assert b"got 'squeezenet', expected some of resnet18,resnet50" in done.stderr

  flags = '--networks=resnet18 --batch=2 --size=32 --rounds=1 --peers=flax'
  done = subprocess.run([*command, *flags.split()], cwd=ROOT, capture_output=True)
  assert done.returncode == 0, done.stdout + done.stderr
  (path,) = tmp_path.glob('*.json')
  assert str(path).encode() in done.stdout
  results = json.loads(path.read_text())
  assert results['settings']['size'] == 32
  training, inference = results['rows']
  assert (training['pass'], inference['pass']) == ('training', 'inference')
  for row in (training, inference):
    # With one round the medians are what the ratios are made of.
    seconds = row['seconds']
    assert row['ratios'] == {'flax': seconds['flax'] / seconds['ours']}
    assert min(row['compile_seconds'].values()) > 0.1
  # The reverse pass keeps the maps of the forward pass; the first alone, of 16 x 16
  # pixels and 64 channels, has 1/8 MiB.
  assert training['peak_mib']['flax'] > 1.5 * inference['peak_mib']['flax'] > 1.5 / 8
  assert path.with_suffix('.md').read_text().encode() in done.stdout
