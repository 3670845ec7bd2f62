"""launch/setup.sh, as far as it goes without a TPU VM: what it mounts, and refuses."""

import os
import pathlib
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / 'launch/setup.sh'
CACHES = '--metadata-cache-ttl-secs=0 --metadata-cache-negative-ttl-secs=0'


def _set_up(folder, store, tmp_path, **programs):
  """Runs setup.sh with stand-ins, each of which writes how it was called to a log."""
  for name, text in programs.items():
    path = tmp_path / 'bin' / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/bash\necho "{name} $*" >>{tmp_path}/log\n{text}\n')
    path.chmod(0o755)
  return subprocess.run(
    [SCRIPT, store, folder],
    env=os.environ | {'PATH': f'{tmp_path}/bin:{os.environ["PATH"]}'},
    capture_output=True,
    text=True,
  )


@pytest.mark.parametrize(
  ('store', 'call'),
  [
    ('gs://my-bucket', f'gcsfuse {CACHES} my-bucket '),
    ('10.0.0.2:/runs', 'sudo mount -t nfs -o hard 10.0.0.2:/runs '),
  ],
)
def test_a_store_is_mounted(store, call, tmp_path):
  folder = tmp_path / 'runs'
  folder.mkdir()
  fakes = {'mountpoint': 'exit 1', 'sudo': '', 'curl': '', 'gcsfuse': ''}
  done = _set_up(folder, store, tmp_path, **fakes)
  log = (tmp_path / 'log').read_text().splitlines()
  assert f'{call}{folder}' in log
  assert done.returncode == 2  # for want of a wheel, so it was mounted and tried
  assert 'expected one convscan-*.whl' in done.stderr
  assert not list(folder.iterdir())


@pytest.mark.parametrize(
  ('store', 'programs', 'words'),
  [
    ('gs://b/folder', {'mountpoint': 'exit 1', 'sudo': ''}, 'expected gs://BUCKET, w'),
    ('b', {'mountpoint': 'exit 1', 'sudo': ''}, 'b: expected gs://BUCKET or HOST:/S'),
    (
      'gs://flat',
      {'mountpoint': '', 'python3': 'exit 1'},
      'no folder can be renamed in',
    ),
  ],
)
def test_a_store_that_is_none(store, programs, words, tmp_path):
  folder = tmp_path / 'runs'
  folder.mkdir()
  done = _set_up(folder, store, tmp_path, **programs)
  assert done.returncode == 2
  assert words in done.stderr
  assert not list(folder.iterdir())


def test_two_wheels_are_one_too_many(tmp_path):
  folder = tmp_path / 'runs'
  folder.mkdir()
  for version in ('1', '2'):
    (folder / f'convscan-{version}-py3-none-any.whl').touch()
  done = _set_up(folder, 'gs://b', tmp_path, mountpoint='')
  assert done.returncode == 2
  assert 'found: ' in done.stderr
