"""Series of several lengths, padded to one."""

import numpy as np


def padded(
  values: np.ndarray, label: int, length: int, with_lengths: bool
) -> dict[str, np.ndarray]:
  """Returns the example of a labelled series, padded with 0.

  Args:
    values: float32 `[steps, features]`.
    label: its class.
    length: the steps that it is padded to.
    with_lengths: whether the example says how many steps are real.

  >>> example = padded(np.ones((2, 1), np.float32), 3, length=4, with_lengths=True)
  >>> example['inputs'].ravel(), int(example['targets']), int(example['lengths'])
  (array([1., 1., 0., 0.], dtype=float32), 3, 2)
  """
  example = {
    'inputs': np.pad(values, ((0, length - len(values)), (0, 0))),
    'targets': np.array(label, np.int32),
    'weights': np.array(1, np.float32),
  }
  if with_lengths:
    example['lengths'] = np.array(len(values), np.int32)
  return example
