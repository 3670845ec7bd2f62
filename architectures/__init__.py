"""Convolutional and recurrent networks by name.

>>> model = build('lenet5', num_classes=7)
>>> summary(model, (1, 32, 32, 1)).num_params
61451
"""

import dataclasses
import difflib
import importlib
import numbers
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax.numpy as jnp

from .summary import Summary, summary

if TYPE_CHECKING:
  from . import weights as weights

__all__ = ['Summary', 'build', 'names', 'summary', 'weights']

# Each module's `MODELS` holds these names. They are repeated here so that listing
# the models imports none of them, and building one imports no other family.
_MODELS: dict[str, dict[str, tuple[str, ...]]] = {
  'cnn': {
    '.cnn.alexnet': ('alexnet',),
    '.cnn.convnext': (
      'convnext_base',
      'convnext_large',
      'convnext_small',
      'convnext_tiny',
    ),
    '.cnn.convnext_v2': (
      'convnextv2_atto',
      'convnextv2_femto',
      'convnextv2_pico',
      'convnextv2_nano',
      'convnextv2_tiny',
      'convnextv2_base',
      'convnextv2_large',
      'convnextv2_huge',
    ),
    '.cnn.densenet': ('densenet121', 'densenet161', 'densenet169', 'densenet201'),
    '.cnn.efficientnet': (
      'efficientnet_b0',
      'efficientnet_b1',
      'efficientnet_b2',
      'efficientnet_b3',
      'efficientnet_b4',
      'efficientnet_b5',
      'efficientnet_b6',
      'efficientnet_b7',
      'efficientnet_v2_l',
      'efficientnet_v2_m',
      'efficientnet_v2_s',
    ),
    '.cnn.googlenet': ('googlenet',),
    '.cnn.inception': ('inception_v3',),
    '.cnn.lenet': ('lenet5', 'lenet5_modern'),
    '.cnn.mnasnet': ('mnasnet0_5', 'mnasnet0_75', 'mnasnet1_0', 'mnasnet1_3'),
    '.cnn.mobilenet_v2': ('mobilenet_v2',),
    '.cnn.mobilenet_v3': ('mobilenet_v3_large', 'mobilenet_v3_small'),
    '.cnn.preact_resnet': (
      'preact_resnet110_cifar',
      'preact_resnet164_cifar',
      'preact_resnet1001_cifar',
      'wide_resnet16_8',
      'wide_resnet28_10',
      'wide_resnet40_4',
    ),
    '.cnn.regnet': (
      'regnet_x_16gf',
      'regnet_x_1_6gf',
      'regnet_x_32gf',
      'regnet_x_3_2gf',
      'regnet_x_400mf',
      'regnet_x_800mf',
      'regnet_x_8gf',
      'regnet_y_128gf',
      'regnet_y_16gf',
      'regnet_y_1_6gf',
      'regnet_y_32gf',
      'regnet_y_3_2gf',
      'regnet_y_400mf',
      'regnet_y_800mf',
      'regnet_y_8gf',
    ),
    '.cnn.resnet': (
      'resnet18',
      'resnet34',
      'resnet50',
      'resnet101',
      'resnet152',
      'resnet18d',
      'resnet26d',
      'resnet34d',
      'resnet50d',
      'resnet101d',
      'resnet152d',
      'resnext101_32x8d',
      'resnext101_64x4d',
      'resnext50_32x4d',
      'seresnet18',
      'seresnet34',
      'seresnet50',
      'seresnet101',
      'seresnet152',
      'wide_resnet101_2',
      'wide_resnet50_2',
    ),
    '.cnn.resnet_cifar': (
      'resnet20_cifar',
      'resnet32_cifar',
      'resnet44_cifar',
      'resnet56_cifar',
      'resnet110_cifar',
    ),
    '.cnn.shufflenet_v2': (
      'shufflenet_v2_x0_5',
      'shufflenet_v2_x1_0',
      'shufflenet_v2_x1_5',
      'shufflenet_v2_x2_0',
    ),
    '.cnn.squeezenet': ('squeezenet1_0', 'squeezenet1_1'),
    '.cnn.tcn': ('tcn_classifier', 'tcn_forecaster', 'tcn_tagger'),
    '.cnn.unet': ('unet',),
    '.cnn.vgg': (
      'vgg11',
      'vgg11_bn',
      'vgg13',
      'vgg13_bn',
      'vgg16',
      'vgg16_bn',
      'vgg19',
      'vgg19_bn',
    ),
    '.cnn.xception': ('xception',),
  },
  'rnn': {
    '.rnn.classifier': ('elman_classifier', 'gru_classifier', 'lstm_classifier'),
    '.rnn.encoder_decoder': ('gru_bahdanau_seq2seq', 'lstm_luong_seq2seq'),
    '.rnn.forecaster': (
      'elman_forecaster',
      'elman_recursive_forecaster',
      'gru_forecaster',
      'gru_recursive_forecaster',
      'lstm_forecaster',
      'lstm_recursive_forecaster',
    ),
    '.rnn.language_model': ('awd_lstm_lm', 'elman_lm', 'gru_lm', 'lstm_lm'),
    '.rnn.tagger': (
      'elman_causal_tagger',
      'elman_tagger',
      'gru_causal_tagger',
      'gru_tagger',
      'lstm_causal_tagger',
      'lstm_tagger',
    ),
  },
}


