import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.rnn import DotAttention, GRUCell, LuongDecoder
from convscan.architectures.rnn.encoder_decoder import MODELS

BATCH, SOURCE, TIME, VOCAB, TARGET_VOCAB, H = 3, 5, 4, 9, 3, 4
BOS, EOS = 0, 2
LENGTHS = np.array([5, 2, 1])
VALID = np.arange(SOURCE) < LENGTHS[:, None]
RNG = np.random.default_rng(0)
X = RNG.integers(VOCAB, size=(BATCH, SOURCE))
TARGETS = RNG.integers(TARGET_VOCAB, size=(BATCH, TIME))
SMALL = dict(
  vocab_size=VOCAB,
  target_vocab_size=TARGET_VOCAB,
  hidden_features=H,
  embedding_features=3,
)
close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)


def make(name: str, **fields: Any) -> tuple[Any, Any]:
  """A model whose weights are large enough for logits that differ."""
  model = MODELS[name](**SMALL | fields)
  init = jax.jit(partial(model.init, train=False))
  variables = init(jax.random.key(0), X, TARGETS)
  noise = lambda x: x + jax.random.normal(jax.random.key(1), x.shape)  # noqa: E731
  return model, jax.tree.map(noise, variables)


def compiled(model: Any, **arguments: Any) -> Any:
  return jax.jit(partial(model.apply, train=False, **arguments))


@pytest.mark.parametrize('num_layers', [1, 2])
@pytest.mark.parametrize('name', MODELS)
def test_logits_differ_and_gradients_reach_every_parameter(
  name: str, num_layers: int
) -> None:
  model, variables = make(name, num_layers=num_layers)
  logits = compiled(model)(variables, X, TARGETS)
  assert (logits.shape, logits.dtype) == ((BATCH, TIME, TARGET_VOCAB), jnp.float32)
  assert np.asarray(logits).std(axis=(0, 1)).min() > 1e-2
  f = lambda v: jnp.sum(model.apply(v, X, TARGETS, train=False) ** 2)  # noqa: E731
  for path, grad in jax.tree_util.tree_leaves_with_path(
    jax.jit(jax.grad(f))(variables)
  ):
    assert np.asarray(grad).any(), path


@pytest.mark.parametrize('name', MODELS)
def test_padding_of_the_source_changes_nothing(name: str) -> None:
  model, variables = make(name)
  run = compiled(model, source_lengths=LENGTHS)
  logits = run(variables, X, TARGETS)
  other = np.where(VALID, X, (X + 1) % VOCAB)
  np.testing.assert_array_equal(run(variables, other, TARGETS), logits)
  alone = compiled(model)(variables, X[1:2, :2], TARGETS[1:2])
  close(logits[1:2], alone)


@pytest.mark.parametrize('name', MODELS)
def test_a_logit_depends_on_no_later_target(name: str) -> None:
  model, variables = make(name, target_vocab_size=TIME)
  params = variables['params']
  targets = np.arange(TIME)[None]  # Each position has its own row of the embedding.

  def energies(embedding: jax.Array) -> jax.Array:
    changed = {'params': params | {'target_embed': {'embedding': embedding}}}
    logits = model.apply(changed, X[:1], targets, train=False)
    return jnp.sum(logits[0] ** 2, axis=-1)

  slopes = jax.jit(jax.jacrev(energies))(params['target_embed']['embedding'])
  depends = np.asarray(slopes).any(axis=-1)
  np.testing.assert_array_equal(depends, np.tri(TIME, dtype=bool))


def dense(params: Any, x: Any) -> Any:
  return x @ np.asarray(params['kernel'], np.float64) + np.asarray(
    params.get('bias', 0)
  )


@pytest.mark.parametrize('name', MODELS)
def test_equals_a_loop_over_the_steps(name: str) -> None:
  model, variables = make(name)
  logits = compiled(model, source_lengths=LENGTHS)(variables, X, TARGETS)
  outputs, final = model.apply(variables, X, seq_lengths=LENGTHS, method='encode')
  p = variables['params']['decode_layers']
  make_cell = model.decoder.keywords['cell']
  attention = model.decoder.keywords['attention']
  for b, n in enumerate(LENGTHS):
    keys = outputs[b : b + 1, :n]

    def attend(h: Any, keys: Any = keys) -> Any:
      variables = {'params': p['attention']}
      return np.asarray(attention.apply(variables, h[:, None], keys)[0][:, 0])

    carry: Any = [
      jnp.tanh(jnp.asarray(dense(bridge, np.asarray(final[b : b + 1])), jnp.float32))
      for bridge in p['bridge'].values()
    ]
    carry = carry[0] if len(carry) == 1 else tuple(carry)
    for t in range(TIME):
      x = np.asarray(variables['params']['target_embed']['embedding'])[TARGETS[b, t]]
      x = x[None]
      step = partial(make_cell(H).apply, {'params': p['cells_0']})
      if 'bahdanau' in name:
        c = attend(carry)
        carry, h = step(carry, np.concatenate([x, c], -1))
        y = dense(p['combine'], np.concatenate([h, x, c], -1))
      else:
        carry, h = step(carry, x)
        y = dense(p['combine'], np.concatenate([attend(h), h], -1))
      close(logits[b : b + 1, t], dense(variables['params']['head'], np.tanh(y)))


