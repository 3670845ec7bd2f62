"""What a run does about numbers that are not finite."""

from typing import Any

import numpy as np

from .errors import RunError


def check_finite(step: int, metrics: Any, indices: np.ndarray) -> None:
  """Refuses a step whose loss or gradient was not finite.

  Args:
    step: the step's number, from 1.
    metrics: its metrics, as `train_step` returns them, fetched.
    indices: the positions of its examples in the training split.

  Raises:
    RunError: one of the metrics is infinite or not a number.
  """
  wrong = [k for k, (total, _) in metrics.items() if not np.all(np.isfinite(total))]
  if wrong:
    examples = ', '.join(map(str, sorted(indices)))
    raise RunError(
      f'step {step}: {" and ".join(wrong)} not finite, and nothing of it was saved. '
      'Another --workdir may do better with a lower config.optimizer.learning_rate, a '
      "config.optimizer.clip_norm, or config.on_nonfinite='skip', which leaves such "
      f'steps out. It had the training examples {examples}'
    )
