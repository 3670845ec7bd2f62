"""The benchmark's command runs, and writes what it measured."""

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def test_it_times_the_loop_beside_a_bare_one(tmp_path: pathlib.Path) -> None:
  flags = '--batch-size=8 --steps=60 --rounds=1'
  done = subprocess.run(
    [sys.executable, 'benchmarks/train_loop.py', *flags.split(), f'--out={tmp_path}'],
    cwd=ROOT,
    # One device: eight of a CPU may wait for each other when steps are queued.
    env=os.environ | {'XLA_FLAGS': ''},
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  (path,) = tmp_path.glob('*.json')
  times = json.loads(path.read_text())['times']
  assert set(times) == {f'{a}, {b}' for a in ('bare', 'loop')
                        for b in ('memory', 'reader')}  # fmt: skip
  assert all(0 < seconds < 1 for (seconds,) in times.values())
  assert '| loop, memory |' in path.with_suffix('.md').read_text()
