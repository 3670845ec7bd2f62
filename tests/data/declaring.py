"""What is declared without files, beside what is built of some."""

import tempfile
from pathlib import Path

from convscan import data


def described(example):
  return {key: (array.shape, array.dtype) for key, array in example.items()}


def check_declared(built, same_classes=True, **options):
  """Compares a dataset with what `declare` makes of its name and options."""
  with tempfile.TemporaryDirectory() as folder:
    declared = data.declare(built.name, data_dir=folder, **options)
    assert not [*Path(folder).rglob('*')]  # nothing was fetched or prepared
  for field in ('name', 'task', 'license'):
    assert getattr(declared, field) == getattr(built, field)
  if same_classes:
    assert len(declared.classes) == len(built.classes)
  assert len(declared.augment) == len(built.augment)
  assert declared.tokens.unit == built.tokens.unit
  assert declared.splits.keys() == built.splits.keys()
  for split, source in built.splits.items():
    assert described(declared.splits[split][0]) == described(source[0])
  batches = [
    next(data.train_batches(dataset, 2, seed=0, num_threads=0))
    for dataset in (declared, built)
  ]
  assert described(batches[0]) == described(batches[1])
  assert batches[0]['weights'].all()
