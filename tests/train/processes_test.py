"""Two processes of four devices each share a state, and agree on what is good."""

import json
import os
import re
import subprocess
import sys

from commands import free_port

PROGRAM = """
import glob, json, os, sys
import jax, numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

process, port, workdir = int(sys.argv[1]), sys.argv[2], sys.argv[3]
jax.distributed.initialize(f'127.0.0.1:{port}', 2, process)

from convscan.train.checkpoint import Checkpoints, restore_newest
from convscan.train.errors import CheckpointError

mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))

def array(values, spec):
  return jax.make_array_from_callback(
    values.shape, NamedSharding(mesh, spec), lambda index: values[index]
  )

def host_state(step):
  values = np.random.default_rng(step).normal(size=(128, 256)).astype(np.float32)
  return {'split': values, 'whole': values[0]}

def state(step):
  values = host_state(step)
  data = np.asarray(jax.random.key_data(jax.random.key(step)))
  key = jax.random.wrap_key_data(array(data, P()))
  return {
    'split': array(values['split'], P('data')), 'whole': array(values['whole'], P()),
    'key': key,
  }

def is_state(tree, step):
  for name, values in host_state(step).items():
    for shard in tree[name].addressable_shards:
      np.testing.assert_array_equal(shard.data, values[shard.index])
  key = jax.random.key_data(tree['key']).addressable_data(0)
  np.testing.assert_array_equal(key, jax.random.key_data(jax.random.key(step)))

def save(*steps):
  checkpoints = Checkpoints(workdir, 9)
  for step in steps:
    checkpoints.save(step, state(step), {'position': step})
  checkpoints.close()

def damage(step, how):
  multihost_utils.sync_global_devices('before')
  if process == 0:  # what process 1 wrote, and it alone reads again
    files = glob.glob(f'{workdir}/checkpoints/{step}/state/ocdbt.process_1/d/*')
    how(max(files, key=lambda path: os.lstat(path).st_size))
  multihost_utils.sync_global_devices('after')

def truncate(path):
  os.truncate(path, os.path.getsize(path) // 2)

def hide(path):
  os.rename(path, path + '.hidden')
  os.symlink(os.path.basename(path), path)  # a loop, which nobody can open

def flip(path):
  with open(path, 'r+b') as f:
    f.seek(os.path.getsize(path) // 2)
    byte = f.read(1)[0]
    f.seek(-1, 1)
    f.write(bytes([byte ^ 4]))

steps = []
def restore():
  step, tree, progress = restore_newest(workdir, state(0))
  is_state(tree, step)
  assert progress == {'position': step}
  steps.append(step)

assert restore_newest(workdir, state(0)) is None
save(10, 20, 30)
restore()
damage(30, hide)
errors = []
try:
  restore()
except CheckpointError as e:
  errors.append(str(e))
damage(30, lambda path: os.rename(path, path.removesuffix('.hidden')))
damage(30, truncate)
restore()
damage(20, flip)
restore()
save(20)
restore()
for step in (10, 20):
  damage(step, truncate)
try:
  restore()
except CheckpointError as e:
  errors.append(str(e))
print(json.dumps({'steps': steps, 'errors': errors}))
"""


def _run(*arguments, timeout=120):
  """Runs the program in two processes; returns what each printed and said."""
  flags = '--xla_force_host_platform_device_count=4'
  processes = [
    subprocess.Popen(
      [sys.executable, '-c', PROGRAM, str(i), *arguments],
      env=os.environ | {'XLA_FLAGS': flags},
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for i in range(2)
  ]
  try:
    said = [process.communicate(timeout=timeout) for process in processes]
  finally:
    for process in processes:
      process.kill()
  for process, (_, errors) in zip(processes, said, strict=True):
    assert process.returncode == 0, errors
  return said


def test_two_processes_agree_on_the_newest_good_step(tmp_path):
  said = _run(str(free_port()), str(tmp_path))
  first, second = (json.loads(out.splitlines()[-1]) for out, _ in said)
  assert first == second
  assert first['steps'] == [30, 20, 10, 20]
  unread, bad = first['errors']
  assert '/30' in unread
  assert 'split: Too many levels of symbolic links. It may be good' in unread
  assert '20: split: a file is truncated; 10: split: a file is truncated' in bad
  held = {path.name for path in (tmp_path / 'checkpoints').iterdir()}
  assert held == {'10', '20', '20.bad', '30.bad'}
  lines = [line for line in said[0][1].splitlines() if 'is bad' in line]
  assert len(lines) == 2
  assert 'checkpoint 30 is bad (split: a file is truncated)' in lines[0]
  # What is in the middle of the file, numbers or what lies about them, is by chance.
  how = 'the checksum differs|a file is damaged'
  assert re.search(rf'checkpoint 20 is bad \(split: ({how})\)', lines[1])
  assert not any('is bad' in line for line in said[1][1].splitlines())
