"""A network's weights in the names of several libraries, without any of them."""

import re
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import convscan.architectures as arch
from convscan.architectures.rnn import RNN, LSTMCell
from convscan.architectures.weights.cnn import LIBRARIES

SHAPE = (1, 32, 32, 3)
MODEL = arch.build(
  'convnext_tiny', num_classes=3, stage_sizes=(1, 1, 1, 1), channels=(2, 2, 2, 2)
)


def random(model: Any) -> Any:
  """Returns variables of which no two arrays are alike."""
  images = jax.ShapeDtypeStruct(SHAPE, jnp.float32)
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: rng.normal(size=leaf.shape).astype(leaf.dtype),
    jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), images),
  )


VARIABLES = random(MODEL)


@pytest.mark.parametrize('library', ['torchvision', 'timm', 'huggingface'])
def test_the_library_is_found_by_its_names(library: str) -> None:
  state = arch.weights.to_torch(MODEL, VARIABLES, library=library)
  others = [
    name
    for name, tables in LIBRARIES.items()
    if type(MODEL) in tables and name != library
  ]
  assert not any(
    state.keys() & arch.weights.to_torch(MODEL, VARIABLES, library=name).keys()
    for name in others
  )
  for given in (None, library):
    got = arch.weights.from_torch(MODEL, state, SHAPE, library=given)
    jax.tree.map(np.testing.assert_array_equal, got, VARIABLES)
  with pytest.raises(
    ValueError, match=f"{others[0]}'s names: 112 of 112 keys do not fit"
  ):
    arch.weights.from_torch(MODEL, state, SHAPE, library=others[0])


def test_arrays_have_the_shapes_of_each_library() -> None:
  shapes = {
    library: {
      key: array.shape
      for key, array in arch.weights.to_torch(MODEL, VARIABLES, library).items()
    }
    for library in ('torchvision', 'timm', 'huggingface')
  }
  assert shapes['torchvision']['features.1.0.layer_scale'] == (2, 1, 1)
  assert shapes['timm']['stages.0.blocks.0.gamma'] == (2,)
  assert shapes['huggingface'][
    'convnext.encoder.stages.0.layers.0.layer_scale_parameter'
  ] == (2,)


def test_torchvisions_names_are_the_default() -> None:
  assert 'features.1.0.layer_scale' in arch.weights.to_torch(MODEL, VARIABLES)


def test_problems_are_those_in_the_names_of_most_keys() -> None:
  state = arch.weights.to_torch(MODEL, VARIABLES, library='timm')
  state['head.fc.bias'] = state['head.fc.bias'][:2]
  state['classifier.0.bias'] = state.pop('head.norm.bias')  # torchvision's
  message = """\
state_dict for ConvNeXt in timm's names: 3 of 57 keys do not fit: \
1 missing, 1 unexpected, 1 of another shape
  head.fc.bias: got shape (2,), expected (3,)
  head.norm.bias: missing, expected shape (2,)
  classifier.0.bias: unexpected, got shape (2,)"""
  with pytest.raises(ValueError, match='^' + re.escape(message) + '$'):
    arch.weights.from_torch(MODEL, state, SHAPE)


def _reshaped(state: Any, *keys: str) -> Any:
  return state | {key: np.zeros((7, *state[key].shape[1:])) for key in keys}


@pytest.mark.parametrize(
  ('change', 'last'),
  [
    (
      lambda state: {f'module.{key}': array for key, array in state.items()},
      "  hint: every key begins with 'module.'; take the keys without it",
    ),
    (
      lambda state: {f'a.b.{key}': array for key, array in state.items()},
      "  hint: every key begins with 'a.b.'; take the keys without it",
    ),
    (
      lambda state: _reshaped(state, 'head.fc.weight', 'head.fc.bias'),
      "  hint: for another number of classes, allow_missing=('head/dense',)",
    ),
    (
      lambda state: {k: a for k, a in state.items() if not k.startswith('head.')},
      '  hint: for another number of classes, '
      "allow_missing=('head/dense', 'head/norm')",
    ),
    (
      lambda state: _reshaped(state, 'head.fc.bias', 'stem.0.bias'),
      '  stem.0.bias: got shape (7,), expected (2,)',
    ),
    (
      lambda state: _reshaped(state | {'x': np.ones(2)}, 'head.fc.bias'),
      '  x: unexpected, got shape (2,)',
    ),
  ],
)
def test_a_hint_ends_what_it_is_apt_for(change: Any, last: str) -> None:
  state = arch.weights.to_torch(MODEL, VARIABLES, library='timm')
  with pytest.raises(ValueError, match="in timm's names: ") as error:
    arch.weights.from_torch(MODEL, change(state), SHAPE)
  assert str(error.value).splitlines()[-1] == last


def test_a_body_is_read_without_its_prefix() -> None:
  state = arch.weights.to_torch(MODEL, VARIABLES, library='huggingface')
  body = {
    key.removeprefix('convnext.'): array
    for key, array in state.items()
    if not key.startswith('classifier.')
  }
  got = arch.weights.from_torch(MODEL, body, SHAPE, allow_missing=('head/dense',))
  head = got['params']['head'].pop('dense')
  assert head['kernel'].shape == (2, 3)
  expected = jax.tree.map(lambda x: x, VARIABLES)
  del expected['params']['head']['dense']
  jax.tree.map(np.testing.assert_array_equal, got, expected)


