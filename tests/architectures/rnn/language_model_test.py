from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.rnn import ElmanCell, LanguageModel, sample
from convscan.architectures.rnn.language_model import MODELS

VOCAB, BATCH, TIME = 11, 2, 6
SMALL = dict(vocab_size=VOCAB, embedding_features=5, hidden_features=4)
TOKENS = jnp.asarray(np.random.default_rng(0).integers(VOCAB, size=(BATCH, TIME)))
close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)


def make(name: str, **fields: Any) -> tuple[LanguageModel, Any]:
  """A model whose weights are large enough for logits that differ."""
  model = MODELS[name](**SMALL | fields)
  variables = jax.jit(partial(model.init, train=False))(jax.random.key(0), TOKENS)
  return model, jax.tree.map(lambda x: 3 * x, variables)


def compiled(model: LanguageModel, **arguments: Any) -> Any:
  return jax.jit(partial(model.apply, train=False, **arguments))


@pytest.mark.parametrize('name', MODELS)
def test_logits_are_float32_and_differ(name: str) -> None:
  model, variables = make(name, dtype=jnp.bfloat16)
  logits = compiled(model)(variables, TOKENS)
  assert (logits.shape, logits.dtype) == ((BATCH, TIME, VOCAB), jnp.float32)
  assert np.asarray(logits).std(axis=(0, 1)).min() > 1e-2
  layer = variables['params']['layers_1']
  assert list(layer) == ['cell']
  assert layer['cell']['recurrent_kernel'].shape[0] == 4


@pytest.mark.parametrize('name', MODELS)
def test_gradient_reaches_every_parameter(name: str) -> None:
  model, variables = make(name)
  f = lambda v: jnp.sum(model.apply(v, TOKENS, train=False) ** 2)  # noqa: E731
  grads = jax.jit(jax.grad(f))(variables)
  for path, grad in jax.tree_util.tree_leaves_with_path(grads):
    assert np.asarray(grad).any(), path


def test_a_logit_depends_on_no_later_token() -> None:
  model, variables = make('lstm_lm')
  embedding = variables['params']['embed']['embedding']
  tokens = jnp.arange(TIME)[None]  # Each position has its own row of the embedding.

  def energies(embedding: jax.Array) -> jax.Array:
    params = variables['params'] | {'embed': {'embedding': embedding}}
    logits = model.apply({'params': params}, tokens, train=False)
    return jnp.sum(logits[0] ** 2, axis=-1)

  depends = np.asarray(jax.jit(jax.jacrev(energies))(embedding)).any(axis=-1)
  np.testing.assert_array_equal(depends, np.tri(TIME, VOCAB, dtype=bool))


def test_a_carry_continues_a_sequence() -> None:
  model, variables = make('gru_lm')
  run = partial(compiled(model, return_carry=True), variables)
  carry, logits = run(TOKENS)
  middle, head = run(TOKENS[:, :2])
  final, tail = run(TOKENS[:, 2:], initial_carry=middle)
  close(jnp.concatenate([head, tail], axis=1), logits)
  jax.tree.map(close, final, carry)


def test_dropout_needs_train_and_a_key() -> None:
  model, variables = make('lstm_lm', dropout_rate=0.5)
  run = partial(model.apply, variables, TOKENS)
  first, second = (run(train=True, rngs={'dropout': jax.random.key(i)}) for i in (1, 2))
  assert not jnp.allclose(first, second)
  np.testing.assert_array_equal(run(train=False), run(train=False))


@pytest.mark.parametrize('num_layers', [1, 2])
def test_gates_are_the_last_layers(num_layers: int) -> None:
  model, variables = make('lstm_lm', num_layers=num_layers)
  gates = model.apply(variables, TOKENS, method='gates')
  assert list(gates) == ['input', 'forget', 'cell', 'output']
  # The gates imply the cell state c, and c and o the hidden state that is returned.
  c = np.zeros((BATCH, 4))
  for t in range(TIME):
    i, f, g, o = (np.asarray(gate[:, t], np.float64) for gate in gates.values())
    c = f * c + i * g
  carry, _ = model.apply(variables, TOKENS, train=False, return_carry=True)
  close(carry[-1], (c, o * np.tanh(c)))


def test_gates_of_a_cell_without_are_an_error() -> None:
  model, variables = make('elman_lm')
  with pytest.raises(ValueError, match='ElmanCell has no gates'):
    model.apply(variables, TOKENS, method='gates')


