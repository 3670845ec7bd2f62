"""What is set before Ray is imported, and what is said where it is not installed."""

import os
import sys

import pytest

from convscan.train.errors import ConfigError
from convscan.train.sweeping import ray_launcher

RESOURCES = {'cpus': 1, 'gpus': 0, 'tpus': 0}


@pytest.fixture
def environment(monkeypatch):
  kept = {k: v for k, v in os.environ.items() if not k.startswith('RAY_')}
  monkeypatch.setattr(os, 'environ', kept)
  return kept


def test_without_ray_one_line_says_what_to_do(environment, monkeypatch, tmp_path):
  monkeypatch.setitem(sys.modules, 'ray', None)
  with pytest.raises(ConfigError, match=r"pip install 'convscan\[sweep\]'"):
    ray_launcher.RayLauncher(str(tmp_path), RESOURCES, loopback=True)


def test_a_token_of_its_own_that_nobody_else_reads(environment, tmp_path):
  ray_launcher._set_environment(str(tmp_path), '', loopback=True)
  token = tmp_path / 'ray_token'
  assert environment['RAY_AUTH_TOKEN_PATH'] == str(token)
  assert environment['RAY_AUTH_MODE'] == 'token'
  assert environment['RAY_USAGE_STATS_ENABLED'] == '0'
  assert token.stat().st_mode & 0o777 == 0o600
  first = token.read_text()
  assert len(first) == 64
  del environment['RAY_AUTH_TOKEN_PATH']
  ray_launcher._set_environment(str(tmp_path), '', loopback=True)
  assert token.read_text() != first


def test_what_a_user_has_set_stays_and_a_cluster_has_its_own(environment, tmp_path):
  environment['RAY_AUTH_TOKEN'] = 'mine'
  environment['RAY_USAGE_STATS_ENABLED'] = '1'
  ray_launcher._set_environment(str(tmp_path), '', loopback=False)
  assert environment['RAY_USAGE_STATS_ENABLED'] == '1'
  assert 'RAY_AUTH_TOKEN_PATH' not in environment
  assert 'RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER' not in environment
  del environment['RAY_AUTH_TOKEN']
  ray_launcher._set_environment(str(tmp_path), '10.0.0.1:6379', loopback=True)
  assert 'RAY_AUTH_TOKEN_PATH' not in environment
  assert 'RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER' not in environment
  assert not list(tmp_path.iterdir())
