"""The published networks are of the published sizes."""

import csv
import pathlib

import pytest

import convscan.architectures as arch

_TABLE = pathlib.Path(__file__).with_name('torchvision_cnn.csv').read_text()
FIGURES = {row['name']: row for row in csv.DictReader(_TABLE.splitlines())}
BUILT = sorted(FIGURES.keys() & set(arch.names('cnn')))
# The published count leaves out the auxiliary heads, though torchvision's network has
# them by default; that of inception_v3 holds its own.
COUNTED = {'googlenet': {'aux_logits': False}}


@pytest.mark.parametrize('name', BUILT)
def test_parameters_and_macs_are_the_published_ones(name: str) -> None:
  row = FIGURES[name]
  size = int(row['crop_size'])
  summary = arch.summary(arch.build(name, **COUNTED.get(name, {})), (1, size, size, 3))
  assert summary.num_params == int(row['num_params'])
  digits = len(row['gmacs'].partition('.')[2])
  assert summary.macs / 1e9 == pytest.approx(
    float(row['gmacs']), abs=0.51 * 10**-digits
  )
