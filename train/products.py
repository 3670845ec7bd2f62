"""The FLOPs of one product of a compiled program, a dot or a convolution.

Counted as XLA's own `HloCostAnalysis` does: two for each multiply-accumulate, and none
where a convolution's kernel lies on padding or between the places of a dilated input.
"""

import math
import re
from collections.abc import Sequence

import numpy as np


def dot_flops(result: Sequence[int], left: Sequence[int], attributes: str) -> int:
  """Returns the FLOPs of a dot.

  Args:
    result: the shape of what comes out.
    left: the shape of the first operand.
    attributes: as the text of the instruction has them.

  >>> dot_flops((8, 5), (8, 3), 'lhs_contracting_dims={1}, rhs_contracting_dims={0}')
  240
  """
  found = re.search(r'lhs_contracting_dims=\{([\d,]*)\}', attributes)
  contracted = map(int, filter(None, found[1].split(',') if found else ()))
  return 2 * math.prod(result) * math.prod(left[axis] for axis in contracted)


def convolution_flops(
  result: Sequence[int],
  inputs: Sequence[int],
  kernel: Sequence[int],
  attributes: str,
) -> int:
  """Returns the FLOPs of a convolution, as which TPUs have dots, too.

  Args:
    result: the shape of what comes out.
    inputs: the shape of the first operand.
    kernel: the shape of the second.
    attributes: as the text of the instruction has them.

  >>> attributes = 'window={size=3 pad=1_1}, dim_labels=b0f_0io->b0f'
  >>> convolution_flops((1, 4, 1), (1, 4, 1), (3, 1, 1), attributes)
  20
  """
  labels = re.search(r'dim_labels=(\w+)_(\w+)->(\w+)', attributes)
  if not labels:
    raise ValueError(f'attributes: {attributes!r}; expected some with dim_labels')
  left = dict(zip(labels[1], inputs, strict=True))
  right = dict(zip(labels[2], kernel, strict=True))
  out = dict(zip(labels[3], result, strict=True))
  window = _window(attributes)
  positions = 1
  for i, axis in enumerate(sorted(left.keys() - {'b', 'f'}, key=int)):
    settings = {name: sides[i] for name, sides in window.items()}
    positions *= _valid(left[axis], right[axis], out[axis], settings)
  groups = _number('feature_group_count', attributes)
  batches = left['b'] // _number('batch_group_count', attributes)
  return 2 * batches * positions * (left['f'] // groups) * out['f']


def _number(name: str, attributes: str) -> int:
  found = re.search(rf'{name}=(\d+)', attributes)
  return int(found[1]) if found else 1


def _window(attributes: str) -> dict[str, list[str]]:
  """Returns the settings of a window, each with one for every axis.

  >>> _window('window={size=3x3 pad=1_1x0_1}')
  {'size': ['3', '3'], 'pad': ['1_1', '0_1']}
  """
  found = re.search(r'window=\{([^}]*)\}', attributes)
  pairs = [item.split('=') for item in found[1].split()] if found else []
  return {name: sides.split('x') for name, sides in pairs}


def _valid(size: int, kernel: int, out: int, settings: dict[str, str]) -> int:
  """Returns how often the kernel meets an element of the input, along an axis."""
  stride, apart = int(settings.get('stride', 1)), int(settings.get('lhs_dilate', 1))
  dilation = int(settings.get('rhs_dilate', 1))
  before = int(settings.get('pad', '0_0').split('_')[0])
  end = (size - 1) * apart + 1
  at = stride * np.arange(out)[:, None] + dilation * np.arange(kernel) - before
  return int(((at >= 0) & (at < end) & (at % apart == 0)).sum())
