"""Small configs, and how the tests of this folder rehearse them."""

import functools
import importlib.util
import os
import subprocess
import sys

import pytest

from convscan import data
from convscan.configs import digits_lenet, pydoc_lstm
from convscan.train import loop, rehearsal
from convscan.train.topologies import Topology

needs_libtpu = pytest.mark.skipif(
  importlib.util.find_spec('libtpu') is None,
  reason='libtpu is not installed: make test-long installs it',
)


def command(*arguments):
  """Runs the command as a person does: in an environment that knows nothing of it."""
  environment = {
    k: v
    for k, v in os.environ.items()
    if k not in ('JAX_PLATFORMS', 'XLA_FLAGS', 'TF_CPP_MIN_LOG_LEVEL')
  }
  command = [sys.executable, '-m', 'convscan.train.rehearse', *arguments]
  return subprocess.run(command, env=environment, capture_output=True, text=True)


def lenet(**changes):
  """A small CNN of which every array can be halved."""
  config = digits_lenet.get_config()
  config.model.update({'filters': (8, 16), 'hidden': (32, 16), 'dropout_rate': 0.0})
  config.num_train_steps, config.optimizer.warmup_steps = 4, 0
  config.batch_size = 16
  config.mesh.fsdp_min_size = 1
  config.update(changes)
  return config


def text_lstm(**changes):
  config = pydoc_lstm.get_config()
  config.data.length = 16
  config.model.update({'embedding_features': 8, 'hidden_features': 8})
  config.num_train_steps, config.optimizer.warmup_steps = 4, 0
  config.batch_size = 8
  config.sample.length = 4
  config.carry_state = True
  config.update(changes)
  return config


def rehearse_on_cpu(config, devices=1):
  dataset = loop.build_dataset(config, data.declare)
  return rehearsal.rehearse(config, dataset, Topology('cpu', str(devices)))


@functools.cache
def needed(batch_size):
  """Returns the bytes that one device needs for a batch of the small CNN."""
  return rehearse_on_cpu(lenet(batch_size=batch_size)).needs
