"""Every cell and layer, and its gradient, compiles for a TPU where there is none.

`libtpu` compiles for a described topology. Without it most tests here are skipped; to
run them:

    pip install -c requirements.lock -e '.[dev]' libtpu
    pytest tests/architectures/rnn/tpu_test.py
"""

import importlib.util
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from convscan.architectures import rnn
from convscan.architectures.rnn import RNN, Bidirectional, GRUCell, LSTMCell, Stack

BATCH, TIME, SIZE = 8, 8, 128
BASES = {'GatedCell', 'LinearCell', 'RecurrentCell'}
CELLS = sorted(
  name
  for name, value in vars(rnn).items()
  if isinstance(value, type) and issubclass(value, nn.RNNCellBase)
  if name not in BASES
)
# What a cell cannot be made without, besides its features.
FIELDS: dict[str, dict[str, Any]] = {
  'ConvGRUCell': {'kernel_size': (3,)},
  'ConvLSTMCell': {'kernel_size': (3,)},
  'ProjectedLSTMCell': {'projection': SIZE},
}
# The layer, from a dtype.
LAYERS: dict[str, Any] = {
  'RNN': lambda dtype: RNN(LSTMCell(SIZE, dtype=dtype), reverse=True, remat_every=4),
  'Bidirectional': lambda dtype: Bidirectional(
    RNN(LSTMCell(SIZE, dtype=dtype)), RNN(GRUCell(SIZE, dtype=dtype))
  ),
  'Stack': lambda dtype: Stack(
    [RNN(LSTMCell(SIZE, dtype=dtype)), RNN(GRUCell(SIZE, dtype=dtype))]
  ),
}

needs_libtpu = pytest.mark.skipif(
  importlib.util.find_spec('libtpu') is None,
  reason='libtpu is not installed: see the docstring of this file',
)
both_dtypes = pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])


def compile_gradient(module: nn.Module, tpu: Any, *args: Any, **kwargs: Any) -> None:
  """Compiles the module's gradient for the parameters and the arguments."""

  def loss(variables: Any, *args: Any) -> jax.Array:
    outputs = jax.tree.leaves(module.apply(variables, *args, **kwargs))
    # `y conj(y)`, since some carries are complex.
    return sum(jnp.sum((y * y.conj()).real.astype(jnp.float32)) for y in outputs)

  def on_tpu(tree: Any) -> Any:
    return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=tpu), tree
    )

  variables = jax.eval_shape(module.init, jax.random.key(0), *args)
  gradient = jax.grad(loss, argnums=tuple(range(len(args) + 1)))
  text = jax.jit(gradient).lower(*on_tpu((variables, *args))).compile().as_text()
  assert ':T(8,128)' in text  # the tiles in which a TPU, and no CPU, stores an array


def make(name: str, dtype: str) -> nn.RNNCellBase:
  fields = FIELDS.get(name, {})
  return getattr(rnn, name)(features=SIZE, dtype=jnp.dtype(dtype), **fields)


def inputs(dtype: str, *leading: int, axes: int = 1) -> jax.ShapeDtypeStruct:
  """Describes `[*leading, ..., features]` with so many axes of features."""
  shape = (*leading, *(16,) * (axes - 1), SIZE)
  return jax.ShapeDtypeStruct(shape, jnp.dtype(dtype))


@pytest.mark.parametrize('name', CELLS)
def test_cell_can_be_made(name: str) -> None:
  make(name, 'float32')  # also where libtpu is absent: else `FIELDS` lacks the cell


@needs_libtpu
@both_dtypes
@pytest.mark.parametrize('name', CELLS)
def test_step_compiles(name: str, dtype: str, tpu: Any) -> None:
  cell = make(name, dtype)
  x = inputs(dtype, BATCH, axes=cell.num_feature_axes)
  carry = jax.eval_shape(lambda: cell.initialize_carry(jax.random.key(0), x.shape))
  compile_gradient(cell, tpu, carry, x)


@needs_libtpu
@both_dtypes
@pytest.mark.parametrize('name', CELLS)
def test_cell_compiles_over_time(name: str, dtype: str, tpu: Any) -> None:
  cell = make(name, dtype)
  x = inputs(dtype, BATCH, TIME, axes=cell.num_feature_axes)
  compile_gradient(RNN(cell), tpu, x)


@needs_libtpu
@both_dtypes
@pytest.mark.parametrize('name', LAYERS)
def test_layer_compiles(name: str, dtype: str, tpu: Any) -> None:
  layer = LAYERS[name](jnp.dtype(dtype))
  lengths = jnp.full((BATCH,), TIME - 1)
  x = inputs(dtype, BATCH, TIME)
  compile_gradient(layer, tpu, x, seq_lengths=lengths)
