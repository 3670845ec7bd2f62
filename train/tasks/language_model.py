"""The next token, given all before it."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import figures
from . import classes
from .losses import cross_entropy
from .task import Batch, Metrics, Options, Results, Task, weighted


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _sample(model: Any, variables: Any, key: jax.Array, length: int, t: float) -> Any:
  start = jnp.zeros((1, 1), jnp.int32)  # the start-of-text token
  return model.sample(variables, key, start, length, t)


def paragraph(
  model: Any, variables: Any, dataset: Any, key: jax.Array, config: Any
) -> str:
  """Samples a paragraph, as `config.sample` says, from the start of a text."""
  length, temperature = config.sample.length, config.sample.temperature
  tokens = _sample(model, variables, key, length, temperature)
  return dataset.decode(np.asarray(tokens)[0]).replace(dataset.classes[0], '\n')


def draw(r: Results) -> list[str]:
  """Draws bits per token, and what the gates do over one held-out sentence."""
  unit = r.dataset.tokens.unit
  bits = figures.curves(
    r.folder, r.history, r.split, f'bits_per_{unit}', f'bits per {unit}'
  )
  drawn = [bits]
  tokens = np.asarray(r.dataset.splits[r.split][0]['inputs'])
  if unit != 'char' or not r.model.has_gates:  # words would not fit below the gates
    return drawn
  gates = r.model.apply(r.variables, tokens[None], method='gates')
  # Its first sentence, after the underlined title, or as much of it as is readable; in
  # what is no text, such as brackets, no sentence ends.
  names = [r.dataset.classes[t] for t in tokens]
  text = ''.join(name[0] for name in names)
  begin = text.find('\n\n') + 2
  end = text.find('.', begin) + 1 or text.rfind(' ') + 1 or len(text)
  sentence = slice(begin, min(end, begin + 90))
  shown = {name: a[:, sentence] for name, a in gates.items()}
  return [*drawn, figures.gates(r.folder, names[sentence], shown)]


def make(options: Options) -> Task:
  """Returns the task."""
  shared = classes.parts(options)
  bits_name = f'bits_per_{options.unit}'
  by_letter = options.unit in ('char', 'byte')

  def metrics(logits: jax.Array, batch: Batch) -> Metrics:
    """Adds bits per token: the plain cross-entropy in units of ln 2."""
    bits = cross_entropy(logits, batch['targets']) / math.log(2)
    found = shared['metrics'](logits, batch)
    return found | {bits_name: weighted(bits, batch['weights'])}

  def derive(means: dict[str, Any]) -> dict[str, float]:
    """Adds the perplexity of words, two to the power of their bits."""
    if by_letter:
      return means
    bits = means[bits_name]
    # No float is as large as the other.
    return means | {'perplexity': 2.0**bits if bits < 1024 else math.inf}

  # The scores of each class say little of characters, and cost much of 50,000 tokens.
  return Task(
    **shared
    | {
      'metrics': metrics,
      'evaluate': lambda logits, batch: (
        metrics(logits, batch),
        classes.predictions(logits, batch),
      ),
      'derive': derive,
    },
    size_field='vocab_size',
    shown=('loss', 'accuracy', bits_name if by_letter else 'perplexity'),
    places=('position',),
    at_evaluation=paragraph,
    figures=draw,
  )
