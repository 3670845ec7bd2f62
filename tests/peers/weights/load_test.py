"""Weight files: whole ones are read, and others refused without running anything."""

import os
import pathlib
import pickle
import sys
import zipfile
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

import convscan.architectures as arch

SHAPE = (1, 63, 63, 3)


@pytest.fixture(scope='module')
def model() -> Any:
  return arch.build('resnet18', num_classes=3)


@pytest.fixture(scope='module')
def variables(model: Any) -> Any:
  return jax.jit(lambda key: model.init(key, jnp.zeros(SHAPE), train=False))(
    jax.random.key(0)
  )


@pytest.fixture(scope='module')
def state(model: Any, variables: Any) -> dict[str, torch.Tensor]:
  state = arch.weights.to_torch(model, variables)
  return {k: torch.from_numpy(a) for k, a in state.items()}


def test_what_was_made_for_torch_is_saved_as_it_is(
  model: Any, variables: Any, tmp_path: pathlib.Path
) -> None:
  path = tmp_path / 'a.safetensors'
  safetensors.numpy.save_file(arch.weights.to_torch(model, variables), path)
  loaded = arch.weights.load(model, path, SHAPE)
  jax.tree.map(np.testing.assert_array_equal, loaded, variables)


@pytest.mark.parametrize('suffix', ['safetensors', 'pth', 'pt'])
def test_what_torch_saved_is_read(
  suffix: str, model: Any, variables: Any, state: Any, tmp_path: pathlib.Path
) -> None:
  path = tmp_path / f'weights.{suffix}'
  save = safetensors.torch.save_file if suffix == 'safetensors' else torch.save
  save(state, path)
  loaded = arch.weights.load(model, path, SHAPE)
  jax.tree.map(np.testing.assert_array_equal, loaded, variables)


def test_bfloat16_is_read(model: Any, state: Any, tmp_path: pathlib.Path) -> None:
  state = {key: tensor.bfloat16() for key, tensor in state.items()}
  safetensors.torch.save_file(state, tmp_path / 'a.safetensors')
  torch.save(state, tmp_path / 'a.pth')
  one, two = (
    arch.weights.load(model, tmp_path / name, SHAPE)
    for name in ('a.safetensors', 'a.pth')
  )
  jax.tree.map(np.testing.assert_array_equal, one, two)
  kernel = one['params']['stem_conv']['kernel']
  expected = state['conv1.weight'].float().permute(2, 3, 1, 0).numpy()
  np.testing.assert_array_equal(kernel, expected)


def test_another_head_is_initialised(
  model: Any, variables: Any, state: Any, tmp_path: pathlib.Path
) -> None:
  torch.save(state, tmp_path / 'a.pth')
  other = model.clone(num_classes=5)
  with pytest.raises(ValueError, match=r'2 of 102 keys do not fit: .*\n  fc.bias: got'):
    arch.weights.load(other, tmp_path / 'a.pth', SHAPE)
  loaded = arch.weights.load(other, tmp_path / 'a.pth', SHAPE, allow_missing=('head',))
  head = loaded['params'].pop('head')['dense']
  assert head['kernel'].shape == (512, 5)
  assert bool(head['kernel'].any())
  body = {**variables, 'params': dict(variables['params'])}
  del body['params']['head']
  jax.tree.map(np.testing.assert_array_equal, loaded, body)


def test_every_problem_is_named_at_once(model: Any, state: Any) -> None:
  wrong = dict(state)
  del wrong['conv1.weight']
  wrong['extra'] = wrong['bn1.bias']
  wrong['bn1.bias'] = wrong['fc.bias']
  with pytest.raises(
    ValueError, match="for ResNet in torchvision's names: 3 of 103"
  ) as error:
    arch.weights.from_torch(model, wrong, SHAPE)
  for problem in (
    'conv1.weight: missing, expected shape (64, 3, 7, 7)',
    'extra: unexpected, got shape (64,)',
    'bn1.bias: got shape (3,), expected (64,)',
  ):
    assert problem in str(error.value)


class Hostile:
  """Unpickled as a call: the file `ran` would appear."""

  def __init__(self, ran: str):
    self.ran = ran

  def __reduce__(self) -> Any:
    return os.mkdir, (self.ran,)


@pytest.mark.parametrize('legacy', [False, True])
def test_a_hostile_file_is_refused_and_not_run(
  legacy: bool, model: Any, tmp_path: pathlib.Path
) -> None:
  path, ran = tmp_path / 'a.pth', tmp_path / 'ran'
  payload = pickle.dumps({'conv1.weight': Hostile(str(ran))}, protocol=2)
  if legacy:
    path.write_bytes(payload)
  else:
    with zipfile.ZipFile(path, 'w') as archive:
      archive.writestr('a/data.pkl', payload)
      archive.writestr('a/version', '3\n')
  with pytest.raises(ValueError, match='no whole file of torch weights alone'):
    arch.weights.load(model, path, SHAPE)
  assert not ran.exists()


@pytest.mark.parametrize('suffix', ['safetensors', 'pth'])
@pytest.mark.parametrize('length', [0, 5, 1000, -1])
def test_a_truncated_file_is_refused(
  suffix: str, length: int, model: Any, state: Any, tmp_path: pathlib.Path
) -> None:
  path = tmp_path / f'a.{suffix}'
  save = safetensors.torch.save_file if suffix == 'safetensors' else torch.save
  save(state, path)
  path.write_bytes(path.read_bytes()[:length])
  with pytest.raises(ValueError, match=f"path: .*a.{suffix}' is no whole"):
    arch.weights.load(model, path, SHAPE)


def test_other_files_are_refused(model: Any, tmp_path: pathlib.Path) -> None:
  with pytest.raises(ValueError, match=r"path: got 'a.h5', expected one of .safetens"):
    arch.weights.load(model, 'a.h5', SHAPE)
  with pytest.raises(FileNotFoundError, match=r'path: got .*expected a file'):
    arch.weights.load(model, tmp_path / 'a.pth', SHAPE)
  torch.save({'model': {'a': torch.ones(1)}}, tmp_path / 'a.pth')
  with pytest.raises(ValueError, match="holds at 'model' a dict, expected tensors"):
    arch.weights.load(model, tmp_path / 'a.pth', SHAPE)
  torch.save([torch.ones(1)], tmp_path / 'a.pth')
  with pytest.raises(ValueError, match='holds a list, expected a dict'):
    arch.weights.load(model, tmp_path / 'a.pth', SHAPE)


def test_without_torch_its_files_are_refused(
  model: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  (tmp_path / 'a.pth').touch()
  monkeypatch.setitem(sys.modules, 'torch', None)
  with pytest.raises(ImportError, match='needs torch: pip install torch, or convert'):
    arch.weights.load(model, tmp_path / 'a.pth', SHAPE)