def test_any_cell_is_injected() -> None:
  for cell in (partial(ElmanCell, activation_fn=nn.relu), nn.OptimizedLSTMCell):
    model = LanguageModel(cell=cell, **SMALL)
    logits, _ = model.init_with_output(jax.random.key(0), TOKENS, train=False)
    assert logits.shape == (BATCH, TIME, VOCAB)


@pytest.mark.parametrize('name', MODELS)
def test_greedy_samples_are_the_argmax_of_the_whole_text(name: str) -> None:
  model, variables = make(name)
  text = np.pad(TOKENS, ((0, 0), (0, 4)))
  run = compiled(model)
  for t in range(TIME, TIME + 4):
    text[:, t] = run(variables, text)[:, t - 1].argmax(-1)
  draw = jax.jit(sample, static_argnames=('model', 'length'))
  got = draw(model, variables, jax.random.key(0), TOKENS, 4, temperature=0.0)
  np.testing.assert_array_equal(got, text[:, TIME:])


def test_samples_are_a_function_of_the_key() -> None:
  model, variables = make('gru_lm')
  draw = jax.jit(partial(sample, model), static_argnames='length')
  first, again, other = (
    draw(variables, jax.random.key(i), TOKENS, length=20, temperature=1.0)
    for i in (0, 0, 1)
  )
  assert first.shape == (BATCH, 20)
  assert first.dtype == TOKENS.dtype
  np.testing.assert_array_equal(first, again)
  assert (first != other).any()


def test_samples_have_the_models_distribution() -> None:
  model, variables = make('lstm_lm')
  prompts, temperature = np.tile(TOKENS[:1], (20_000, 1)), 2.0
  logits = compiled(model)(variables, TOKENS)[0, -1]
  drawn = sample(model, variables, jax.random.key(0), prompts, 1, temperature)
  frequency = np.bincount(drawn[:, 0], minlength=VOCAB) / len(prompts)
  np.testing.assert_allclose(
    frequency, jax.nn.softmax(logits / temperature), atol=0.015
  )


def test_arguments_that_do_not_fit_are_named() -> None:
  model, variables = make('elman_lm')
  with pytest.raises(ValueError, match=r'tokens: got float32\(2, 6\), expected int'):
    model.apply(variables, TOKENS.astype(jnp.float32), train=False)
  with pytest.raises(ValueError, match=r'initial_carry: got 1 carries, expected 2'):
    model.apply(variables, TOKENS, train=False, initial_carry=(None,))
  with pytest.raises(ValueError, match=r'prompt_tokens: got \(2, 0\), expected time'):
    sample(model, variables, jax.random.key(0), TOKENS[:, :0], 3)


def awd(**off: float) -> tuple[LanguageModel, Any, Any]:
  """An AWD-LSTM without the dropouts that `off` does not name."""
  rates = dict.fromkeys(
    (
      'dropout_rate',
      'input_dropout_rate',
      'between_dropout_rate',
      'embedding_dropout_rate',
      'dropconnect_rate',
    ),
    0.0,
  )
  model, variables = make('awd_lstm_lm', **rates | off)
  capturing = partial(model.apply, mutable='intermediates', capture_intermediates=True)
  run = jax.jit(capturing, static_argnames='train')

  def outputs(train: bool) -> Any:
    rngs = {'dropout': jax.random.key(1)}
    logits, captured = run(variables, TOKENS, train=train, rngs=rngs)
    return logits, captured['intermediates']

  return model, variables, outputs


def test_tied_embeddings_are_one_parameter() -> None:
  model, variables = make('awd_lstm_lm')
  params = variables['params']
  bias = params['head_bias'] + jnp.arange(VOCAB)
  variables = {'params': params | {'head_bias': bias}}
  assert set(params) == {'embed', 'head_bias', 'layers_0', 'layers_1', 'layers_2'}
  sizes = [params[f'layers_{i}']['cell']['recurrent_kernel'].shape[0] for i in range(3)]
  assert sizes == [4, 4, 5]
  carry, logits = compiled(model, return_carry=True)(variables, TOKENS)
  h = np.asarray(carry[-1][1], np.float64)
  table = np.asarray(params['embed']['embedding'], np.float64)
  close(logits[:, -1], h @ table.T + np.asarray(bias))


def test_the_awd_lstm_has_the_papers_size() -> None:
  model = MODELS['awd_lstm_lm'](vocab_size=10_000)
  shapes = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), TOKENS)
  lstm = [(400, 1150), (1150, 1150), (1150, 400)]
  layers = sum(4 * n * (m + n + 1) for m, n in lstm)
  total = sum(x.size for x in jax.tree.leaves(shapes))
  assert total == 10_000 * 401 + layers == 24_210_800


