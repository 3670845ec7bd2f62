"""Weights of the convolutional networks to and from torch, by a table of names.

Each array's name and layout follow from what it is: a kernel, a scale, a statistic.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from .layout import to_numpy
from .others import OTHERS
from .torchvision import TORCHVISION

# Torch's name of an array, by the name here.
ARRAYS = {
  'kernel': 'weight',
  'scale': 'weight',
  'bias': 'bias',
  'mean': 'running_mean',
  'var': 'running_var',
  'layer_scale': 'layer_scale',
}
# Torch counts the batches that a normalisation has seen, and makes no use of it where
# the momentum is given.
IGNORED = 'num_batches_tracked'
# Torchvision's files of DenseNet still have `norm.1` and `conv.1` for `norm1`, `conv1`.
_OLD = re.compile(r'(denselayer\d+\.(?:norm|conv))\.(?=\d)')


_TABLES = TORCHVISION | OTHERS


class Array(NamedTuple):
  """An array of torch's.

  Attributes:
    key: its name.
    shape: its shape, where the axes of a map may be one, and others of size 1.
    reshaped: its shape with those axes apart, and without these.
    axes: what `numpy.transpose` makes of that the array here.
  """

  key: str
  shape: tuple[int, ...]
  reshaped: tuple[int, ...]
  axes: tuple[int, ...]

  def to_ours(self, array: np.ndarray) -> np.ndarray:
    """Arranges torch's array as it is here."""
    return np.transpose(array.reshape(self.reshaped), self.axes)

  def to_theirs(self, array: np.ndarray) -> np.ndarray:
    """Undoes `to_ours`."""
    return np.transpose(array, np.argsort(self.axes)).reshape(self.shape)


def from_torch(
  model: nn.Module,
  state_dict: Mapping[str, Any],
  input_shape: Sequence[int],
  allow_missing: Sequence[str] = (),
) -> dict[str, Any]:
  """Makes a network's variables of torch's; see `weights.from_torch`."""
  state_dict = {_OLD.sub(r'\1', key): array for key, array in state_dict.items()}
  leaves = _leaves(model, input_shape)
  fresh = {key for key in leaves if _under(key, allow_missing)}
  table = {key: array for key, array in arrays(model, leaves).items()}
  wanted = {table[key].key: table[key] for key in leaves if key not in fresh}
  ignored = {table[key].key for key in fresh}
  got = {
    key: array
    for key, array in state_dict.items()
    if key not in ignored and not key.endswith(IGNORED)
  }
  _check('state_dict', model, got, {k: a.shape for k, a in wanted.items()})
  values = {
    key: jnp.asarray(
      table[key].to_ours(to_numpy(state_dict[table[key].key])), leaf.dtype
    )
    for key, leaf in leaves.items()
    if key not in fresh
  }
  values |= _initial(model, input_shape, fresh)
  return unflatten_dict({key: values[key] for key in leaves}, sep='/')


def to_torch(model: nn.Module, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Makes torch's `state_dict` of a network's variables; see `weights.to_torch`."""
  ours = flatten_dict(variables, sep='/')
  table = arrays(model, ours)
  return {
    table[key].key: table[key].to_theirs(np.asarray(value))
    for key, value in ours.items()
  }


def arrays(model: nn.Module, leaves: Mapping[str, Any]) -> dict[str, Array]:
  """Returns torch's arrays, by the keys here.

  Args:
    model: the network.
    leaves: its variables by path, such as `params/head/dense/bias`, or their shapes.

  Raises:
    ValueError: no table has the model, or the model's has no name for a module.
  """
  names = _TABLES.get(type(model))
  if names is None:
    known = ', '.join(sorted(cls.__name__ for cls in _TABLES))
    raise ValueError(f'model: got {type(model).__name__}, expected one of {known}')
  found = {}
  for key, leaf in leaves.items():
    _, _, path = key.partition('/')
    module, _, leaf_name = path.rpartition('/')
    matches = [
      (name, match) for name in names if (match := re.fullmatch(name.pattern, module))
    ]
    if len(matches) != 1:
      raise ValueError(f'{module}: got {len(matches)} names in torch, expected one')
    (name, match), *_ = matches
    theirs = name.name(match, model) if callable(name.name) else match.expand(name.name)
    ndim = len(leaf.shape)
    axes = tuple(range(ndim))
    if leaf_name == 'kernel':  # torch has the output channels first, then the inputs'
      axes = (*range(2, ndim), 1, 0)
    reshaped = tuple(leaf.shape[i] for i in np.argsort(axes))
    shape = reshaped
    if name.flat and leaf_name == 'kernel':
      shape = (shape[0], math.prod(shape[1:]))
    elif leaf_name == 'layer_scale':  # of a map with its channels first
      shape = (*shape, 1, 1)
    found[key] = Array(f'{theirs}.{ARRAYS[leaf_name]}', shape, reshaped, axes)
  return found


def _under(key: str, prefixes: Sequence[str]) -> bool:
  path = key.split('/')[1:]
  return any(path[: len(p)] == p for p in (prefix.split('/') for prefix in prefixes))


def _leaves(
  model: nn.Module, input_shape: Sequence[int]
) -> dict[str, jax.ShapeDtypeStruct]:
  images = jax.ShapeDtypeStruct(tuple(input_shape), jnp.float32)
  variables = jax.eval_shape(
    lambda x: model.init(jax.random.key(0), x, train=False), images
  )
  return flatten_dict(variables, sep='/')


def _initial(
  model: nn.Module, input_shape: Sequence[int], keys: set[str]
) -> dict[str, jax.Array]:
  """Initialises the variables of these keys."""
  if not keys:
    return {}

  def init(key: jax.Array) -> dict[str, jax.Array]:
    images = jnp.zeros(tuple(input_shape))
    leaves = flatten_dict(model.init(key, images, train=False), sep='/')
    return {key: leaves[key] for key in keys}

  return jax.jit(init)(jax.random.key(0))


def _check(
  what: str,
  model: nn.Module,
  got: Mapping[str, Any],
  expected: Mapping[str, tuple[int, ...]],
) -> None:
  """Names every key that is missing, unexpected or of another shape."""
  problems = [
    *(f'{key}: missing' for key in expected if key not in got),
    *(f'{key}: unexpected' for key in got if key not in expected),
    *(
      f'{key}: got shape {tuple(got[key].shape)}, expected {shape}'
      for key, shape in expected.items()
      if key in got and tuple(got[key].shape) != shape
    ),
  ]
  if problems:
    raise ValueError(
      f'{what} for {type(model).__name__}: {len(problems)} of {len(expected)} keys do '
      'not fit: ' + '; '.join(problems)
    )