@pytest.mark.parametrize('name', MODELS)
def test_a_full_beam_finds_the_most_probable_target(name: str) -> None:
  model, variables = make(name)
  length = 3
  search = jax.jit(
    partial(
      model.beam_search,
      beam_size=TARGET_VOCAB**length,
      max_length=length,
      bos_token=BOS,
      eos_token=EOS,
    )
  )
  tokens, scores = search(variables, X, source_lengths=LENGTHS)
  sequences = [
    s
    for s in itertools.product(range(TARGET_VOCAB), repeat=length)
    if EOS not in s or set(s[s.index(EOS) :]) == {EOS}
  ]
  # Teacher forcing of every sequence with every source, one row each.
  rows = np.array([s for _ in range(BATCH) for s in sequences])
  inputs = np.pad(rows[:, :-1], ((0, 0), (1, 0)), constant_values=BOS)
  repeat = partial(np.repeat, repeats=len(sequences), axis=0)
  logits = compiled(model)(variables, repeat(X), inputs, source_lengths=repeat(LENGTHS))
  log_probs = np.asarray(jax.nn.log_softmax(logits), np.float64)
  each = np.take_along_axis(log_probs, rows[..., None], axis=-1)[..., 0]
  each = np.where(inputs == EOS, 0, each)  # After the end nothing is drawn.
  totals = each.sum(axis=1).reshape(BATCH, -1)
  for b in range(BATCH):
    order = np.argsort(-totals[b])
    close(scores[b, : len(order)], totals[b][order])
    assert tuple(np.asarray(tokens)[b, 0].tolist()) == sequences[order[0]]


@pytest.mark.parametrize('name', MODELS)
def test_a_beam_of_one_is_the_argmax_of_the_whole_text(name: str) -> None:
  model, variables = make(name, num_layers=2)
  length = 5
  text = np.full((BATCH, length + 1), BOS)
  run = compiled(model)
  for t in range(length):
    text[:, t + 1] = run(variables, X, text[:, :-1])[:, t].argmax(-1)
    text[:, t + 1] = np.where(text[:, t] == EOS, EOS, text[:, t + 1])
  tokens, _ = model.beam_search(
    variables, X, beam_size=1, max_length=length, bos_token=BOS, eos_token=EOS
  )
  np.testing.assert_array_equal(tokens[:, 0], text[:, 1:])


def test_dropout_needs_train_and_a_key() -> None:
  for name in MODELS:
    model, variables = make(name, dropout_rate=0.5)
    run = partial(model.apply, variables, X, TARGETS)
    first, second = (
      run(train=True, rngs={'dropout': jax.random.key(i)}) for i in (1, 2)
    )
    assert not jnp.allclose(first, second)
    np.testing.assert_array_equal(run(train=False), run(train=False))


def test_numbers_are_a_source_and_attention_is_injected() -> None:
  decoder = partial(LuongDecoder, cell=GRUCell, attention=DotAttention())
  fields: Any = dict(SMALL, vocab_size=None, decoder=decoder, dtype=jnp.bfloat16)
  model = MODELS['lstm_luong_seq2seq'](**fields)
  source = RNG.normal(size=(BATCH, SOURCE, 2)).astype(np.float32)
  logits, _ = model.init_with_output(jax.random.key(0), source, TARGETS, train=False)
  assert (logits.shape, logits.dtype) == ((BATCH, TIME, TARGET_VOCAB), jnp.float32)


@pytest.mark.parametrize(
  ('source', 'targets', 'message'),
  [
    (X + VOCAB, TARGETS, 'inputs: got .*expected 0 to 8'),
    (X, TARGETS + TARGET_VOCAB, 'targets: got .*expected 0 to 2'),
    (X, TARGETS[0], r'targets: got int64\(4,\), expected integers'),
    (X[:2], TARGETS, 'source, targets: got 2 and 3 examples'),
  ],
)
def test_arguments_that_do_not_fit_are_named(
  source: Any, targets: Any, message: str
) -> None:
  model = MODELS['lstm_luong_seq2seq'](**SMALL)
  with pytest.raises(ValueError, match=message):
    model.init(jax.random.key(0), source, targets, train=False)


def test_arguments_of_the_search_that_do_not_fit_are_named() -> None:
  model, variables = make('lstm_luong_seq2seq')
  search = partial(model.beam_search, variables, X, max_length=2)
  with pytest.raises(ValueError, match='bos_token: got 3, expected 0 to 2'):
    search(beam_size=2, bos_token=3, eos_token=EOS)
  with pytest.raises(ValueError, match='eos_token: got -1, expected 0 to 2'):
    search(beam_size=2, bos_token=BOS, eos_token=-1)
  with pytest.raises(ValueError, match='beam_size: got 0, expected 1'):
    search(beam_size=0, bos_token=BOS, eos_token=EOS)
  with pytest.raises(ValueError, match='target_vocab_size: got 0, expected 1'):
    make('lstm_luong_seq2seq', target_vocab_size=0)
