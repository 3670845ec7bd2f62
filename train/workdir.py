"""What a run leaves on disk, and how a trained model comes back from it.

`config.json`: what ran. `classes.json`: the names of what the model predicts.
`metrics.jsonl`: a JSON object a line. `checkpoints/`, `tensorboard/`, and PNGs.
"""

import json
import os
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from .. import architectures
from . import tasks
from .checkpoint import Checkpoints
from .errors import ConfigError, blame


def claim(workdir: str, config: ml_collections.ConfigDict) -> None:
  """Makes the folder this run's, or finds that it is already.

  Raises:
    ConfigError: it can't be written, holds the run of another config, or holds files
      that no run of ours made.
  """
  ours = json.loads(config_json(config))
  try:
    os.makedirs(workdir, exist_ok=True)
    if not os.access(workdir, os.W_OK | os.X_OK):
      raise PermissionError(13, 'Permission denied')
  except OSError as e:
    raise ConfigError(
      f'--workdir: {workdir!r} is not a folder that can be written: {e.strerror}'
    ) from e
  path = os.path.join(workdir, 'config.json')
  if not os.path.exists(path):
    # Written whole or not at all: a kill here must not leave half a config behind.
    with open(path + '.new', 'w') as f:
      f.write(config_json(config))
    os.replace(path + '.new', path)
    return
  theirs = _read_json(path)
  if ours != theirs:
    here, there = _flat(ours), _flat(theirs)
    differ = [
      f'config.{k} is {there.get(k)!r} there and {here.get(k)!r} here'
      for k in sorted(here.keys() | there.keys())
      if here.get(k) != there.get(k)
    ]
    more = f' and {len(differ) - 4} more' if len(differ) > 4 else ''
    raise ConfigError(
      f'--workdir: {workdir!r} holds the run of another config: '
      f'{"; ".join(differ[:4])}{more}. Give another --workdir, or the same values'
    )


def config_json(config: ml_collections.ConfigDict) -> str:
  """Returns a config as indented JSON with sorted keys."""
  return json.dumps(config.to_dict(), indent=2, sort_keys=True) + '\n'


def read_config(workdir: str) -> ml_collections.ConfigDict:
  """Returns the config of the run in `workdir`, locked."""
  path = os.path.join(workdir, 'config.json')
  if not os.path.exists(path):
    raise ConfigError(f'--workdir: {workdir!r} holds no run (no config.json)')
  return ml_collections.ConfigDict(_read_json(path)).lock()


def build_model(config: ml_collections.ConfigDict, classes: tuple[str, ...]) -> Any:
  """Builds the model of a config, with as many outputs as there are classes."""
  fields = {
    k: tuple(v) if isinstance(v, list | tuple) else v
    for k, v in config.model.items()
    if k != 'name'
  }
  task = tasks.get(config.task)
  with blame('config.model'):
    if config.model.name not in architectures.names():
      architectures.build(config.model.name)  # says what is known
    return architectures.build(
      config.model.name, **fields, **{task.size_field: len(classes)}
    )


def write_classes(workdir: str, classes: tuple[str, ...], inputs: Any) -> None:
  """Notes what a model needs to be built again: its classes and its input."""
  form = {'shape': list(inputs.shape), 'dtype': str(inputs.dtype)}
  with open(os.path.join(workdir, 'classes.json'), 'w') as f:
    json.dump({'classes': list(classes), 'inputs': form}, f)


def read_classes(workdir: str) -> tuple[str, ...]:
  """Returns the names of the classes that the run's model predicts."""
  return tuple(_read_json(os.path.join(workdir, 'classes.json'))['classes'])


def restore(workdir: str) -> tuple[Any, dict[str, Any]]:
  """Returns a trained model and its variables, from the newest checkpoint of a run.

  They lie on one device, whatever the run was trained on:

      model, variables = convscan.train.restore('runs/digits')
      logits = model.apply(variables, images, train=False)

  Raises:
    ConfigError: the folder holds no run, or no checkpoint yet.
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
  checkpoints = Checkpoints(workdir, config.keep_checkpoints)
  try:
    step = checkpoints.latest_step()
    if step is None:
      raise ConfigError(f'--workdir: {workdir!r} holds no checkpoint yet')
    return model, checkpoints.restore_variables(step, like)
  finally:
    checkpoints.close()


def _read_json(path: str) -> Any:
  with open(path) as f:
    try:
      return json.load(f)
    except json.JSONDecodeError as e:
      raise ConfigError(f'{path!r} is not JSON: {e}') from e


def _flat(tree: Any, prefix: str = '') -> dict[str, Any]:
  if not isinstance(tree, dict):
    return {prefix: tree}
  return {
    k: v
    for name, sub in tree.items()
    for k, v in _flat(sub, f'{prefix}.{name}' if prefix else name).items()
  }
