from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.rnn.embedding import Embed, check_tokens

VOCAB, SIZE = 50, 4
TOKENS = jnp.asarray(np.random.default_rng(0).integers(VOCAB, size=(8, 30)))
RATE = 0.4
EMBED = Embed(VOCAB, SIZE, dropout_rate=RATE)
VARIABLES = EMBED.init(jax.random.key(0), TOKENS)


def dropped(key: int) -> Any:
  rngs = {'dropout': jax.random.key(key)}
  return np.asarray(EMBED.apply(VARIABLES, TOKENS, train=True, rngs=rngs))


def test_words_are_dropped_whole_and_everywhere() -> None:
  plain, x = np.asarray(EMBED.apply(VARIABLES, TOKENS)), dropped(1)
  zero = ~x.any(axis=-1)
  np.testing.assert_array_equal(zero, ~x.all(axis=-1))
  np.testing.assert_allclose(x[~zero], plain[~zero] / (1 - RATE), rtol=1e-6)
  for token in range(VOCAB):
    assert len(set(zero[token == TOKENS].tolist())) <= 1
  assert 0.2 < zero.mean() < 0.6
  assert (zero != ~dropped(2).any(axis=-1)).any()


def test_nothing_is_dropped_without_train() -> None:
  table = np.asarray(VARIABLES['params']['embedding'])
  x = EMBED.apply(VARIABLES, TOKENS, train=False)
  np.testing.assert_array_equal(x, table[TOKENS])


@pytest.mark.parametrize(
  ('tokens', 'message'),
  [
    (TOKENS + 1.0, r'words: got float32\(8, 30\), expected integers'),
    (TOKENS[0], r'words: got int32\(30,\), expected integers \[batch, time\]'),
    (TOKENS.at[2, 3].set(VOCAB), 'words: got 50, expected 0 to 49, for a vocabulary'),
    (TOKENS.at[2, 3].set(-1), 'words: got -1, expected 0 to 49'),
  ],
)
def test_tokens_that_do_not_fit_are_named(tokens: Any, message: str) -> None:
  with pytest.raises(ValueError, match=message):
    check_tokens('words', tokens, VOCAB)


def test_values_are_not_seen_under_jit() -> None:
  jax.jit(lambda t: check_tokens('words', t, 1))(TOKENS)


def test_a_rate_is_a_probability_below_1() -> None:
  with pytest.raises(ValueError, match=r'^dropout_rate: got 1\.0, expect'):
    Embed(VOCAB, SIZE, dropout_rate=1.0)
