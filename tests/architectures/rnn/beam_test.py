import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convscan.architectures.rnn import beam_search

BATCH, VOCAB, EOS = 2, 3, 2
# A model that remembers two tokens: logits[example, token before, token].
TABLE = np.random.default_rng(1).normal(size=(BATCH, VOCAB, VOCAB, VOCAB)) * 2
TABLE = TABLE.astype(np.float32)
START = jnp.zeros(BATCH, jnp.int32)


def step(state: Any, tokens: Any) -> Any:
  table, before = state
  logits = table[jnp.arange(len(tokens)), before, tokens]
  return (table, tokens), logits


def search(beam_size: int, max_length: int, **fields: Any) -> Any:
  run = jax.jit(
    partial(beam_search, step, eos_token=EOS, **fields),
    static_argnames=('beam_size', 'max_length'),
  )
  state = jnp.asarray(TABLE), jnp.zeros(BATCH, jnp.int32)
  tokens, scores = run(state, START, beam_size=beam_size, max_length=max_length)
  return np.asarray(tokens), np.asarray(scores)


def log_prob(example: int, tokens: Any) -> tuple[float, int]:
  """The log-probability of a sequence up to its end, in float64, and its length."""
  total, length, before, last = 0.0, 0, 0, 0
  for token in tokens:
    length += 1
    logits = TABLE[example, before, last].astype(np.float64)
    total += logits[token] - np.log(np.exp(logits).sum())
    before, last = last, token
    if token == EOS:
      break
  return total, length


def all_sequences(length: int) -> list[tuple[int, ...]]:
  """Every sequence, those that end filled up with the end token."""
  return [
    s
    for s in itertools.product(range(VOCAB), repeat=length)
    if EOS not in s or set(s[s.index(EOS) :]) == {EOS}
  ]


@pytest.mark.parametrize('alpha', [0.0, 1.0])
@pytest.mark.parametrize('length', [1, 4])
def test_a_full_beam_ranks_every_sequence(length: int, alpha: float) -> None:
  sequences = all_sequences(length)
  tokens, scores = search(VOCAB**length, length, length_penalty=alpha)
  for b in range(BATCH):
    ranked = []
    for s in sequences:
      total, n = log_prob(b, s)
      ranked.append((total / ((5 + n) / 6) ** alpha, s))
    ranked.sort(reverse=True)
    n = len(ranked)
    np.testing.assert_allclose(scores[b, :n], [r[0] for r in ranked], rtol=1e-5)
    assert [tuple(s) for s in tokens[b, :n]] == [r[1] for r in ranked]
    assert (scores[b, n:] == -np.inf).all()


def test_a_penalty_changes_the_winner() -> None:
  winners = [search(81, 4, length_penalty=alpha)[0][:, 0] for alpha in (0.0, 5.0)]
  assert (winners[0] != winners[1]).any()


def test_a_beam_of_one_is_greedy() -> None:
  tokens, scores = search(1, 6)
  for b in range(BATCH):
    expected: list[int] = []
    before, last = 0, 0
    while len(expected) < 6 and last != EOS:
      before, last = last, int(TABLE[b, before, last].argmax())
      expected.append(last)
    assert tokens[b, 0].tolist() == expected + [EOS] * (6 - len(expected))
    np.testing.assert_allclose(scores[b, 0], log_prob(b, expected)[0], rtol=1e-5)


@pytest.mark.parametrize('beam_size', [2, 4])
def test_a_narrow_beam_is_sorted_and_scores_what_it_returns(beam_size: int) -> None:
  tokens, scores = search(beam_size, 5, length_penalty=0.7)
  assert tokens.shape == (BATCH, beam_size, 5)
  assert (np.diff(scores) <= 0).all()
  for b in range(BATCH):
    assert len({tuple(s) for s in tokens[b]}) == beam_size
    for s, score in zip(tokens[b], scores[b], strict=True):
      total, n = log_prob(b, s)
      np.testing.assert_allclose(score, total / ((5 + n) / 6) ** 0.7, rtol=1e-5)
      if EOS in s:
        assert (s[s.tolist().index(EOS) :] == EOS).all()


def test_the_loop_ends_when_all_have() -> None:
  steps: list[None] = []

  def certain(state: Any, tokens: Any) -> Any:
    jax.debug.callback(lambda: steps.append(None))
    return state, jnp.tile(jnp.array([-1e9, -1e9, 0.0]), (len(tokens), 1))

  tokens, scores = beam_search(
    certain, (), START, beam_size=1, max_length=50, eos_token=EOS
  )
  jax.effects_barrier()
  assert len(steps) == 1
  assert (np.asarray(tokens) == EOS).all()
  np.testing.assert_array_equal(scores, 0)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'beam_size': 0}, 'beam_size: got 0, expected 1'),
    ({'max_length': 0}, 'max_length: got 0, expected 1'),
    ({'eos_token': 3}, 'eos_token: got 3, expected 0 to 2'),
    ({'start_tokens': START[None]}, r'start_tokens: got int32\(1, 2\), expected int'),
    ({'start_tokens': START * 1.0}, r'start_tokens: got float32\(2,\), expected int'),
  ],
)
def test_arguments_that_do_not_fit_are_named(fields: Any, message: str) -> None:
  state = jnp.asarray(TABLE), jnp.zeros(BATCH, jnp.int32)
  arguments = dict(start_tokens=START, beam_size=2, max_length=2, eos_token=EOS)
  with pytest.raises(ValueError, match=message):
    beam_search(step, state, **arguments | fields)  # type: ignore[arg-type]
