"""launch/skypilot.yaml, as SkyPilot reads it.

SkyPilot needs a click that transformers refuses, so it has an environment of its own;
`make peers` makes it, and names its Python in SKYPILOT_PYTHON.
"""

import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
PYTHON = os.environ.get('SKYPILOT_PYTHON')
READ = """
import json, sys
import sky

task = sky.Task.from_yaml(sys.argv[1])
(resources,) = task.resources
print(json.dumps({
  'accelerators': resources.accelerators,
  'arguments': resources.accelerator_args,
  'cloud': str(resources.cloud),
  'spot': resources.use_spot,
  'recovery': resources.job_recovery['recover_on_exit_codes'],
  'nodes': task.num_nodes,
  'files': task.file_mounts,
  'setup': task.setup,
}))
"""
pytestmark = pytest.mark.skipif(not PYTHON, reason='SKYPILOT_PYTHON is not set')


def _read(path, home):
  environment = {
    'HOME': str(home),
    'PATH': os.environ['PATH'],
    'SKYPILOT_DISABLE_USAGE_COLLECTION': '1',
  }
  return subprocess.run(
    [PYTHON, '-c', READ, path],
    cwd=ROOT,
    env=environment,
    capture_output=True,
    text=True,
  )


def test_the_task_is_one_host_that_goes_on_after_preemption(tmp_path):
  done = _read(ROOT / 'launch/skypilot.yaml', tmp_path)
  assert done.returncode == 0, done.stderr
  assert json.loads(done.stdout.splitlines()[-1]) == {
    'accelerators': {'tpu-v5litepod-4': 1},
    'arguments': {'runtime_version': 'v2-alpha-tpuv5-lite'},
    'cloud': 'GCP',
    'spot': True,
    'recovery': [75],
    'nodes': 1,
    'files': {'~/setup.sh': 'launch/setup.sh'},
    'setup': 'bash ~/setup.sh "$STORE" /mnt/runs',
  }


def test_a_key_that_skypilot_does_not_know_is_refused(tmp_path):
  text = (ROOT / 'launch/skypilot.yaml').read_text()
  path = tmp_path / 'task.yaml'
  path.write_text(text.replace('accelerator_args', 'accelerator_flags'))
  done = _read(path, tmp_path)
  assert done.returncode != 0
  assert 'accelerator_flags' in done.stderr
