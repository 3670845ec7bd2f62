"""The benchmark of token loading: its loaders give the same windows, and it runs."""

import pathlib
import subprocess
import sys

import numpy as np
from token_loading import loaders

ROOT = pathlib.Path(__file__).parents[3]


def test_the_loaders_give_the_same_windows_in_their_own_orders():
  stream = np.random.default_rng(0).integers(1, 9, 80).astype(np.int32)
  stream[0] = 0
  epochs = {}
  for name, make in loaders(stream, length=16, batch_size=8).items():
    batches, close = make(0)
    epoch = [next(batches) for _ in range(8)]  # 64 windows
    close()
    rows = {}
    for key in ('inputs', 'targets', 'weights'):
      assert tuple(np.shape(epoch[0][key])) == (8, 16)
      rows[key] = np.concatenate([np.asarray(batch[key]) for batch in epoch])
    joined = np.concatenate(list(rows.values()), axis=1)
    epochs[name] = joined[np.lexsort(joined.T)]
  for name, rows in epochs.items():
    np.testing.assert_array_equal(rows, epochs['torch'], err_msg=name)


def test_it_runs_and_writes_what_it_measured(tmp_path):
  flags = '--tokens=9000 --batches=20 --rounds=1 --workers=0'
  done = subprocess.run(
    [sys.executable, 'benchmarks/token_loading.py', *flags.split(),
     f'--out={tmp_path}'],
    cwd=ROOT, capture_output=True, text=True, timeout=300,
  )  # fmt: skip
  assert done.returncode == 0, done.stdout + done.stderr
  (page,) = tmp_path.glob('*.md')
  assert page.read_text().count('| 0 |') == 4
