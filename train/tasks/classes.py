"""What all tasks with classes measure.

A confusion matrix is not kept, since the scores need only how often each class is true,
predicted, and both: three numbers a class, for a thousand classes too.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .losses import cross_entropy, shares, total_weight
from .task import Batch, Metrics, Options, weighted, weighted_rows

# With fewer classes than this five guesses say little.
_TOP5_FROM = 10


def parts(options: Options) -> dict[str, Any]:
  """Returns the fields of a `Task` that all of these share."""
  losses = functools.partial(
    cross_entropy,
    label_smoothing=options.label_smoothing,
    class_weights=options.class_weights,
  )
  total = functools.partial(total_weight, class_weights=options.class_weights)

  def few(logits: jax.Array, batch: Batch) -> Metrics:
    """Returns the loss, and the share of targets that are right.

    Of a target that is shares of classes, the share of the class that is predicted.
    """
    loss = jnp.sum(losses(logits, batch['targets']) * batch['weights'])
    targets, guesses = batch['targets'], jnp.argmax(logits, axis=-1)
    mixed = targets.ndim > batch['weights'].ndim
    right = _at(targets, guesses) if mixed else guesses == targets
    return {
      'loss': (loss, total(batch)),
      'accuracy': weighted(right, batch['weights']),
    }

  return {
    'losses': losses,
    'total_weight': total,
    'metrics': few,
    'evaluate': lambda logits, batch: (
      few(logits, batch) | scores(logits, batch),
      predictions(logits, batch),
    ),
    'derive': derive,
    'record': record,
  }


def scores(logits: jax.Array, batch: Batch) -> Metrics:
  """Returns what `derive` makes its scores of, the plain cross-entropy, and top-5.

  `counts` is `[3, classes]`: how often each is true, predicted, and both. It is exact
  while a batch has fewer than 2**24 targets.
  """
  num_classes, weights = logits.shape[-1], batch['weights']
  t = shares(batch['targets'], num_classes, weights.ndim)
  p = jax.nn.one_hot(jnp.argmax(logits, axis=-1), num_classes)
  counts = [weighted_rows(x, weights)[0] for x in (t, p, t * p)]
  found: Metrics = {
    'cross_entropy': weighted(cross_entropy(logits, batch['targets']), weights),
    'counts': (jnp.stack(counts), jnp.sum(weights)),
  }
  if num_classes >= _TOP5_FROM:
    own = _at(logits, jnp.argmax(t, axis=-1))[..., None]
    # Not `logits > own`, which would find logits that are not numbers right.
    rank = jnp.sum(~(logits <= own), axis=-1)
    found['top5_accuracy'] = weighted(rank < 5, weights)
  return found


def derive(means: Mapping[str, Any]) -> dict[str, float]:
  """Replaces `counts` by the scores that follow from them.

  As scikit-learn has them: means over classes (`macro`) are over those that are true or
  predicted anywhere, balanced accuracy's over those that are true; 0 / 0 is 0.

  >>> counts = np.array([[0.5, 0.5], [0.75, 0.25], [0.5, 0.25]])
  >>> round(derive({'accuracy': 0.75, 'counts': counts})['f1_macro'], 4)
  0.7333
  """
  if 'counts' not in means:
    return dict(means)
  true, predicted, both = means['counts']
  seen = true + predicted > 0
  precision, recall = _ratio(both, predicted), _ratio(both, true)
  f1 = _ratio(2 * both, true + predicted)
  chance, accuracy = true @ predicted, both.sum()
  spread = np.sqrt((1 - true @ true) * (1 - predicted @ predicted))
  rest = {k: v for k, v in means.items() if k != 'counts'}
  found = {
    'balanced_accuracy': _mean(recall[true > 0]),
    'precision_macro': _mean(precision[seen]),
    'recall_macro': _mean(recall[seen]),
    'f1_macro': _mean(f1[seen]),
    'precision_weighted': true @ precision,
    'f1_weighted': true @ f1,
    'cohen_kappa': _ratio(accuracy - chance, 1 - chance),
    'matthews': _ratio(accuracy - chance, spread),
    'mean_iou': _mean(_ratio(both, true + predicted - both)[seen]),
  }
  return rest | {k: float(v) for k, v in found.items()}


def predictions(logits: jax.Array, batch: Batch) -> dict[str, jax.Array]:
  """Returns for each target its class, its weight and what the model says of it.

  `predicted` is the most probable class, and `log_prob` the natural logarithm of the
  probability that the model gives to the target. Of a target that is shares of classes
  it is the class with the largest.
  """
  targets = batch['targets']
  if targets.ndim > batch['weights'].ndim:
    targets = jnp.argmax(targets, axis=-1).astype(jnp.int32)
  return {
    'targets': targets,
    'weights': batch['weights'],
    'predicted': jnp.argmax(logits, axis=-1).astype(jnp.int32),
    'log_prob': _at(jax.nn.log_softmax(logits.astype(jnp.float32)), targets),
  }


def record(
  predictions: Mapping[str, Any], place: tuple[int, ...], classes: tuple[str, ...]
) -> dict[str, Any]:
  """Returns the target, the class predicted, and the target's probability."""
  return {
    'target': classes[predictions['targets'][place]],
    'predicted': classes[predictions['predicted'][place]],
    'target_probability': f'{np.exp(predictions["log_prob"][place]):.6f}',
  }


def _at(values: jax.Array, classes: jax.Array) -> jax.Array:
  return jnp.take_along_axis(values, classes[..., None], axis=-1)[..., 0]


def _ratio(a: Any, b: Any) -> Any:
  return np.divide(a, b, out=np.zeros_like(b), where=np.asarray(b) > 0)


def _mean(values: np.ndarray) -> float:
  return values.mean() if values.size else 0.0