@pytest.mark.parametrize(
  ('allow_missing', 'fresh'),
  [
    (('stage1',), {'stage1_block0'}),
    (('stage2_block0', 'head'), {'stage2_block0', 'head'}),
    (('stage2', 'stem'), {'stage2_block0', 'stage2_conv', 'stage2_norm', 'stem_conv',
                          'stem_norm'}),
  ],
)  # fmt: skip
def test_a_name_stands_for_all_that_begin_so(allow_missing: Any, fresh: Any) -> None:
  got = arch.weights.from_torch(
    MODEL, arch.weights.to_torch(MODEL, VARIABLES), SHAPE, allow_missing
  )['params']
  same = {
    module: jax.tree.all(jax.tree.map(np.array_equal, got[module], tree))
    for module, tree in VARIABLES['params'].items()
  }
  assert {module for module in same if not same[module]} == fresh


@pytest.mark.parametrize('allow_missing', [('heads',), ('head', 'heads'), ('hea',)])
def test_a_module_that_is_none_cannot_be_missing(allow_missing: Any) -> None:
  state = arch.weights.to_torch(MODEL, VARIABLES)
  message = (
    f'allow_missing: got {allow_missing!r}, where {allow_missing[-1]!r} is no module; '
    'expected some of head, stage1, stage2, stage3, stage4, stem'
  )
  with pytest.raises(ValueError, match=f'^{re.escape(message)}$'):
    arch.weights.from_torch(MODEL, state, SHAPE, allow_missing)
  with pytest.raises(
    ValueError, match=r"got 'head', expected a seq.* as \('head',\), of"
  ):
    arch.weights.from_torch(MODEL, state, SHAPE, 'head')


def test_unknown_libraries_are_refused() -> None:
  message = (
    "library: got 'keras', expected one of torchvision, timm, huggingface for Con"
  )
  with pytest.raises(ValueError, match=message):
    arch.weights.from_torch(MODEL, {}, SHAPE, library='keras')
  with pytest.raises(ValueError, match=message):
    arch.weights.to_torch(MODEL, VARIABLES, library='keras')
  alexnet = arch.build('alexnet')
  with pytest.raises(ValueError, match="'timm', expected one of torchvision for Alex"):
    arch.weights.to_torch(alexnet, {}, library='timm')


def test_a_library_must_name_all_modules(monkeypatch: pytest.MonkeyPatch) -> None:
  state = arch.weights.to_torch(MODEL, VARIABLES, library='timm')

  def forget(library: str) -> None:
    table = LIBRARIES[library][type(MODEL)]
    fewer = [name for name in table if 'layer_scale' not in name.pattern]
    monkeypatch.setitem(LIBRARIES, library, {type(MODEL): fewer})

  forget('torchvision')
  assert arch.weights.to_torch(MODEL, VARIABLES).keys() == state.keys()
  got = arch.weights.from_torch(MODEL, state, SHAPE)
  jax.tree.map(np.testing.assert_array_equal, got, VARIABLES)
  with pytest.raises(ValueError, match="'torchvision', expected one of timm, hugging"):
    arch.weights.to_torch(MODEL, VARIABLES, library='torchvision')

  forget('timm')
  forget('huggingface')
  message = (
    'model: got ConvNeXt; torchvision has no stage1_block0/layer_scale, stage2_b'
  )
  with pytest.raises(ValueError, match=message):
    arch.weights.to_torch(MODEL, VARIABLES)


def test_recurrent_layers_have_torchs_names_alone() -> None:
  model = RNN(LSTMCell(2))
  variables = model.init(jax.random.key(0), jnp.ones((1, 1, 3)))
  state = arch.weights.to_torch(model, variables, library='torch')
  again = arch.weights.from_torch(model, state, (1, 1, 3), library='torch')
  jax.tree.map(np.testing.assert_array_equal, again, variables)
  message = re.escape("library: got 'timm', expected 'torch' for LSTMCell(2)")
  with pytest.raises(ValueError, match=message):
    arch.weights.from_torch(model, state, (1, 1, 3), library='timm')
  with pytest.raises(ValueError, match=message):
    arch.weights.to_torch(model, variables, library='timm')


def test_weights_for_another_epsilon_are_refused() -> None:
  small = partial(arch.build, 'mobilenet_v3_small', num_classes=3)
  norm = partial(nn.BatchNorm, momentum=0.9, epsilon=1e-5)
  model = small(norm=norm)
  variables = random(model)
  state = arch.weights.to_torch(model, variables, library='timm')
  got = arch.weights.from_torch(model, state, SHAPE)
  jax.tree.map(np.testing.assert_array_equal, got, variables)
  message = 'norm: got an epsilon of 0.001, expected 1e-05 as in timm: build'
  with pytest.raises(ValueError, match=message):
    arch.weights.from_torch(small(), state, SHAPE)
  with pytest.raises(ValueError, match=message):
    arch.weights.to_torch(small(), variables, library='timm')
