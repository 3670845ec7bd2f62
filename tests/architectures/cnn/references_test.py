"""The published networks compute what torchvision's did.

Weights and images come from seeds, and statistics from a batch of images; what torch
made of them is in `references.json`, by `python benchmarks/record_references.py`.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import seeded
from flax.traverse_util import flatten_dict, unflatten_dict

import convscan.architectures as arch

_PATH = pathlib.Path(__file__).with_name('references.json')
REFERENCES = json.loads(_PATH.read_text())
NAMES = [
  pytest.param(name, marks=[] if name in seeded.KINDS else pytest.mark.long)
  for name in sorted(REFERENCES)
]
TOLERANCE = 1e-3


def differences(
  name: str, model: Any, variables: Any, evaluate: Any, sizes: Sequence[str]
) -> dict[str, float]:
  """By how much each of a network's numbers differs from torchvision's."""
  outputs = {
    size: evaluate(variables, seeded.make_images(size, model.min_size))
    for size in sizes
  }
  got = seeded.numbers(arch.weights.to_torch(model, variables), outputs)
  return {
    key: seeded.difference(got[key], expected)
    for key, expected in REFERENCES[name].items()
    if '/' not in key or key.partition('/')[0] in sizes
  }


def test_all_are_recorded() -> None:
  table = _PATH.with_name('torchvision_cnn.csv').read_text().splitlines()[1:]
  assert sorted(REFERENCES) == sorted(row.partition(',')[0] for row in table)


@pytest.mark.parametrize('name', NAMES)
def test_statistics_maps_and_logits_are_torchvisions(name: str) -> None:
  model: Any = arch.build(name)
  variables = seeded.calibrate(model, seeded.make_variables(model))
  evaluate = seeded.logits_and_maps(model)
  found = differences(name, model, variables, evaluate, ('odd', 'even'))
  assert {key for key in found if '/' in key} == {
    f'{size}/{output}'
    for size in ('odd', 'even')
    for output in ('logits', *model.feature_info)
  }
  assert {key: value for key, value in found.items() if not value < TOLERANCE} == {}
  # And the comparison can fail: by a hundredth of one kernel, halfway through. A gate's
  # would change less, and an auxiliary head's nothing.
  leaves = flatten_dict(variables)
  kernels = [
    path
    for path in leaves
    if path[-1] == 'kernel' and 'squeeze_excite' not in path and 'aux' not in path[1]
  ]
  path = kernels[len(kernels) // 2]
  mutated = unflatten_dict(
    {**leaves, path: leaves[path] + 0.01 * np.roll(leaves[path], 1, -1)}
  )
  found = differences(name, model, mutated, evaluate, ('odd',))
  assert max(value for key, value in found.items() if '/' in key) > TOLERANCE, path


def test_every_mutated_leaf_is_seen() -> None:
  name = 'mobilenet_v3_small'
  model: Any = arch.build(name)
  variables = seeded.calibrate(model, seeded.make_variables(model))
  evaluate = seeded.logits_and_maps(model)
  leaves = flatten_dict(variables)
  for path, leaf in leaves.items():
    mutated = unflatten_dict({**leaves, path: np.roll(leaf, 1, -1)})
    found = differences(name, model, mutated, evaluate, ('odd',))
    assert found['odd/logits'] > TOLERANCE, path
