"""The benchmark's command runs, and writes what it measured."""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def test_it_times_both_loaders_that_need_no_torch(tmp_path: pathlib.Path) -> None:
  flags = '--workers=0 --images=16 --batch-size=8 --batches=2 --rounds=2'
  flags += f' --loaders=convscan,convscan+4,grain --out={tmp_path}'
  done = subprocess.run(
    [sys.executable, 'benchmarks/image_loading.py', *flags.split()],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  (path,) = tmp_path.glob('*.json')
  times = json.loads(path.read_text())['times']['0']
  assert set(times) == {'convscan', 'convscan+4', 'grain'}
  for seconds in times.values():
    assert len(seconds) == 2
    # What four threads made ahead takes no time that could be told.
    assert all(0 < s < 1 for s in seconds)
  rate = round(2 / sum(times['grain']))  # within what the median of two may differ
  page = path.with_suffix('.md').read_text()
  (shown,) = [line for line in page.splitlines() if line.startswith('| 0 | grain |')]
  assert abs(int(shown.split('|')[3]) - rate) <= 1
