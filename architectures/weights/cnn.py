"""Weights of the convolutional networks to and from torch, by a table of names.

Each array's name and layout follow from what it is: a kernel, a scale, a statistic.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from ..cnn.convnext import ConvNeXt
from ..cnn.convnext_v2 import ConvNeXtV2
from ..cnn.densenet import DenseNet
from ..cnn.regnet import RegNet
from ..cnn.resnet import ResNet
from .huggingface import HUGGINGFACE
from .layout import check, common_prefix, to_numpy
from .names import Name, Table
from .others import OWN
from .timm import EPSILONS, TIMM
from .torchvision import TORCHVISION

# Each library's tables, by the class of the model. The first that has a model is its
# default.
LIBRARIES: dict[str, Mapping[type[nn.Module], Table]] = {
  'torchvision': TORCHVISION,
  'timm': TIMM,
  'huggingface': HUGGINGFACE,
  'torch': OWN,
}

# Torch's name of an array, by the name here. Others are named in the tables.
ARRAYS = {
  'kernel': 'weight',
  'scale': 'weight',
  'bias': 'bias',
  'mean': 'running_mean',
  'var': 'running_var',
}
# Torch counts the batches that a normalisation has seen, and makes no use of it where
# the momentum is given.
IGNORED = 'num_batches_tracked'
# How keys are written in some files, and what they are in the tables.
_ALIASES: dict[type[nn.Module], tuple[str, str]] = {
  # Torchvision's have `norm.1` and `conv.1` for `norm1`, `conv1`.
  DenseNet: (r'(denselayer\d+\.(?:norm|conv))\.(?=\d)', r'\1'),
  # Hugging Face's, of the networks without a head.
  ConvNeXt: (r'^(?=(embeddings|encoder|layernorm)\.)', 'convnext.'),
  ConvNeXtV2: (r'^(?=(embeddings|encoder|layernorm)\.)', 'convnextv2.'),
  RegNet: (r'^(?=(embedder|encoder)\.)', 'regnet.'),
  ResNet: (r'^(?=(embedder|encoder)\.)', 'resnet.'),
}


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

  def like(self, array: Any) -> 'Array':
    """Has the shape of `array` if that differs in how many axes of size 1 end it.

    A dense layer and a 1x1 convolution are one, and libraries have it as either.
    """
    shape = tuple(np.shape(array))
    longer, shorter = sorted((shape, self.shape), key=len, reverse=True)
    alike = longer == (*shorter, *[1] * (len(longer) - len(shorter)))
    return self._replace(shape=shape) if alike else self

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
  library: str | None = None,
) -> dict[str, Any]:
  """Makes a network's variables of torch's; see `weights.from_torch`."""
  alias, name = _ALIASES.get(type(model), ('', ''))
  state_dict = {re.sub(alias, name, key): array for key, array in state_dict.items()}
  leaves = _leaves(model, input_shape)
  fresh = _under(allow_missing, leaves)
  if library is None:
    library = find_library(model, leaves, state_dict)
  table = arrays(model, leaves, library)
  _check_epsilon(model, library)
  wanted = {
    table[key].key: table[key].like(state_dict.get(table[key].key))
    for key in leaves
    if key not in fresh
  }
  ignored = {table[key].key for key in fresh}
  got = {
    key: array
    for key, array in state_dict.items()
    if key not in ignored and not key.endswith(IGNORED)
  }
  what = f"state_dict for {type(model).__name__} in {library}'s names"
  modules = {table[key].key: key.split('/', 1)[1].rpartition('/')[0] for key in leaves}
  check(what, got, wanted, {}, modules)
  values = {
    key: jnp.asarray(
      table[key].to_ours(to_numpy(state_dict[table[key].key])), leaf.dtype
    )
    for key, leaf in leaves.items()
    if key not in fresh
  }
  values |= _initial(model, input_shape, fresh)
  return unflatten_dict({key: values[key] for key in leaves}, sep='/')


def to_torch(
  model: nn.Module, variables: Mapping[str, Any], library: str | None = None
) -> dict[str, np.ndarray]:
  """Makes torch's `state_dict` of a network's variables; see `weights.to_torch`."""
  ours = flatten_dict(variables, sep='/')
  if library is None:
    library = next(iter(_tables(model, ours)))
  table = arrays(model, ours, library)
  _check_epsilon(model, library)
  return {
    table[key].key: table[key].to_theirs(np.asarray(value))
    for key, value in ours.items()
  }


def find_library(
  model: nn.Module, leaves: Mapping[str, Any], keys: Iterable[str]
) -> str:
  """Returns the library that calls the model's arrays by most of these keys.

  Of libraries with as many, it is the first.
  """
  keys = set(keys)
  prefix = common_prefix(keys)  # not the tables', where none of these keys fits
  keys |= {key.removeprefix(prefix) for key in keys}

  def count(library: str) -> int:
    return len(keys & {array.key for array in arrays(model, leaves, library).values()})

  return max(_tables(model, leaves), key=count)


def arrays(
  model: nn.Module, leaves: Mapping[str, Any], library: str
) -> dict[str, Array]:
  """Returns a library's arrays, by the keys here.

  Args:
    model: the network.
    leaves: its variables by path, such as `params/head/dense/bias`, or their shapes.
    library: one of `LIBRARIES`.

  Raises:
    ValueError: no library has the model or all of its modules, or this one has not; or
      two names of its table are for one module.
  """
  tables = _tables(model, leaves)
  if library not in tables:
    raise ValueError(
      f'library: got {library!r}, expected one of {", ".join(tables)} for '
      f'{type(model).__name__}'
    )
  found = {}
  for key, leaf in leaves.items():
    leaf_name = key.rpartition('/')[2]
    matches = _matches(tables[library], key)
    if len(matches) != 1:
      raise ValueError(
        f'{_named(key)}: got {len(matches)} names in {library}, expected one'
      )
    (name, match), *_ = matches
    theirs = name.name(match, model) if callable(name.name) else match.expand(name.name)
    if match.string != key.partition('/')[2]:  # the name is its module's
      theirs = f'{theirs}.{ARRAYS[leaf_name]}'
    ndim = len(leaf.shape)
    axes = tuple(range(ndim))
    if leaf_name == 'kernel':  # torch has the output channels first, then the inputs'
      axes = (*range(2, ndim), 1, 0)
    reshaped = tuple(leaf.shape[i] for i in np.argsort(axes))
    shape = reshaped
    theirs_ndim = name.ndim(model) if callable(name.ndim) else name.ndim
    if theirs_ndim is not None and leaf_name != 'bias':
      last = theirs_ndim - 1
      shape = (*reshaped, *[1] * theirs_ndim)[:last]
      shape = (*shape, math.prod(reshaped[last:]))
    shape = (1,) * name.before + shape
    found[key] = Array(theirs, shape, reshaped, axes)
  return found


def _named(key: str) -> str:
  """Returns the path of what a table usually names of a leaf: its module, or itself."""
  _, _, path = key.partition('/')
  module, _, leaf_name = path.rpartition('/')
  return module if leaf_name in ARRAYS else path


def _matches(table: Table, key: str) -> list[tuple[Name, re.Match[str]]]:
  """Returns the names of a leaf's module; without one, those of the leaf itself."""
  for path in (_named(key), key.partition('/')[2]):
    found = [(name, re.fullmatch(name.pattern, path)) for name in table]
    if matches := [(name, match) for name, match in found if match]:
      return matches
  return []


