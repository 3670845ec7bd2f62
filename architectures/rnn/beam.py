"""Beam search over any model that takes one token at a time."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

State = Any  # A pytree of arrays [batch * beam, ...].
Step = Callable[[State, Array], tuple[State, Array]]


class Beams(NamedTuple):
  """The sequences kept so far.

  Attributes:
    time: how many steps have been taken.
    tokens: `[batch, beam, max_length]`, the end token where nothing stands yet.
    log_probs: `[batch, beam]`: of the sequences, not divided by anything.
    lengths: int `[batch, beam]`, with the end token.
    finished: bool `[batch, beam]`: the end token has come.
    state: the model's.
  """

  time: Array
  tokens: Array
  log_probs: Array
  lengths: Array
  finished: Array
  state: State


def length_norm(lengths: Array, alpha: float | Array) -> Array:
  r"""Returns what log-probabilities are divided by.

  .. math::
    \mathrm{lp}(Y) = \left(\frac{5 + |Y|}{5 + 1}\right)^\alpha

  Wu et al. 2016, https://arxiv.org/abs/1609.08144, equation 14, here without the
  coverage penalty.

  Args:
    lengths: of the sequences, with the end token.
    alpha: 0 for none, so that shorter sequences win; the paper has 0.2 for its task.

  >>> length_norm(jnp.array([1, 7]), 1.0)
  Array([1., 2.], dtype=float32)
  """
  return ((5 + lengths.astype(jnp.float32)) / 6) ** alpha


def beam_search(
  step: Step,
  state: State,
  start_tokens: Array,
  *,
  beam_size: int,
  max_length: int,
  eos_token: int,
  length_penalty: float | Array = 0.0,
) -> tuple[Array, Array]:
  """Finds sequences of high probability.

  At every step each unfinished sequence is continued by each token, and the best
  `beam_size` of these and of the finished ones stay, by log-probability over
  `length_norm`. A beam of 1 is greedy decoding; one that holds every sequence finds the
  best of all. The function is pure and goes under `jax.jit`, with `step`, `beam_size`
  and `max_length` static; its loop ends early if all sequences have.

  Args:
    step: takes a state and tokens `[batch * beam]`, and returns the next state and the
      logits `[batch * beam, vocab]` of the tokens after them. The beams of one example
      lie side by side.
    state: what `step` takes first, a pytree of arrays `[batch, ...]`.
    start_tokens: int `[batch]`, what `step` takes first; no part of the result.
    beam_size: how many sequences to keep for each example.
    max_length: the most tokens of a sequence, its end token included.
    eos_token: the token that ends a sequence.
    length_penalty: `alpha` of `length_norm`.

  Returns:
    `(tokens, scores)`: `[batch, beam, max_length]` in the dtype of `start_tokens`, the
    best first, filled up with the end token; and float32 `[batch, beam]`. Where fewer
    sequences exist than beams, the others' score is -inf.

  Raises:
    ValueError: an argument does not fit.

  >>> logits = jnp.log(jnp.array([0.1, 0.3, 0.6]))  # Whatever came before.
  >>> def step(state, tokens):
  ...   return state, jnp.tile(logits, (len(tokens), 1))
  >>> tokens, scores = beam_search(
  ...   step, (), jnp.array([0]), beam_size=2, max_length=3, eos_token=1
  ... )
  >>> tokens[0].tolist(), jnp.exp(scores[0]).round(3).tolist()
  ([[1, 1, 1], [2, 2, 2]], [0.3..., 0.216...])
  """
  for name, value in (('beam_size', beam_size), ('max_length', max_length)):
    if value < 1:
      raise ValueError(f'{name}: got {value}, expected 1 or more')
  if start_tokens.ndim != 1 or not jnp.issubdtype(start_tokens.dtype, jnp.integer):
    raise ValueError(
      f'start_tokens: got {start_tokens.dtype}{start_tokens.shape}, expected integers '
      '[batch]'
    )
  batch, dtype = len(start_tokens), start_tokens.dtype
  state = jax.tree.map(lambda x: jnp.repeat(x, beam_size, axis=0), state)
  previous = jnp.repeat(start_tokens, beam_size)
  vocab_size = jax.eval_shape(step, state, previous)[1].shape[-1]
  if not 0 <= eos_token < vocab_size:
    raise ValueError(f'eos_token: got {eos_token}, expected 0 to {vocab_size - 1}')

  # What a finished sequence is continued by: the end token, at no cost.
  stay = jnp.where(jnp.arange(vocab_size) == eos_token, 0.0, -jnp.inf)

  def advance(beams: Beams) -> Beams:
    last = beams.tokens[:, :, beams.time - 1].reshape(-1)
    state, logits = step(beams.state, jnp.where(beams.time == 0, previous, last))
    logits = logits.reshape(batch, beam_size, vocab_size).astype(jnp.float32)
    finished = beams.finished[..., None]
    added = jnp.where(finished, stay[None, None], jax.nn.log_softmax(logits))
    log_probs = beams.log_probs[..., None] + added
    lengths = beams.lengths + ~beams.finished

    scores = log_probs / length_norm(lengths, length_penalty)[..., None]
    _, best = lax.top_k(scores.reshape(batch, -1), beam_size)
    parents, tokens = best // vocab_size, (best % vocab_size).astype(dtype)

    def of_parent(x: Array) -> Array:
      index = jnp.expand_dims(parents, range(2, x.ndim))
      return jnp.take_along_axis(x, index, axis=1)

    rows = (jnp.arange(batch)[:, None] * beam_size + parents).reshape(-1)
    return Beams(
      time=beams.time + 1,
      tokens=of_parent(beams.tokens).at[:, :, beams.time].set(tokens),
      log_probs=jnp.take_along_axis(log_probs.reshape(batch, -1), best, axis=1),
      lengths=of_parent(lengths),
      finished=of_parent(beams.finished) | (tokens == eos_token),
      state=jax.tree.map(lambda x: x[rows], state),
    )

  shape = (batch, beam_size)
  # At first there is one sequence, the empty one, in the first beam.
  only = jnp.where(jnp.arange(beam_size) == 0, 0.0, -jnp.inf)
  beams = lax.while_loop(
    lambda beams: (beams.time < max_length) & ~jnp.all(beams.finished),
    advance,
    Beams(
      time=jnp.zeros((), jnp.int32),
      tokens=jnp.full((*shape, max_length), eos_token, dtype),
      log_probs=jnp.broadcast_to(only[None], shape).astype(jnp.float32),
      lengths=jnp.zeros(shape, jnp.int32),
      finished=jnp.zeros(shape, bool),
      state=state,
    ),
  )
  return beams.tokens, beams.log_probs / length_norm(beams.lengths, length_penalty)
