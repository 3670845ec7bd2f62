"""The README's examples run as they stand, and its config trains."""

import pathlib
import re

import jax
import jax.extend
import numpy as np
from safetensors.numpy import save_file

ROOT = pathlib.Path(__file__).resolve().parents[1]


def _blocks(path):
  return re.findall(r'```python\n(.*?)```', (ROOT / path).read_text(), re.DOTALL)


BLOCKS = _blocks('README.md')


def _block(word):
  (block,) = [b for b in BLOCKS if word in b]
  return block


def _products(jaxpr, in_loop=False):
  for eqn in jaxpr.eqns:
    if eqn.primitive.name == 'dot_general':
      yield in_loop
    for inner in jax.extend.core.jaxprs_in_params(eqn.params):
      yield from _products(inner, in_loop or eqn.primitive.name == 'scan')


def test_the_layer_examples_run(capsys):
  names = {}
  exec(_block('import convscan.architectures as arch'), names)
  assert names['y'].shape == (2, 7, 16)
  assert not np.any(names['y'][1, 4:])
  assert '11,181,642' in capsys.readouterr().out
  exec(_block('class MinimalGate'), names)
  assert names['y'].shape == (2, 7, 8)


def test_the_examples_on_features_and_nnx_run(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  names = {}
  exec(_block('import convscan.architectures as arch'), names)
  arch, images = names['arch'], names['images']
  resnet = arch.build('resnet50')
  init = jax.jit(lambda x: resnet.init(jax.random.key(0), x, train=False))
  variables = init(images)
  save_file(arch.weights.to_torch(resnet, variables), 'resnet50.safetensors')
  exec(_block('def pyramid'), names)
  pooled = names['pyramid'](variables, images + 1)
  for got, want in zip(
    names['pyramid'](names['weights'], images + 1), pooled, strict=True
  ):
    np.testing.assert_array_equal(got, want)
  assert [x.shape for x in pooled] == [(1, 1024), (1, 2048)]

  exec(_block('from flax import nnx'), names)
  assert jax.tree.all(jax.tree.map(lambda g: g.size > 0, names['grads']))
  assert names['maps']['stage4'].shape == (1, 2, 2, 512)
  module, before = names['module'], names['module'].stem_norm['var']
  before = np.array(before)
  names['loss'](module, images + 1)
  assert not np.allclose(module.stem_norm['var'], before)


def test_a_new_cell_multiplies_once_a_step():
  names = {}
  exec(_block('import convscan.architectures as arch'), names)
  exec(_block('class MinimalGate'), names)
  rnn, x = names['RNN'](names['MinimalGate'](8)), names['x']
  variables = rnn.init(jax.random.key(0), x)
  jaxpr = jax.make_jaxpr(rnn.apply)(variables, x).jaxpr
  # Two for all inputs, one a gate; then one a step.
  assert list(_products(jaxpr)) == [False, False, True]


def test_the_examples_on_recurrence_run():
  names = {}
  for block in _blocks('docs/recurrence.md'):
    exec(block, names)
  jax.tree.map(np.testing.assert_array_equal, names['same'], names['variables'])


def test_the_examples_on_convolution_run(capsys):
  names = {}
  for block in _blocks('docs/convolution.md'):
    exec(block, names)
  assert '(2, 5, 5, 8) (2, 9, 9, 3) (2, 5, 5, 3)' in capsys.readouterr().out
  model, x = names['ghost'], names['x']
  variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)
  assert variables['batch_stats']['stem_norm']['mean'].shape == (64,)


def test_the_examples_on_weights_run(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  names = {}
  for block in _blocks('docs/weights.md'):
    exec(block, names)
  for copy in (names['loaded'], names['same']):
    jax.tree.map(np.testing.assert_array_equal, copy, names['variables'])
  assert names['start']['params']['head']['dense']['kernel'].shape == (512, 3)


def test_the_config_and_restore_examples_run(tmp_path, monkeypatch):
  from convscan.train.flags import load
  from convscan.train.loop import train_and_evaluate

  path = tmp_path / 'mine.py'
  path.write_text(_block('def get_config'))
  config = load(str(path))
  config.num_train_steps = 2
  train_and_evaluate(config, str(tmp_path / 'runs/one'))
  monkeypatch.chdir(tmp_path)
  names = {}
  exec(_block('convscan.train.restore'), names)
  assert names['logits'].shape == (1, 10)
