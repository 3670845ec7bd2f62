"""The weights of recurrent layers, here and in torch, flax and Keras: tables.

The blocks are named as in the docstrings of the cells: W for a gate's inputs, R for its
hidden state, b for its bias, P for a projection; b'n is the bias that a GRU's reset
gate multiplies. Read a row as: this array holds these blocks, in this order. Where a
library has two biases for one b, both hold it, and it is their sum. Where a table would
mislead stands the reason why there is none.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import flax.linen as nn

from ..rnn.cells import ElmanCell, GRUCell, LSTMCell
from ..rnn.stepwise_cells import ProjectedLSTMCell, ResetBeforeGRUCell
from ..rnn.variant_cells import MGUCell
from .layout import Layout, Packed

Table: TypeAlias = Mapping[str, Packed]


class Library(NamedTuple):
  """How a library keeps recurrent weights.

  Attributes:
    name: what it is called in errors.
    key: an array's key in its state: a format of the array's `name`, its place among
      all (`index`), its layer's number (`layer`), `reverse` ('_reverse' for the
      backward direction, or nothing) and `path`, the layer's path in a Linen module.
    tables: by type of cell, the arrays' names and what they hold, or why there can be
      no conversion; of a type that is not here, the library has no cell.
    uniform: whether its layers share one type and size.
  """

  name: str
  key: str
  tables: Mapping[type, Table | str]
  uniform: bool = False


_RESETS_AFTER = 'its GRU resets after the product with Rn, and this cell before it'

HERE = Library(
  'convscan',
  'params/{path}cell/{name}',
  {
    ElmanCell: {
      'kernel': Packed('W'),
      'recurrent_kernel': Packed('R'),
      'bias': Packed('b'),
    },
    LSTMCell: {
      'kernel': Packed('Wi Wf Wg Wo'),
      'recurrent_kernel': Packed('Ri Rf Rg Ro'),
      'bias': Packed('bi bf bg bo'),
    },
    ProjectedLSTMCell: {
      'kernel': Packed('Wi Wf Wg Wo'),
      'recurrent_kernel': Packed('Ri Rf Rg Ro'),
      'bias': Packed('bi bf bg bo'),
      'projection': Packed('P'),
    },
    GRUCell: {
      'kernel': Packed('Wr Wz Wn'),
      'recurrent_kernel': Packed('Rr Rz Rn'),
      'bias': Packed('br bz bn'),
      'recurrent_bias': Packed("b'n"),
    },
    ResetBeforeGRUCell: {
      'kernel': Packed('Wr Wz Wn'),
      'recurrent_kernel': Packed('Rr Rz Rn'),
      'bias': Packed('br bz bn'),
    },
    MGUCell: {
      'kernel': Packed('Wf Wn'),
      'recurrent_kernel': Packed('Rf Rn'),
      'bias': Packed('bf bn'),
      'recurrent_bias': Packed("b'n"),
    },
  },
)

# torch multiplies from the left: its matrices are [out, in].
_T = (1, 0)

TORCH = Library(
  'torch',
  '{name}_l{layer}{reverse}',
  {
    ElmanCell: {
      'weight_ih': Packed('W', _T),
      'weight_hh': Packed('R', _T),
      'bias_ih': Packed('b'),
      'bias_hh': Packed('b'),
    },
    LSTMCell: {
      'weight_ih': Packed('Wi Wf Wg Wo', _T),
      'weight_hh': Packed('Ri Rf Rg Ro', _T),
      'bias_ih': Packed('bi bf bg bo'),
      'bias_hh': Packed('bi bf bg bo'),
    },
    ProjectedLSTMCell: {
      'weight_ih': Packed('Wi Wf Wg Wo', _T),
      'weight_hh': Packed('Ri Rf Rg Ro', _T),
      'bias_ih': Packed('bi bf bg bo'),
      'bias_hh': Packed('bi bf bg bo'),
      'weight_hr': Packed('P', _T),
    },
    GRUCell: {
      'weight_ih': Packed('Wr Wz Wn', _T),
      'weight_hh': Packed('Rr Rz Rn', _T),
      'bias_ih': Packed('br bz bn'),
      'bias_hh': Packed("br bz b'n"),
    },
    ResetBeforeGRUCell: _RESETS_AFTER,
  },
  uniform=True,
)

FLAX = Library(
  'flax',
  '{path}cell/{name}',
  {
    ElmanCell: {
      'i/kernel': Packed('W'),
      'i/bias': Packed('b'),
      'h/kernel': Packed('R'),
    },
    LSTMCell: {
      'ii/kernel': Packed('Wi'),
      'if/kernel': Packed('Wf'),
      'ig/kernel': Packed('Wg'),
      'io/kernel': Packed('Wo'),
      'hi/kernel': Packed('Ri'),
      'hf/kernel': Packed('Rf'),
      'hg/kernel': Packed('Rg'),
      'ho/kernel': Packed('Ro'),
      'hi/bias': Packed('bi'),
      'hf/bias': Packed('bf'),
      'hg/bias': Packed('bg'),
      'ho/bias': Packed('bo'),
    },
    GRUCell: {
      'ir/kernel': Packed('Wr'),
      'iz/kernel': Packed('Wz'),
      'in/kernel': Packed('Wn'),
      'ir/bias': Packed('br'),
      'iz/bias': Packed('bz'),
      'in/bias': Packed('bn'),
      'hr/kernel': Packed('Rr'),
      'hz/kernel': Packed('Rz'),
      'hn/kernel': Packed('Rn'),
      'hn/bias': Packed("b'n"),
    },
    MGUCell: {
      'if/kernel': Packed('Wf'),
      'in/kernel': Packed('Wn'),
      'if/bias': Packed('bf'),
      'in/bias': Packed('bn'),
      'hf/kernel': Packed('Rf'),
      'hn/kernel': Packed('Rn'),
      'hn/bias': Packed("b'n"),
    },
    ResetBeforeGRUCell: _RESETS_AFTER,
  },
)

KERAS = Library(
  'Keras',
  'weights[{index}] {path}{name}',
  {
    ElmanCell: {
      'kernel': Packed('W'),
      'recurrent_kernel': Packed('R'),
      'bias': Packed('b'),
    },
    LSTMCell: {
      'kernel': Packed('Wi Wf Wg Wo'),
      'recurrent_kernel': Packed('Ri Rf Rg Ro'),
      'bias': Packed('bi bf bg bo'),
    },
    GRUCell: {
      'kernel': Packed('Wz Wr Wn'),
      'recurrent_kernel': Packed('Rz Rr Rn'),
      'bias': Packed(
        "bz br bn | bz br b'n",
        note='one row is of reset_after=False, which is another network',
      ),
    },
    ResetBeforeGRUCell: {
      'kernel': Packed('Wz Wr Wn'),
      'recurrent_kernel': Packed('Rz Rr Rn'),
      'bias': Packed(
        'bz br bn', note='two rows are of reset_after=True, which is another network'
      ),
    },
  },
)


class _Place(NamedTuple):
  """Where a model has a cell, in the words of `Library.key`."""

  cell: Any
  path: str
  layer: int
  reverse: str


def layouts(model: nn.Module, library: Library) -> tuple[Layout, Layout]:
  """Returns the layouts of a model's weights, here and in a library.

  Args:
    model: an `RNN`, a `Bidirectional` of two, or a `Stack` of these. flax's modules
      with the same fields will do, such as a `flax.linen.Sequential` of them.
    library: the library.

  Raises:
    ValueError: it is no such model, or the library has none that is equal to it.
  """
  places = _places(model)
  if library.uniform and not _are_uniform(places):
    raise ValueError(
      f'model: got {describe(model)}; {library.name} has one type and size of cell in '
      'every layer and direction'
    )
  sides: list[dict[str, Packed]] = []
  for side in (HERE, library):
    layout: dict[str, Packed] = {}
    for place in places:
      table = side.tables.get(type(place.cell), 'it has no such cell')
      if isinstance(table, str):
        cell = type(place.cell).__name__
        raise ValueError(f'model: {cell} has no weights in {library.name}: {table}')
      for array, packed in table.items():
        key = side.key.format(name=array, index=len(layout), **place._asdict())
        layout[key] = packed._replace(prefix=place.path)
    sides.append(layout)
  return sides[0], sides[1]


def describe(model: nn.Module) -> str:
  """Returns the cells of a model in words, for errors."""
  return ', '.join(
    f'{place.path}{type(place.cell).__name__}({place.cell.features})'
    for place in _places(model)
  )


def _places(model: nn.Module) -> list[_Place]:
  stacked = hasattr(model, 'layers')
  places = []
  for layer, module in enumerate(model.layers if stacked else [model]):
    path = f'layers_{layer}/' if stacked else ''
    directions = [(path, '', module)]
    if hasattr(module, 'forward_rnn'):
      directions = [
        (f'{path}forward_rnn/', '', module.forward_rnn),
        (f'{path}backward_rnn/', '_reverse', module.backward_rnn),
      ]
    for path, reverse, rnn in directions:
      cell = getattr(rnn, 'cell', None)
      if type(cell) not in HERE.tables:
        legal = ', '.join(sorted(cell.__name__ for cell in HERE.tables))
        raise ValueError(
          f'model: got {type(rnn).__name__} of {type(cell).__name__}, expected an RNN '
          f"of one of convscan's {legal}"
        )
      places.append(_Place(cell, path, layer, reverse))
  return places


def _are_uniform(places: list[_Place]) -> bool:
  sizes = [(p.cell.features, getattr(p.cell, 'projection', None)) for p in places]
  cells = {(type(p.cell), *size) for p, size in zip(places, sizes, strict=True)}
  per_layer = Counter(p.layer for p in places)
  return len(cells) == 1 and len(set(per_layer.values())) == 1