@pytest.mark.parametrize(
  'rate',
  [
    'dropout_rate',
    'input_dropout_rate',
    'between_dropout_rate',
    'embedding_dropout_rate',
    'dropconnect_rate',
  ],
)
def test_each_dropout_needs_train(rate: str) -> None:
  _, _, outputs = awd(**{rate: 0.5})
  _, _, plain = awd()
  np.testing.assert_array_equal(outputs(train=False)[0], plain(train=True)[0])
  assert not np.allclose(outputs(train=True)[0], plain(train=True)[0])


@pytest.mark.parametrize(
  ('rate', 'module', 'calls'),
  [
    ('dropout_rate', 'dropout', 1),
    ('input_dropout_rate', 'input_dropout', 1),
    ('between_dropout_rate', 'between_dropout', 2),
  ],
)
def test_dropped_units_are_the_same_at_every_step(
  rate: str, module: str, calls: int
) -> None:
  _, _, outputs = awd(**{rate: 0.5})
  seen = outputs(train=True)[1][module]['__call__']
  assert len(seen) == calls
  for x in seen:
    zero = np.asarray(x) == 0
    assert zero.any()
    assert not zero.all()
    np.testing.assert_array_equal(zero, np.repeat(zero[:, :1], TIME, axis=1))
  masks = [np.asarray(x)[:, 0] == 0 for x in seen]
  assert (masks[0][0] != masks[0][1]).any()  # Not the same for every sequence.


def test_the_words_that_drop_are_whole() -> None:
  _, _, outputs = awd(embedding_dropout_rate=0.5)
  x = np.asarray(outputs(train=True)[1]['embed']['__call__'][-1])
  zero = ~x.any(axis=-1)
  np.testing.assert_array_equal(zero, ~x.all(axis=-1))
  assert 0 < zero.mean() < 1
  for token in range(VOCAB):
    assert len(set(zero[np.asarray(TOKENS) == token].tolist())) <= 1


def test_tokens_out_of_range_are_named() -> None:
  model, variables = make('elman_lm')
  for tokens in (TOKENS.at[1, 2].set(VOCAB), TOKENS.at[1, 2].set(-1)):
    with pytest.raises(ValueError, match=r'tokens: got (11|-1), expected 0 to 10'):
      model.apply(variables, tokens, train=False)
  with pytest.raises(ValueError, match='prompt_tokens: got 11, expected 0 to 10'):
    sample(model, variables, jax.random.key(0), TOKENS.at[0, 0].set(VOCAB), 3)
  with pytest.raises(ValueError, match=r'embedding_dropout_rate: got 1\.0, expected'):
    make('elman_lm', embedding_dropout_rate=1.0)


@pytest.mark.parametrize('time', [1, TIME])
def test_the_penalties_are_the_papers(time: int) -> None:
  fields = dict(num_layers=2, dropout_rate=0.5, between_dropout_rate=0.3)
  model, variables = make(
    'lstm_lm', **fields, activation_penalty=2.0, temporal_penalty=3.0
  )
  _, sown = model.apply(
    variables,
    TOKENS[:, :time],
    train=True,
    rngs={'dropout': jax.random.key(1)},
    mutable=['losses', 'intermediates'],
    capture_intermediates=True,
  )
  (penalty,) = sown['losses']['penalty']
  assert (penalty.shape, penalty.dtype) == ((BATCH, time), jnp.float32)
  outputs = np.asarray(sown['intermediates']['layers_1']['__call__'][0][1], np.float64)
  dropped = np.asarray(sown['intermediates']['dropout']['__call__'][-1], np.float64)
  assert (dropped == 0).sum() > 0.2 * dropped.size
  expected = 2 * (dropped**2).mean()
  if time > 1:
    expected += 3 * ((outputs[:, 1:] - outputs[:, :-1]) ** 2).mean()
  close(penalty.mean(), expected)


def test_penalties_are_of_training_alone() -> None:
  model, variables = make('lstm_lm', activation_penalty=2.0)
  for other, train in ((model, False), (model.clone(activation_penalty=0.0), True)):
    _, sown = other.apply(variables, TOKENS, train=train, mutable=['losses'])
    assert not sown
  with pytest.raises(ValueError, match=r'temporal_penalty: got -1\.0, expected 0 or'):
    make('lstm_lm', temporal_penalty=-1.0)
