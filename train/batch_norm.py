"""Which statistics the batch norms of a model use in training."""

import functools
from typing import Any

from ..architectures.layers import BatchNorm
from .errors import ConfigError, choose


def normalise_by(statistics: str, model: Any, examples: int) -> Any:
  """Returns the model with its batch norms as `config.batch_norm` says.

  Args:
    statistics: 'synchronised', 'per_device' or 'frozen'.
    model: a Linen module.
    examples: how many examples a device has at once.

  Raises:
    ConfigError: another name, or a model whose norms can't be told.
  """
  fields: dict[str, dict[str, Any]] = {
    'synchronised': {},
    'per_device': {'ghost_batch': examples},
    'frozen': {'frozen': True},
  }
  key = 'config.batch_norm'
  changes = fields[choose(key, statistics, fields)]
  if not changes:
    return model
  norm: Any = getattr(model, 'norm', None)
  if getattr(norm, 'func', norm) is not BatchNorm:
    raise ConfigError(
      f'{key}: {statistics!r}; {type(model).__name__} has no batch norms, for which '
      "'synchronised' is the value to give"
    )
  return model.clone(norm=functools.partial(norm, **changes))