def _tables(model: nn.Module, leaves: Mapping[str, Any]) -> dict[str, Table]:
  """Returns the tables that name all of the model's modules, by library."""
  tables = {
    library: tables[type(model)]
    for library, tables in LIBRARIES.items()
    if type(model) in tables
  }
  if not tables:
    known = sorted({cls.__name__ for tables in LIBRARIES.values() for cls in tables})
    raise ValueError(
      f'model: got {type(model).__name__}, expected one of {", ".join(known)}'
    )
  unnamed = {
    library: dict.fromkeys(_named(key) for key in leaves if not _matches(table, key))
    for library, table in tables.items()
  }
  if all(unnamed.values()):
    lacks = (f'{library} has no {", ".join(p)}' for library, p in unnamed.items())
    raise ValueError(f'model: got {type(model).__name__}; {"; ".join(lacks)}')
  return {library: tables[library] for library in tables if not unnamed[library]}


def _check_epsilon(model: Any, library: str) -> None:
  """Refuses a model that normalises otherwise than timm's."""
  expected = EPSILONS.get(type(model))
  if library != 'timm' or expected is None:
    return
  epsilon = getattr(model.norm, 'keywords', {}).get('epsilon', 1e-5)
  if epsilon != expected:
    raise ValueError(
      f'norm: got an epsilon of {epsilon}, expected {expected} as in timm: build the '
      f'model with norm=partial(BatchNorm, epsilon={expected})'
    )


def _under(modules: Sequence[str], leaves: Mapping[str, Any]) -> set[str]:
  """Returns the keys of the leaves in these modules, or in those that begin so."""
  legal = dict.fromkeys(key.split('/')[1].partition('_')[0] for key in leaves)
  if isinstance(modules, str):
    raise ValueError(
      f'allow_missing: got {modules!r}, expected a sequence such as ({modules!r},), of '
      f'some of {", ".join(legal)}'
    )
  found = set()
  for module in modules:
    under = (f'{module}/', f'{module}_')
    keys = {key for key in leaves if key.partition('/')[2].startswith(under)}
    if not keys:
      raise ValueError(
        f'allow_missing: got {modules!r}, where {module!r} is no module; expected some '
        f'of {", ".join(legal)}'
      )
    found |= keys
  return found


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
