"""The next character, given all before it."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import figures
from .task import Task, class_losses, class_metrics


def derive(means: dict[str, float]) -> dict[str, float]:
  """Adds bits per character: the loss in units of ln 2.

  >>> round(derive({'loss': 0.6931})['bits_per_char'], 3)
  1.0
  """
  return means | {'bits_per_char': means['loss'] / math.log(2)}


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


def draw(
  folder: str,
  *,
  history: list[dict[str, Any]],
  predictions: dict[str, Any],
  model: Any,
  variables: Any,
  dataset: Any,
) -> list[str]:
  """Draws bits per character, and what the gates do over one held-out sentence."""
  drawn = [figures.curves(folder, history, 'bits_per_char', 'bits per character')]
  tokens = np.asarray(dataset.splits['test'][0]['inputs'])
  if not model.has_gates:
    return drawn
  gates = model.apply(variables, tokens[None], method='gates')
  # Its first sentence, after the underlined title, or as much of it as is readable.
  text = ''.join(dataset.classes[t] for t in tokens)
  begin = text.find('\n\n') + 2
  end = text.find('.', begin) + 1 or text.rfind(' ') + 1
  sentence = slice(begin, min(end, begin + 90))
  shown = {name: a[:, sentence] for name, a in gates.items()}
  return [*drawn, figures.gates(folder, text[sentence], shown)]


TASK = Task(
  size_field='vocab_size',
  losses=class_losses,
  metrics=class_metrics,
  derive=derive,
  at_evaluation=paragraph,
  figures=draw,
)
