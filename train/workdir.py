"""What a run leaves on disk, and how a trained model comes back from it.

`config.json`: what ran. `classes.json`: the names of what the model predicts, its
inputs, and the folder that the run was started in.
`metrics.jsonl`: a JSON object a line. `checkpoints/`, `tensorboard/`, and PNGs.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from .. import architectures
from ..configs import base
from ..data import DataError
from . import tasks
from .checkpoint import latest_step, restore_variables
from .errors import ConfigError, blame
from .files import flat, write
from .metrics import logger

# What may be another value when a run goes on: it is no part of what is trained, or,
# as where that is computed, of its last bits alone.
_FREE = {
  'checkpoint_every_steps',
  'data.data_dir',
  'eval_every_steps',
  'eval_split',
  'keep_checkpoints',
  'log_every_steps',
  'mesh.data',
  'mesh.fsdp',
  'mesh.fsdp_min_size',
  'num_reader_workers',
  'on_bad_example',
  'profile',
  'sample.length',
  'sample.temperature',
}
# What a run that was killed while it claimed its folder may leave.
_UNFINISHED = {'classes.json', 'classes.json.new', 'config.json.new'}


def claim(
  workdir: str, config: ml_collections.ConfigDict, classes: tuple[str, ...], inputs: Any
) -> None:
  """Makes the folder this run's, or finds that it is already.

  A run may go on with other values of what changes nothing that is trained but by
  rounding, such as `log_every_steps` and the mesh. They are logged, and noted in
  `config.json`.

  Args:
    workdir: the folder; made if it does not exist.
    config: what runs.
    classes: the names of what the model predicts.
    inputs: one example's input, for its shape and dtype.

  Raises:
    ConfigError: the folder is a URL, can't be written, holds the run of another config
      or other classes, or holds files that are not a run's. They are left as they are.
  """
  if '://' in workdir:  # a folder `gs:` would be made here, and lost with this machine
    raise ConfigError(
      f'--workdir: {workdir!r} is a URL; expected a folder. Mount the bucket, as '
      'docs/cloud_tpu.md says'
    )
  form = {'shape': list(inputs.shape), 'dtype': str(inputs.dtype)}
  ours = json.loads(config_json(config))
  noted = {'classes': list(classes), 'inputs': form}
  try:
    os.makedirs(workdir, exist_ok=True)
    foreign = set(os.listdir(workdir)) - _UNFINISHED
    if os.path.exists(os.path.join(workdir, 'config.json')):
      changed = _compare(workdir, ours, noted)
      if changed and jax.process_index() == 0:
        logger().info('from here on %s', '; '.join(changed))
        write(os.path.join(workdir, 'config.json'), config_json(config))
    elif foreign:
      raise ConfigError(
        f'--workdir: {workdir!r} is no run, but holds '
        f'{", ".join(sorted(foreign)[:4])}. Give a new or empty folder'
      )
    elif jax.process_index() == 0:
      # The config last: where it is, the other file is too.
      place = {'folder': os.getcwd()}  # to which relative paths of the config belong
      write(os.path.join(workdir, 'classes.json'), json.dumps(noted | place) + '\n')
      write(os.path.join(workdir, 'config.json'), config_json(config))
    if not os.access(workdir, os.W_OK | os.X_OK):
      raise PermissionError(13, 'Permission denied')
  except OSError as e:
    raise ConfigError(
      f'--workdir: {workdir!r} is not a folder that can be written: {e.strerror}'
    ) from e


def _compare(workdir: str, ours: Any, noted: Any) -> list[str]:
  """Refuses the run of another config; returns what is free to differ, and does."""
  theirs = json.loads(config_json(read_config(workdir)))
  here, there = flat(ours), flat(theirs)
  schedule, free = ours['optimizer']['schedule'], _FREE
  if schedule == 'constant':
    free = free | {'num_train_steps'}
  keys = sorted(k for k in here.keys() | there.keys() if here.get(k) != there.get(k))
  differ = [
    f'config.{k} is {there.get(k)!r} there and {here.get(k)!r} here'
    for k in keys
    if k not in free
  ]
  if differ:
    more = f' and {len(differ) - 4} more' if len(differ) > 4 else ''
    why = ''
    if 'num_train_steps' in keys and schedule != 'constant':
      why = f' The learning rate of schedule {schedule!r} depends on num_train_steps.'
    raise ConfigError(
      f'--workdir: {workdir!r} holds the run of another config: '
      f'{"; ".join(differ[:4])}{more}.{why} Give another --workdir, or the same values'
    )
  saved, last = latest_step(workdir), ours['num_train_steps']
  if saved is not None and saved > last:
    raise ConfigError(
      f'config.num_train_steps: {last}; expected {saved} or more, since step {saved} '
      f'is saved in {workdir!r}'
    )
  was = _read_json(os.path.join(workdir, 'classes.json'))
  if any(was.get(key) != value for key, value in noted.items()):
    raise ConfigError(
      f'--workdir: {workdir!r} was trained on other classes or inputs than the dataset '
      f'{ours["data"]["name"]!r} has here'
    )
  return [f'config.{k} is {here.get(k)!r}, not {there.get(k)!r}' for k in keys]


def config_json(config: ml_collections.ConfigDict) -> str:
  """Returns a config as indented JSON with sorted keys."""
  return json.dumps(config.to_dict(), indent=2, sort_keys=True) + '\n'


def read_config(workdir: str) -> ml_collections.ConfigDict:
  """Returns the config of the run in `workdir`, locked.

  Keys that came after it was written have their defaults.
  """
  path = os.path.join(workdir, 'config.json')
  if not os.path.exists(path):
    raise ConfigError(f'--workdir: {workdir!r} holds no run (no config.json)')
  config = base.get_config().unlock()
  with config.ignore_type():
    config.update(_read_json(path))
  return config.lock()


def build_model(config: ml_collections.ConfigDict, classes: tuple[str, ...]) -> Any:
  """Builds the model of a config, with as many outputs as there are classes."""
  fields = {
    k: tuple(v) if isinstance(v, list | tuple) else v
    for k, v in config.model.items()
    if k != 'name'
  }
  task = tasks.get(config.task)
  with blame('config.model'):
    return architectures.build(
      config.model.name, **fields, **{task.size_field: len(classes)}
    )


def read_classes(workdir: str) -> tuple[str, ...]:
  """Returns the names of the classes that the run's model predicts."""
  return tuple(_read_json(os.path.join(workdir, 'classes.json'))['classes'])