def names(kind: str | None = None) -> list[str]:
  """Lists the models that `build` makes.

  Args:
    kind: `'cnn'`, `'rnn'`, or None for all.

  Returns:
    Their names, sorted.

  Raises:
    ValueError: If there is no such kind.

  Example:
    >>> names('cnn')[0]
    'alexnet'
  """
  if kind is not None and kind not in _MODELS:
    raise ValueError(_unknown('kind', kind, _MODELS))
  kinds = _MODELS if kind is None else [kind]
  return sorted(n for k in kinds for models in _MODELS[k].values() for n in models)


def build(name: str, **overrides: Any) -> nn.Module:
  """Builds a model.

  Args:
    name: One of `names()`.
    **overrides: Fields of the model to set, such as `num_classes` or `dtype`.

  Returns:
    A Linen module, which holds no arrays yet.

  Raises:
    ValueError: If there is no such model, or it has no such field, or a field that
      has no default is missing.

  Example:
    >>> build('lenet5', filters=(8, 32)).feature_info
    {'stage1': (2, 8), 'stage2': (4, 32)}
  """
  if name not in names():
    raise ValueError(_unknown('model', name, names()))
  modules = {n: m for kind in _MODELS.values() for m, ns in kind.items() for n in ns}
  model = importlib.import_module(modules[name], __name__).MODELS[name]
  # Linen gives every module these two, which are not for a caller to set.
  fields = {f.name: f for f in dataclasses.fields(model.func)}
  del fields['parent'], fields['name']
  for key, value in overrides.items():
    if key in ('pretrained', 'weights'):
      raise ValueError(
        f'{key}: got {value!r}, but a model holds no weights: read a file of them into '
        'its variables with architectures.weights.load'
      )
    if key not in fields:
      raise ValueError(_unknown(f'override for {name}', key, fields))
    _check_type(key, value, fields[key].type)
  for key, field in fields.items():
    given = key in overrides or key in model.keywords or not field.init
    if not given and field.default is field.default_factory is dataclasses.MISSING:
      raise ValueError(f'{key}: missing, expected a value for {name}')
  return model(**overrides)


def _check_type(key: str, value: Any, declared: Any) -> None:
  """Refuses what is no integer or dtype for a field that is one."""
  if value is None and declared is not int:
    return
  if declared in (int, int | None) and not isinstance(value, numbers.Integral):
    raise ValueError(f'{key}: got {value!r}, expected an int')
  if key in ('dtype', 'param_dtype'):
    try:
      jnp.dtype(value)
    except TypeError as error:
      raise ValueError(
        f'{key}: got {value!r}, expected a dtype such as jax.numpy.bfloat16'
      ) from error


def __getattr__(name: str) -> Any:
  # Imported on first use: its tables import the families.
  if name == 'weights':
    return importlib.import_module('.weights', __name__)
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def _unknown(what: str, value: str, legal: Iterable[str]) -> str:
  near = difflib.get_close_matches(value, legal)
  hint = f'did you mean {" or ".join(near)}? ' if near else ''
  return f'unknown {what}: {value!r}; {hint}expected one of {", ".join(sorted(legal))}'
