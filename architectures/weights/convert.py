"""Weights to and from other libraries, without importing them.

Every function is strict: a key that is missing, a key too many or a wrong shape is an
error that names it, and so is a model that the other library does not have. What the
weights cannot tell is the caller's to match: activations (`torch.nn.RNN` with `relu` is
`ElmanCell(activation_fn=nn.relu)`), the direction of a lone layer (`reverse`, Keras'
`go_backwards`), how directions merge and layers connect, flax's `residual`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from ..cnn.network import Network
from ..cnn.tcn import TemporalConvNet
from . import cnn
from .layout import Layout, check, convert, to_numpy
from .rnn import FLAX, KERAS, TORCH, Library, describe, layouts


def from_torch(
  model: nn.Module,
  state_dict: Mapping[str, Any],
  input_shape: Sequence[int],
  allow_missing: Sequence[str] = (),
  library: str | None = None,
) -> dict[str, Any]:
  """Makes a model's variables of torch's.

  Where torch has two biases and the model one, it is their sum.

  Args:
    model: a convolutional network that a library here has; or an `RNN`, a
      `Bidirectional` of two, or a `Stack` of these, as `torch.nn.RNN`, `torch.nn.LSTM`
      or `torch.nn.GRU` makes it.
    state_dict: that module's `state_dict()`, of tensors or of numpy arrays.
    input_shape: shape of the model's inputs, such as `(1, 1, features)` or
      `(1, 224, 224, 3)`.
    allow_missing: modules of a convolutional network, such as `('head',)` for another
      number of classes, that are initialised (from `jax.random.key(0)`), whatever the
      state has for them. A name stands for all that begin so, up to a `_`: `'stage1'`
      for `stage1_block0`; a path, such as `'head/dense'`, for a module in a module.
    library: whose names the state of a convolutional network has: 'torchvision',
      'timm', 'huggingface', or 'torch' for those of none of these. By default that
      whose names most of the keys are.

  Returns:
    `{'params': ...}`, as `model.init` gives it, in the model's `param_dtype`, with
    `'batch_stats'` where it normalises by these.

  Raises:
    ValueError: the state does not fit the model, or nothing in torch is equal to it.
      The message names every key that is missing, unexpected or of another shape.

  >>> from convscan.architectures import weights
  >>> from convscan.architectures.rnn import RNN, ElmanCell
  >>> state = {'weight_ih_l0': np.ones((4, 3)), 'weight_hh_l0': np.ones((4, 4))}
  >>> state |= {'bias_ih_l0': np.ones(4), 'bias_hh_l0': np.ones(4)}
  >>> variables = weights.from_torch(RNN(ElmanCell(4)), state, (1, 1, 3))
  >>> variables['params']['cell']['bias']
  Array([2., 2., 2., 2.], dtype=float32)
  """
  if isinstance(model, Network | TemporalConvNet):
    return cnn.from_torch(model, state_dict, input_shape, allow_missing, library)
  if allow_missing:
    raise ValueError(
      f'allow_missing: got {allow_missing}, expected () for {describe(model)}'
    )
  _check_library(model, library)
  return _read(model, TORCH, 'state_dict', state_dict, input_shape)


def to_torch(
  model: nn.Module, variables: Mapping[str, Any], library: str | None = None
) -> dict[str, np.ndarray]:
  """Makes torch's `state_dict` of a model's variables; undoes `from_torch`.

  Where torch has two biases for one, `bias_ih` is it and `bias_hh` is zero. So
  `from_torch` gives the same variables back, and a `state_dict` that came from torch
  changes in its biases but not in what it computes.

  Args:
    model: as for `from_torch`.
    variables: its variables.
    library: whose names a convolutional network's arrays get; by default those of the
      first of the three that has it, which is mostly torchvision.

  Returns:
    Arrays for `load_state_dict`, by key, after `torch.from_numpy`. They are of the
    parameters' dtype, or of float32 where torch's numpy has no such dtype (bfloat16).

  Raises:
    ValueError: the variables do not fit the model, or nothing in torch is equal to it.

  >>> from convscan.architectures import weights
  >>> from convscan.architectures.rnn import RNN, GRUCell
  >>> rnn = RNN(GRUCell(4))
  >>> variables = rnn.init(jax.random.key(0), jnp.ones((1, 1, 3)))
  >>> {key: array.shape for key, array in weights.to_torch(rnn, variables).items()}
  {'weight_ih_l0': (12, 3), 'weight_hh_l0': (12, 4),
   'bias_ih_l0': (12,), 'bias_hh_l0': (12,)}
  """
  if isinstance(model, Network | TemporalConvNet):
    state = cnn.to_torch(model, variables, library)
  else:
    _check_library(model, library)
    state = _write(TORCH, model, variables)
  # In C order, for safetensors writes an array's memory as it lies.
  return {
    key: array.astype(jnp.promote_types(array.dtype, np.float16), order='C')
    for key, array in state.items()
  }


def from_flax(
  model: nn.Module, params: Mapping[str, Any], input_shape: Sequence[int]
) -> dict[str, Any]:
  """Makes a model's variables of those of a `flax.linen.RNN`.

  Args:
    model: an `RNN`, a `Bidirectional` of two, or a `Stack` of these.
    params: parameters of `flax.linen.RNN` over a `SimpleCell`, `LSTMCell`,
      `OptimizedLSTMCell`, `GRUCell` or `MGUCell`, of a `flax.linen.Bidirectional` of
      two, or of a `flax.linen.Sequential` of these.
    input_shape: shape of the model's inputs, such as `(1, 1, features)`.

  Returns:
    `{'params': ...}`, as `model.init` gives it, in the model's `param_dtype`.

  Raises:
    ValueError: the tree does not fit the model, or nothing in flax is equal to it.

  >>> from convscan.architectures import weights
  >>> from convscan.architectures.rnn import RNN, LSTMCell
  >>> x = jnp.ones((1, 1, 3))
  >>> theirs = nn.RNN(nn.LSTMCell(4)).init(jax.random.key(0), x)
  >>> variables = weights.from_flax(RNN(LSTMCell(4)), theirs['params'], x.shape)
  >>> variables['params']['cell']['kernel'].shape
  (3, 16)
  """
  return _read(model, FLAX, 'params', flatten_dict(params, sep='/'), input_shape)


def to_flax(model: nn.Module, variables: Mapping[str, Any]) -> dict[str, Any]:
  """Makes the parameters of a `flax.linen.RNN`; undoes `from_flax`.

  Args:
    model: as for `from_flax`.
    variables: its variables.

  Returns:
    The tree, of numpy arrays.

  Raises:
    ValueError: the variables do not fit the model, or nothing in flax is equal to it.

  >>> from convscan.architectures import weights
  >>> from convscan.architectures.rnn import RNN, ElmanCell
  >>> rnn, x = RNN(ElmanCell(4)), jnp.ones((1, 1, 3))
  >>> tree = weights.to_flax(rnn, rnn.init(jax.random.key(0), x))
  >>> nn.RNN(nn.SimpleCell(4)).apply({'params': tree}, x).shape
  (1, 1, 4)
  """
  return unflatten_dict(_write(FLAX, model, variables), sep='/')


def from_keras(
  model: nn.Module, weights: Sequence[Any], input_shape: Sequence[int]
) -> dict[str, Any]:
  """Makes a model's variables of a Keras 3 layer's weights.

  Keras' GRU is `GRUCell` with `reset_after=True`, its default, and `ResetBeforeGRUCell`
  without; neither converts to the other. Two biases for one are summed.

  Args:
    model: an `RNN`, a `Bidirectional` of two, or a `Stack` of these.
    weights: `get_weights()` of a `SimpleRNN`, `LSTM` or `GRU`, of a `Bidirectional`,
      or of a `Sequential` of these.
    input_shape: shape of the model's inputs, such as `(1, 1, features)`.

  Returns:
    `{'params': ...}`, as `model.init` gives it, in the model's `param_dtype`.

  Raises:
    ValueError: the weights do not fit the model, or nothing in Keras is equal to it.

  >>> from convscan.architectures import weights
  >>> from convscan.architectures.rnn import RNN, ElmanCell
  >>> layer = [np.ones((3, 4)), np.ones((4, 4)), np.ones(4)]
  >>> variables = weights.from_keras(RNN(ElmanCell(4)), layer, (1, 1, 3))
  >>> variables['params']['cell']['bias']
  Array([1., 1., 1., 1.], dtype=float32)
  """
  keys = list(layouts(model, KERAS)[1])
  keys += [f'weights[{i}]' for i in range(len(keys), len(weights))]
  arrays = dict(zip(keys, weights, strict=False))
  return _read(model, KERAS, 'weights', arrays, input_shape)


def to_keras(model: nn.Module, variables: Mapping[str, Any]) -> list[np.ndarray]:
  """Makes the weights of a Keras 3 layer; undoes `from_keras`.

  Args:
    model: as for `from_keras`.
    variables: its variables.

  Returns:
    Arrays for the layer's `set_weights`. Where it has two biases for one, the second
    is zero.

  Raises:
    ValueError: the variables do not fit the model, or nothing in Keras is equal to it.

  >>> from convscan.architectures import weights
  >>> from convscan.architectures.rnn import RNN, GRUCell
  >>> rnn = RNN(GRUCell(4))
  >>> variables = rnn.init(jax.random.key(0), jnp.ones((1, 1, 3)))
  >>> [array.shape for array in weights.to_keras(rnn, variables)]
  [(3, 12), (4, 12), (2, 12)]
  """
  return list(_write(KERAS, model, variables).values())


def _check_library(model: nn.Module, library: str | None) -> None:
  if library not in (None, 'torch'):
    raise ValueError(
      f"library: got {library!r}, expected 'torch' for {describe(model)}"
    )


def _read(
  model: nn.Module,
  library: Library,
  what: str,
  arrays: Mapping[str, Any],
  input_shape: Sequence[int],
) -> dict[str, Any]:
  here, there = layouts(model, library)
  ours = _expected(model, input_shape, here)
  # The same conversion of zeros tells the shapes to expect.
  zeros = {key: np.zeros(leaf.shape, np.int8) for key, leaf in ours.items()}
  theirs = convert(zeros, here, there)
  check(f'{what} for {describe(model)}', arrays, theirs, there)
  got = convert({key: to_numpy(a) for key, a in arrays.items()}, there, here)
  return unflatten_dict(
    {key: jnp.asarray(got[key], leaf.dtype) for key, leaf in ours.items()}, sep='/'
  )


def _write(
  library: Library, model: nn.Module, variables: Mapping[str, Any]
) -> dict[str, np.ndarray]:
  here, there = layouts(model, library)
  arrays = flatten_dict(variables, sep='/')
  # The size of the inputs is known to the first layer's kernel alone.
  first = np.shape(arrays.get(next(iter(here)), ()))
  inputs = first[0] if len(first) == 2 else 1
  ours = _expected(model, (1, 1, inputs), here)
  check(f'variables of {describe(model)}', arrays, ours, here)
  return convert({key: np.asarray(a) for key, a in arrays.items()}, here, there)


def _expected(
  model: nn.Module, input_shape: Sequence[int], layout: Layout
) -> dict[str, jax.ShapeDtypeStruct]:
  """Returns the shapes and dtypes of a model's variables, by the keys of its layout."""
  inputs = jax.ShapeDtypeStruct(tuple(input_shape), jnp.float32)
  leaves = flatten_dict(jax.eval_shape(model.init, jax.random.key(0), inputs), sep='/')
  if leaves.keys() != layout.keys():
    raise ValueError(
      f'model: no weight map has its {", ".join(sorted(leaves.keys() ^ layout.keys()))}'
    )
  return leaves
