"""Networks of timm and transformers compute the same as ours on their weights."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import timm
import torch
import transformers
from flax.traverse_util import flatten_dict
from torch_networks import prepare

import convscan.architectures as arch
from convscan.architectures.weights.cnn import arrays

SIZES = {'odd': (79, 87), 'even': (76, 92)}


def of_timm(name: str, **options: Any) -> Any:
  return timm.create_model(name, pretrained=False, num_classes=10, **options)


def of_hugging_face(kind: str, **options: Any) -> Any:
  config = getattr(transformers, f'{kind}Config')(num_labels=10, **options)
  return getattr(transformers, f'{kind}ForImageClassification')(config)


def resnet(depths: Any, width: int = 256, layer_type: str = 'bottleneck') -> Any:
  sizes = [width * 2**i for i in range(4)]
  return partial(
    of_hugging_face,
    'ResNet',
    depths=depths,
    hidden_sizes=sizes,
    layer_type=layer_type,
  )


def regnet(layer_type: str, depths: Any, sizes: Any, group_width: int) -> Any:
  return partial(
    of_hugging_face,
    'RegNet',
    layer_type=layer_type,
    depths=depths,
    hidden_sizes=sizes,
    groups_width=group_width,
  )


def convnext(depths: Any, sizes: Any, kind: str = 'ConvNext') -> Any:
  return partial(of_hugging_face, kind, depths=depths, hidden_sizes=sizes)


def convnext_v2(depths: Any, width: int) -> Any:
  return convnext(depths, [width * 2**i for i in range(4)], 'ConvNextV2')


# By our name, their network.
VARIANTS: dict[str, dict[str, Callable[..., Any]]] = {
  'timm': {
    ours: partial(of_timm, theirs)
    for ours, theirs in {
      'inception_v3': 'inception_v3',
      'mnasnet0_5': 'mnasnet_050',
      'mnasnet0_75': 'mnasnet_075',
      'mnasnet1_0': 'mnasnet_100',
      'mobilenet_v2': 'mobilenetv2_100',
      'mobilenet_v3_large': 'mobilenetv3_large_100',
      'mobilenet_v3_small': 'mobilenetv3_small_100',
      'regnet_x_400mf': 'regnetx_004_tv',
      'regnet_x_800mf': 'regnetx_008',
      'regnet_x_1_6gf': 'regnetx_016',
      'regnet_x_3_2gf': 'regnetx_032',
      'regnet_x_8gf': 'regnetx_080',
      'regnet_x_16gf': 'regnetx_160',
      'regnet_x_32gf': 'regnetx_320',
      'regnet_y_400mf': 'regnety_004',
      'regnet_y_800mf': 'regnety_008_tv',
      'regnet_y_1_6gf': 'regnety_016',
      'regnet_y_3_2gf': 'regnety_032',
      'regnet_y_8gf': 'regnety_080_tv',
      'regnet_y_16gf': 'regnety_160',
      'regnet_y_32gf': 'regnety_320',
      'regnet_y_128gf': 'regnety_1280',
      'xception': 'legacy_xception',
      **{
        name: name
        for name in (
          *(f'convnext_{size}' for size in ('tiny', 'small', 'base', 'large')),
          *(
            f'convnextv2_{size}'
            for size in (
              *('atto', 'femto', 'pico', 'nano'),
              *('tiny', 'base', 'large', 'huge'),
            )
          ),
          *(f'densenet{depth}' for depth in (121, 161, 169, 201)),
          *(f'efficientnet_b{i}' for i in range(8)),
          *(
            name
            for n in (18, 34, 50, 101, 152)
            for name in (f'resnet{n}', f'resnet{n}d', f'seresnet{n}')
          ),
          *('resnet26d', 'resnext50_32x4d', 'resnext101_32x8d', 'resnext101_64x4d'),
          *('wide_resnet50_2', 'wide_resnet101_2'),
          *(f'vgg{depth}{norm}' for depth in (11, 13, 16, 19) for norm in ('', '_bn')),
        )
      },
    }.items()
  },
  # The configurations of the published checkpoints.
  'huggingface': {
    'convnext_tiny': convnext((3, 3, 9, 3), (96, 192, 384, 768)),
    'convnext_small': convnext((3, 3, 27, 3), (96, 192, 384, 768)),
    'convnext_base': convnext((3, 3, 27, 3), (128, 256, 512, 1024)),
    'convnext_large': convnext((3, 3, 27, 3), (192, 384, 768, 1536)),
    'convnextv2_atto': convnext_v2((2, 2, 6, 2), 40),
    'convnextv2_femto': convnext_v2((2, 2, 6, 2), 48),
    'convnextv2_pico': convnext_v2((2, 2, 6, 2), 64),
    'convnextv2_nano': convnext_v2((2, 2, 8, 2), 80),
    'convnextv2_tiny': convnext_v2((3, 3, 9, 3), 96),
    'convnextv2_base': convnext_v2((3, 3, 27, 3), 128),
    'convnextv2_large': convnext_v2((3, 3, 27, 3), 192),
    'convnextv2_huge': convnext_v2((3, 3, 27, 3), 352),
    'regnet_x_800mf': regnet('x', (1, 3, 7, 5), (64, 128, 288, 672), 16),
    'regnet_x_1_6gf': regnet('x', (2, 4, 10, 2), (72, 168, 408, 912), 24),
    'regnet_x_3_2gf': regnet('x', (2, 6, 15, 2), (96, 192, 432, 1008), 48),
    'regnet_x_8gf': regnet('x', (2, 5, 15, 1), (80, 240, 720, 1920), 120),
    'regnet_x_16gf': regnet('x', (2, 6, 13, 1), (256, 512, 896, 2048), 128),
    'regnet_x_32gf': regnet('x', (2, 7, 13, 1), (336, 672, 1344, 2520), 168),
    'regnet_y_400mf': regnet('y', (1, 3, 6, 6), (48, 104, 208, 440), 8),
    'regnet_y_1_6gf': regnet('y', (2, 6, 17, 2), (48, 120, 336, 888), 24),
    'regnet_y_3_2gf': regnet('y', (2, 5, 13, 1), (72, 216, 576, 1512), 24),
    'regnet_y_16gf': regnet('y', (2, 4, 11, 1), (224, 448, 1232, 3024), 112),
    'regnet_y_32gf': regnet('y', (2, 5, 12, 1), (232, 696, 1392, 3712), 232),
    'regnet_y_128gf': regnet('y', (2, 7, 17, 1), (528, 1056, 2904, 7392), 264),
    'resnet18': resnet((2, 2, 2, 2), 64, 'basic'),
    'resnet34': resnet((3, 4, 6, 3), 64, 'basic'),
    'resnet50': resnet((3, 4, 6, 3)),
    'resnet101': resnet((3, 4, 23, 3)),
    'resnet152': resnet((3, 8, 36, 3)),
  },
}
# What a model must be built with, for theirs to be its equal.
_EPSILON = {'norm': partial(nn.BatchNorm, epsilon=1e-5)}
BUILT_WITH: dict[str, dict[str, Any]] = {
  'efficientnet_b5': _EPSILON,
  'efficientnet_b6': _EPSILON,
  'efficientnet_b7': _EPSILON,
  'inception_v3': {'aux_logits': False},
  'mobilenet_v3_large': _EPSILON,
  'mobilenet_v3_small': _EPSILON,
}
# A small network of each kind: our name and fields, and their network's options.
_DEPTHS, _CHANNELS = (1, 1, 2, 1), (16, 32, 48, 64)
_SMALL_CONVNEXT = {'stage_sizes': _DEPTHS, 'channels': _CHANNELS}
SMALL: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
  (
    'timm',
    'convnext_tiny',
    _SMALL_CONVNEXT,
    {'depths': _DEPTHS, 'dims': _CHANNELS},
  ),
  ('timm', 'densenet121', {'stage_sizes': _DEPTHS}, {'block_config': _DEPTHS}),
  ('timm', 'efficientnet_b0', {}, {}),
  ('timm', 'inception_v3', {}, {}),
  ('timm', 'mnasnet0_5', {}, {}),
  ('timm', 'mobilenet_v2', {}, {}),
  ('timm', 'mobilenet_v3_large', {}, {}),
  ('timm', 'regnet_x_400mf', {}, {}),
  ('timm', 'regnet_y_400mf', {}, {}),
  ('timm', 'resnet18', {}, {}),
  ('timm', 'resnext50_32x4d', {'stage_sizes': _DEPTHS}, {'layers': _DEPTHS}),
  ('timm', 'vgg11_bn', {}, {}),
  (
    'huggingface',
    'convnext_tiny',
    _SMALL_CONVNEXT,
    {'depths': _DEPTHS, 'hidden_sizes': _CHANNELS},
  ),
  (
    'huggingface',
    'convnextv2_tiny',
    _SMALL_CONVNEXT,
    {'depths': _DEPTHS, 'hidden_sizes': _CHANNELS},
  ),
  ('huggingface', 'regnet_x_800mf', {}, {}),
  ('huggingface', 'regnet_y_400mf', {}, {}),
  ('huggingface', 'resnet18', {}, {}),
  ('huggingface', 'resnet50', {'stage_sizes': _DEPTHS}, {'depths': _DEPTHS}),
]


def make(library: str, name: str, fields: Any, options: Any) -> tuple[Any, Any]:
  """Returns our network and theirs, of 10 classes."""
  fields = {**BUILT_WITH.get(name, {}), **fields}
  return arch.build(name, num_classes=10, **fields), VARIANTS[library][name](**options)


def our_shapes(model: Any, library: str) -> dict[str, tuple[int, ...]]:
  images = jax.ShapeDtypeStruct((1, 96, 96, 3), jnp.float32)
  variables = jax.eval_shape(
    lambda x: model.init(jax.random.key(0), x, train=False), images
  )
  ours = arrays(model, flatten_dict(variables, sep='/'), library).values()
  return {array.key: array.shape for array in ours}


def their_shapes(net: Any) -> dict[str, tuple[int, ...]]:
  return {
    key: tuple(tensor.shape)
    for key, tensor in net.state_dict().items()
    if 'num_batches_tracked' not in key
  }


@pytest.mark.parametrize(
  ('library', 'name', 'fields', 'options'),
  SMALL,
  ids=lambda x: x if str(x) == x else '',
)
def test_logits_are_theirs_and_their_arrays_come_back(
  library: str, name: str, fields: Any, options: Any
) -> None:
  model, net = make(library, name, fields, options)
  state = prepare(net).state_dict()
  variables = arch.weights.from_torch(model, state, (1, 96, 96, 3))
  apply = jax.jit(partial(model.apply, train=False))
  for height, width in SIZES.values():
    x = np.random.default_rng(1).normal(size=(2, height, width, 3)).astype(np.float32)
    x[1] /= 2
    with torch.no_grad():
      output = net(torch.from_numpy(x).permute(0, 3, 1, 2))
    logits = getattr(output, 'logits', output).numpy()
    largest = np.abs(logits).max()
    assert logits.std(axis=0).mean() > 0.01 * largest
    assert np.abs(apply(variables, x) - logits).max() < 1e-3 * largest

  theirs = {k: a.numpy() for k, a in state.items() if 'num_batches_tracked' not in k}
  back = arch.weights.to_torch(model, variables, library=library)
  assert back.keys() == theirs.keys()
  jax.tree.map(np.testing.assert_array_equal, back, theirs)


@pytest.mark.parametrize(
  ('library', 'name'),
  [(library, name) for library in VARIANTS for name in VARIANTS[library]],
)
def test_every_variant_has_their_keys_and_shapes(library: str, name: str) -> None:
  with torch.device('meta'):
    model, net = make(library, name, {}, {})
  assert our_shapes(model, library) == their_shapes(net)


@pytest.mark.parametrize(
  ('name', 'fields', 'head', 'net'),
  [
    ('resnet18', {}, 'head', resnet((2, 2, 2, 2), 64, 'basic')),
    ('regnet_y_400mf', {}, 'head', VARIANTS['huggingface']['regnet_y_400mf']),
    # Its last normalisation is the body's.
    ('convnext_tiny', _SMALL_CONVNEXT, 'head/dense', convnext(_DEPTHS, _CHANNELS)),
    (
      'convnextv2_tiny',
      _SMALL_CONVNEXT,
      'head/dense',
      convnext(_DEPTHS, _CHANNELS, 'ConvNextV2'),
    ),
  ],
)
def test_a_body_of_hugging_faces_is_read_without_a_head(
  name: str, fields: Any, head: str, net: Any
) -> None:
  net = net()
  model = arch.build(name, num_classes=3, **fields)
  whole, body = (
    arch.weights.from_torch(model, state, (1, 96, 96, 3), allow_missing=(head,))
    for state in (net.state_dict(), net.base_model.state_dict())
  )
  jax.tree.map(np.testing.assert_array_equal, body, whole)


def test_auxiliary_heads_have_timms_keys_too() -> None:
  with torch.device('meta'):
    net = of_timm('inception_v3', aux_logits=True)
  model = arch.build('inception_v3', num_classes=10)
  assert our_shapes(model, 'timm') == their_shapes(net)


@pytest.mark.parametrize('size', ['nano', 'tiny'])
def test_dense_layers_are_read_from_1x1_convolutions_too(size: str) -> None:
  make = partial(of_timm, f'convnextv2_{size}', depths=_DEPTHS, dims=_CHANNELS)
  dense, conv = make(conv_mlp=False), make(conv_mlp=True)
  state = dense.state_dict()
  mlp = {key: x for key, x in state.items() if '.mlp.fc' in key and x.ndim == 2}
  conv.load_state_dict({**state, **{key: x[..., None, None] for key, x in mlp.items()}})
  model = arch.build(f'convnextv2_{size}', num_classes=10, **_SMALL_CONVNEXT)
  expected, got = (
    arch.weights.from_torch(model, net.state_dict(), (1, 96, 96, 3))
    for net in (dense, conv)
  )
  jax.tree.map(np.testing.assert_array_equal, got, expected)
  kernel = expected['params']['stage1_block0']['dense1']['kernel']
  key = 'stages.0.blocks.0.mlp.fc1.weight'
  np.testing.assert_array_equal(kernel, state[key].numpy().T)
