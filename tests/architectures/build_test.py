"""The registry: what it lists is what there is, and errors lead to it."""

import importlib
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import convscan.architectures as arch


@pytest.mark.parametrize(
  ('module', 'names'),
  [row for kind in arch._MODELS.values() for row in kind.items()],
)
def test_the_table_lists_exactly_each_modules_models(module, names):
  models = importlib.import_module(module, 'convscan.architectures').MODELS
  assert sorted(names) == sorted(models)


def test_names_are_sorted_unique_and_of_a_kind():
  names = arch.names()
  assert names == sorted(set(names))
  assert names == sorted(arch.names('cnn') + arch.names('rnn'))
  assert 'lenet5' in arch.names('cnn')
  assert 'lstm_lm' in arch.names('rnn')


def test_overrides_are_fields():
  model = arch.build('lenet5', num_classes=3, filters=(4, 8))
  assert (model.num_classes, model.filters, model.padding) == (3, (4, 8), 0)


def test_integers_and_dtypes_of_numpy_are_fields_too():
  model = arch.build('resnet18', num_classes=np.int64(3), dtype='bfloat16')
  assert (model.num_classes, jnp.dtype(model.dtype)) == (3, jnp.bfloat16)
  assert arch.build('lstm_tagger', vocab_size=None, dtype=None).dtype is None


def test_building_imports_only_its_own_family():
  code = (
    'import sys, convscan.architectures as arch\n'
    "arch.names(), arch.build('lenet5'), arch.summary\n"
    "print(*(m for m in sys.modules if m.startswith('convscan.')))"
  )
  run = [sys.executable, '-c', code]
  loaded = subprocess.run(
    run, capture_output=True, text=True, check=True
  ).stdout.split()
  assert 'convscan.architectures.cnn.lenet' in loaded
  assert not [m for m in loaded if '.rnn' in m or m.startswith('convscan.train')]


@pytest.mark.parametrize(
  ('call', 'message'),
  [
    (
      lambda: arch.build('lenet'),
      "model: 'lenet'; did you mean lenet5.* one of .*lstm",
    ),
    (
      lambda: arch.build('zzz'),
      "unknown model: 'zzz'; expected one of .*lenet5_modern",
    ),
    (lambda: arch.build('lstm_lm'), 'vocab_size: missing, expected .* lstm_lm'),
    (
      lambda: arch.build('lenet5', num_class=3),
      "override for lenet5: 'num_class'; did you mean num_classes.*one of act, .*pool",
    ),
    (
      lambda: arch.build('resnet18', num_classes='10'),
      "num_classes: got '10', exp.* int",
    ),
    (
      lambda: arch.build('lenet5', num_classes=10.0),
      'num_classes: got 10.0, exp.* int',
    ),
    (
      lambda: arch.build('lstm_tagger', vocab_size='9'),
      "vocab_size: got '9', expected",
    ),
    (
      lambda: arch.build('resnet18', dtype='bf16'),
      "dtype: got 'bf16', .*numpy.bfloat16",
    ),
    (lambda: arch.build('vgg11', param_dtype=32), 'param_dtype: got 32, expected a dt'),
    (
      lambda: arch.build('resnet18', pretrained=True),
      'pretrained: got True.*weights.load',
    ),
    (lambda: arch.build('lenet5', parent=None), "override for lenet5: 'parent'"),
    (lambda: arch.names('cnns'), "unknown kind: 'cnns'; did you mean cnn.* cnn, rnn"),
  ],
)
def test_errors_name_the_nearest_and_the_legal(call, message):
  with pytest.raises(ValueError, match=message):
    call()
