"""The digits, learned on a mesh of eight devices as on one."""

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.long
def test_state_split_over_devices_learns_the_digits(tmp_path):
  done = subprocess.run(
    [sys.executable, '-m', 'convscan.train.main', '--config=digits_lenet',
     '--config.mesh.data=4', '--config.mesh.fsdp=2', '--config.mesh.fsdp_min_size=1024',
     f'--workdir={tmp_path}/run'],
    env=os.environ | {'XLA_FLAGS': '--xla_force_host_platform_device_count=8'},
    stderr=subprocess.PIPE, text=True,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  last = json.loads((tmp_path / 'run/metrics.jsonl').read_text().splitlines()[-1])
  # One device: 98.89 % with this seed, 99.72 % with two others.
  assert last['eval/accuracy'] > 0.985
