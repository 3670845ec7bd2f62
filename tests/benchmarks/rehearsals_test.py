"""The table of rehearsals, made in two parts."""

import json
import pathlib
import subprocess
import sys

SCRIPT = pathlib.Path(__file__).parents[2] / 'benchmarks' / 'rehearsals.py'


def test_a_table_made_in_parts_keeps_its_rows(tmp_path):
  rows, out = tmp_path / 'rows.json', tmp_path / 'page.md'
  for name in ('digits_lenet', 'parity_lstm'):
    subprocess.run(
      [sys.executable, SCRIPT, '--configs', name, '--topologies', 'cpu:2', 'cpu:3',
       '--rows', rows, '--out', out], check=True,
    )  # fmt: skip
  kept = json.loads(rows.read_text())
  lenet = kept['rows']['digits_lenet']['cpu:2']
  assert (lenet['mesh'], lenet['batch'], lenet['parameters']) == ([2, 1], 64, 60_766)
  # Parameters, their two averages, and what comes on top.
  assert 3 * 4 * 60_766 < lenet['training'] < 60 * 60_766
  assert 'multiple of 3' in kept['rows']['digits_lenet']['cpu:3']['error']
  lines = out.read_text().splitlines()
  table = [line for line in lines if line.startswith('|')]
  assert [line.split(' | ')[0] for line in table[2:]] == [
    '| digits_lenet',
    '| parity_lstm',
  ]
  assert len({line.count('|') for line in table}) == 1
  assert '| 2 x 1 | 64 | 60,766 | 0.00' in table[2]
  assert (
    sum(line.startswith('- digits_lenet on cpu:3: config.batch_size') for line in lines)
    == 1
  )
