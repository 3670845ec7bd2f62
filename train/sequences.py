"""What sequences add to a step: their lengths, and a state that goes from step to step.

A batch with `lengths` gives the model `seq_lengths`. With `config.carry_state` each
batch goes on where the one before it ended, and so does the model: the state in which
it ended is the next one's `initial_carry`, save where the batch's `resets` say that a
text begins. No gradient goes back into the batch before (truncated back-propagation
through time, Williams and Peng 1990).
"""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

import jax
import ml_collections

from .. import data
from .errors import ConfigError


def check_batches(config: ml_collections.ConfigDict, dataset: Any) -> None:
  """Refuses batches that can't be made of a dataset.

  Raises:
    ConfigError: batches can't be as `length_buckets` or `carry_state` say.
  """
  source = dataset.splits['train']
  name, buckets = config.data.name, config.length_buckets
  if buckets < 0:
    raise ConfigError(f'config.length_buckets: {buckets}; expected 0 or more')
  if buckets and 'lengths' not in source[0]:
    raise ConfigError(
      f'config.length_buckets: {buckets}; expected 0, since the examples of {name!r} '
      'have no lengths'
    )
  if config.carry_state and not isinstance(source, data.StreamWindows):
    raise ConfigError(
      f'config.carry_state: True; expected False, since {name!r} is no stream of text '
      'for a language model'
    )


def check_model(config: ml_collections.ConfigDict, dataset: Any, model: Any) -> None:
  """Refuses a model that can't do what the data or the config want.

  Raises:
    ConfigError: the data has lengths or a state is to be carried, and the model takes
      none.
  """
  has_lengths = 'lengths' in dataset.splits['train'][0]
  name = config.data.name
  takes = inspect.signature(type(model).__call__).parameters
  for wanted, arguments, why in [
    (has_lengths, ['seq_lengths'], f'as the examples of {name!r} have lengths'),
    (config.carry_state, ['initial_carry', 'return_carry', 'resets'],
     'for config.carry_state: True'),
  ]:  # fmt: skip
    if missing := [a for a in arguments if wanted and a not in takes]:
      raise ConfigError(
        f'config.model: {config.model.name!r} does not take {", ".join(missing)}; '
        f'expected one that does, {why}'
      )


def carry_shapes(model: Any, variables: Any, tokens: jax.ShapeDtypeStruct) -> Any:
  """Returns the shapes and dtypes of the state that a model carries.

  Args:
    model: a model that takes `return_carry`.
    variables: its variables, or their shapes.
    tokens: the shape and dtype of a batch's inputs.
  """
  apply = functools.partial(model.apply, train=False, return_carry=True)
  carry, _ = jax.eval_shape(apply, variables, tokens)
  return carry


def arguments(batch: Mapping[str, Any]) -> dict[str, Any]:
  """Returns what the model is called with, for a batch, besides its inputs.

  >>> arguments({'inputs': 0, 'lengths': 1})
  {'seq_lengths': 1}
  """
  given: dict[str, Any] = {}
  if 'lengths' in batch:
    given['seq_lengths'] = batch['lengths']
  if 'carry' in batch:
    given |= {'initial_carry': batch['carry'], 'resets': batch['resets']}
    given['return_carry'] = True
  return given
