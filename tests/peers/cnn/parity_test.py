"""The table in the docs is that of the rows kept; all networks are in it, and right."""

import csv
import json

import parity


def test_the_table_is_the_rows() -> None:
  figures = {
    row['name']: row for row in csv.DictReader(parity.FIGURES.read_text().splitlines())
  }
  kept = json.loads(parity.ROWS.read_text())
  assert kept['rows'].keys() == figures.keys()
  assert not any(parity.problems(kept['rows'][name], figures[name]) for name in figures)
  assert parity.OUT.read_text() == parity.page(kept, figures)


def test_a_wrong_row_is_named() -> None:
  figures = {'num_params': '10', 'gmacs': '0.5'}
  row = {
    'num_params': 11,
    'macs': 4.9e8,
    'logits': 2e-3,
    'maps': float('nan'),
    'statistics': None,
  }
  assert parity.problems(row, figures) == ['logits', 'maps', 'num_params']
  row['macs'] = 4.4e8
  assert 'macs' in parity.problems(row, figures)
