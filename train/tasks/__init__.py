"""What can be trained: one file a task, found by the name that a dataset gives."""

import importlib
from typing import Any

import numpy as np

from ..errors import ConfigError, choose
from .losses import LOSSES
from .task import Options, Task

NAMES = (
  'classification',
  'forecasting',
  'language_model',
  'regression',
  'segmentation',
  'tagging',
)


def get(name: str, options: Options = Options()) -> Task:  # noqa: B008 (it is frozen)
  """Returns a task by its name, that of its file.

  >>> get('classification').size_field
  'num_classes'

  Raises:
    ConfigError: an unknown name.
  """
  choose('config.task', name, NAMES)
  return importlib.import_module(f'.{name}', __name__).make(options)


def build(config: Any, dataset: Any) -> Task:
  """Returns the task of a config, with its loss, for a dataset.

  Raises:
    ConfigError: a key of `config.loss` can't be used, or the model reads fewer tokens
      than the dataset has.
  """
  _check_vocabulary(config, dataset)
  loss, classes = config.loss, dataset.classes
  numbers = config.task in ('regression', 'forecasting')
  choose('config.loss.name', loss.name, LOSSES)
  if not loss.delta > 0:
    raise ConfigError(f'config.loss.delta: {loss.delta}; expected more than 0')
  if not 0 <= loss.label_smoothing < 1:
    raise ConfigError(
      f'config.loss.label_smoothing: {loss.label_smoothing}; expected 0 or more and '
      'less than 1'
    )
  weights = tuple(loss.class_weights)
  if weights and not numbers and len(weights) != len(classes):
    raise ConfigError(
      f'config.loss.class_weights: {len(weights)} weights; expected {len(classes)}, '
      f'one for each class of {config.data.name!r}, or () for none'
    )
  plain = all(isinstance(w, int | float) and 0 <= w < float('inf') for w in weights)
  if not plain or (weights and not any(weights)):
    raise ConfigError(
      f'config.loss.class_weights: {weights}; expected 0 or more, and not 0 alone'
    )
  for key in ('label_smoothing', 'class_weights'):
    if numbers and loss[key]:
      raise ConfigError(
        f'config.loss.{key}: {loss[key]}; expected {type(loss[key])()}, since '
        f'{config.task} has no classes'
      )
  return get(
    config.task,
    Options(
      label_smoothing=loss.label_smoothing,
      class_weights=tuple(map(float, weights)),
      loss=loss.name,
      delta=loss.delta,
      origin=_origin(dataset) if numbers else 0.0,
      unit=dataset.tokens.unit,
    ),
  )


def _check_vocabulary(config: Any, dataset: Any) -> None:
  size, source = config.model.get('vocab_size'), dataset.splits['train']
  if not size:
    return
  # Inside of jit a token out of range is no error, and means nothing.
  if dataset.vocabulary:
    tokens = len(dataset.vocabulary)
  else:  # as far as some examples tell
    some = np.linspace(0, len(source) - 1, min(len(source), 64)).astype(int)
    tokens = 1 + max(int(source[int(i)]['inputs'].max()) for i in some)
  if size < tokens:
    raise ConfigError(
      f'config.model.vocab_size: {size}; expected {tokens} or more, the tokens of '
      f'{config.data.name!r}'
    )


def _origin(dataset: Any) -> Any:
  """Returns a number for each output, of the size that its targets have."""
  return dataset.splits['test'][0]['targets'].reshape(-1, len(dataset.classes))[0]


def check_outputs(config: Any, outputs: Any, dataset: Any) -> None:
  """Refuses a model whose outputs do not fit the targets.

  Args:
    config: a complete experiment.
    outputs: what the model gives for a batch, for its shape.
    dataset: the dataset.

  Raises:
    ConfigError: the shape is not that of an example's weights, and an axis of classes
      or of numbers.
  """
  expected = (*dataset.splits['train'][0]['weights'].shape, len(dataset.classes))
  if outputs.shape[1:] != expected:
    horizons = [
      f'config.{part}.horizon is {config[part].horizon}'
      for part in ('model', 'data')
      if 'horizon' in config[part]
    ]
    why = f'; {" and ".join(horizons)}' if horizons else ''
    raise ConfigError(
      f'config.model: {config.model.name!r} gives {outputs.shape[1:]} an example; '
      f'expected {expected}, for {config.task} on {config.data.name!r}{why}'
    )
