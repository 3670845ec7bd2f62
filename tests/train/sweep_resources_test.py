"""Each trial has its own share of a machine's accelerators."""

import pathlib
import sys

import pytest
from sweep_processes import Sweep, running


# Ray is told that they are there; that is all it knows of them here.
@pytest.mark.long
@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
@pytest.mark.parametrize(
  ('have', 'share', 'name', 'seen'),
  [
    ('"GPU": 2', '--gpus_per_trial=1', 'CUDA_VISIBLE_DEVICES', ['0', '1']),
    ('"GPU": 1', '--gpus_per_trial=0.5', 'CUDA_VISIBLE_DEVICES', ['0', '0']),
    ('"TPU": 4', '--tpus_per_trial=1', 'TPU_VISIBLE_CHIPS', ['0', '1']),
    ('"TPU": 4', '--tpus_per_trial=4', 'TPU_VISIBLE_CHIPS', ['0,1,2,3']),
  ],
)
def test_each_trial_sees_its_own_accelerators(have, share, name, seen, tmp_path):
  environment = {'RAY_OVERRIDE_RESOURCES': f'{{"CPU": 2, {have}}}'}
  with Sweep(tmp_path / 'sweep', share, environment=environment) as sweep:
    sweep.wait_until(lambda: len(running(sweep)) == len(seen))
    found = [
      variable.partition('=')[2]
      for pid in running(sweep).values()
      for variable in pathlib.Path(f'/proc/{pid}/environ').read_text().split('\0')
      if variable.startswith(f'{name}=')
    ]
  assert sorted(found) == seen