@contextlib.contextmanager
def started_in(workdir: str, config: ml_collections.ConfigDict) -> Iterator[None]:
  """Says, where data can't be opened, in which folder a relative path is found."""
  try:
    yield
  except (ConfigError, DataError) as e:
    folder = _read_json(os.path.join(workdir, 'classes.json')).get('folder', '')
    for key, value in config.data.items():
      if not isinstance(value, str) or not value or os.path.exists(value):
        continue
      if os.path.exists(os.path.join(folder, value)):
        raise type(e)(
          f'{e}. config.data.{key} is {value!r}, and the run was started in {folder}: '
          'give this command there'
        ) from e
    raise


def restore(workdir: str) -> tuple[Any, dict[str, Any]]:
  """Returns a trained model and its variables, from a run's newest good checkpoint.

  They lie on one device, whatever the run was trained on:

      model, variables = convscan.train.restore('runs/digits')
      logits = model.apply(variables, images, train=False)

  Raises:
    ConfigError: the folder holds no run, or no checkpoint yet.
    CheckpointError: none of its checkpoints is good.
  """
  config = read_config(workdir)
  noted = _read_json(os.path.join(workdir, 'classes.json'))
  model = build_model(config, tuple(noted['classes']))
  inputs = jnp.zeros((1, *noted['inputs']['shape']), noted['inputs']['dtype'])
  variables = jax.eval_shape(
    lambda key: model.init(key, inputs, train=False), jax.random.key(0)
  )
  device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  like = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device),
    {'batch_stats': {}} | dict(variables),
  )
  if latest_step(workdir) is None:
    raise ConfigError(f'--workdir: {workdir!r} holds no checkpoint yet')
  return model, restore_variables(workdir, like)


def _read_json(path: str) -> Any:
  with open(path) as f:
    try:
      return json.load(f)
    except json.JSONDecodeError as e:
      raise ConfigError(f'{path!r} is not JSON: {e}') from e
