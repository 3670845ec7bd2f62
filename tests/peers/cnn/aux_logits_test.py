"""Auxiliary heads: torchvision's numbers in training, and no part in evaluation."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from seeded import relative_error, varies
from torch_networks import prepared

import convscan.architectures as arch

# Our name of each head's logits, and torch's.
HEADS = {
  'googlenet': {'aux1': 'aux_logits1', 'aux2': 'aux_logits2'},
  'inception_v3': {'aux1': 'aux_logits'},
}
# Without dropout, whose draws differ.
RATES: dict[str, dict[str, float]] = {
  'googlenet': {'dropout_rate': 0.0, 'aux_dropout_rate': 0.0},
  'inception_v3': {'dropout_rate': 0.0},
}
SHAPES = {'googlenet': (4, 75, 96, 3), 'inception_v3': (4, 299, 299, 3)}
# Parameters with and without the auxiliary heads.
PARAMS = {'googlenet': (13004888, 6624904), 'inception_v3': (27161264, 23834568)}
each = pytest.mark.parametrize('name', HEADS)


@each
def test_they_compute_in_training_what_torchvisions_do(
  name: str,
) -> None:
  model: Any = arch.build(name, **RATES[name])
  net = prepared(name, model.min_size).train()
  for module in net.modules():
    if isinstance(module, torch.nn.Dropout):
      module.p = 0.0
  variables = arch.weights.from_torch(model, net.state_dict(), (1, 96, 96, 3))
  x = np.random.default_rng(2).normal(size=SHAPES[name]).astype(np.float32)
  with torch.no_grad():
    theirs = net(torch.from_numpy(x).permute(0, 3, 1, 2))
  heads = {key: variables['params'][f'{key}_head'] for key in HEADS[name]}

  def total(heads: Any, variables: Any, x: Any) -> Any:
    params = variables['params'] | {f'{key}_head': heads[key] for key in heads}
    logits, updates = model.apply(
      variables | {'params': params},
      x,
      train=True,
      mutable=['batch_stats', 'aux_logits'],
    )
    aux = jnp.stack(list(updates['aux_logits'].values()))
    weights = jnp.sin(jnp.arange(aux.size)).reshape(aux.shape)
    return jnp.sum(aux * weights), (logits, updates['aux_logits'])

  # All are arguments: XLA would take minutes to fold a network of constants.
  gradient, (logits, aux) = jax.jit(jax.grad(total, has_aux=True))(heads, variables, x)
  assert relative_error(logits, theirs.logits.numpy()) < 1e-3
  assert list(aux) == list(HEADS[name])
  for ours, key in HEADS[name].items():
    expected = getattr(theirs, key).numpy()
    assert varies(expected)
    assert relative_error(aux[ours], expected) < 1e-3
  for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
    assert bool(jnp.any(leaf)), jax.tree_util.keystr(path)


@each
def test_evaluation_leaves_them_out(name: str) -> None:
  full, bare = (arch.build(name, aux_logits=on) for on in (True, False))
  shape = (2, 96, 96, 3)
  summaries = [arch.summary(model, shape) for model in (full, bare)]
  assert tuple(s.num_params for s in summaries) == PARAMS[name]
  assert summaries[0].macs == summaries[1].macs
  x = jax.ShapeDtypeStruct(shape, jnp.bfloat16)

  def evaluate(x: Any) -> Any:
    variables = full.init(jax.random.key(0), x, train=False)
    return full.apply(variables, x, train=False, mutable=['aux_logits'])

  logits, updates = jax.eval_shape(evaluate, x)
  assert logits.shape == (2, 1000)
  assert not updates


@each
def test_a_later_call_replaces_the_logits(name: str) -> None:
  model = arch.build(name, num_classes=3, **RATES[name], dtype=jnp.bfloat16)

  def twice(x: Any) -> Any:
    variables = model.init(jax.random.key(0), x, train=True)
    assert set(variables) == {'params', 'batch_stats'}
    mutable = ['batch_stats', 'aux_logits']
    for _ in range(2):
      _, updates = model.apply(variables, x, train=True, mutable=mutable)
      variables |= updates
    return variables['aux_logits']

  got = jax.eval_shape(twice, jax.ShapeDtypeStruct(SHAPES[name], jnp.float32))
  for key in HEADS[name]:
    assert (got[key].shape, got[key].dtype) == ((4, 3), jnp.float32)


def test_inception_v3_names_the_size_it_needs_to_train() -> None:
  model, x = arch.build('inception_v3'), jnp.zeros((1, 75, 299, 3))
  with pytest.raises(ValueError, match='got 75 x 299 pixels, expected at least 299'):
    jax.eval_shape(
      lambda x: model.apply(
        model.init(jax.random.key(0), x, train=False), x, train=True
      ),
      x,
    )
