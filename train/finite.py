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
      f'step {step}: {" and ".join(wrong)} not finite, in a batch of the training '
      f'examples {examples}. Nothing of it was saved; the same command goes on from '
      'the last checkpoint. A lower config.optimizer.learning_rate or a clip_norm '
      "there may prevent it; config.on_nonfinite='skip' leaves such steps out"
    )
