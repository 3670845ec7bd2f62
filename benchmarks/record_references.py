"""Records what torchvision's networks compute, for tests that have no torch.

    python benchmarks/record_references.py                # all
    python benchmarks/record_references.py resnet18 vgg11 # these, and keep the others

Weights and images come from seeds (see `seeded`); torch computes in float64.
"""

import json
import pathlib
import sys

import torch
from seeded import IMAGES, make_images, numbers
from torch_networks import logits_and_maps, prepared

import convscan.architectures as arch

FOLDER = pathlib.Path(__file__).parents[1] / 'tests' / 'architectures' / 'cnn'
PATH = FOLDER / 'references.json'


def record(name: str) -> dict[str, list]:
  """Returns the numbers of one network."""
  model = arch.build(name)
  net = prepared(name, model.min_size, torch.float64)
  outputs = {}
  for which in list(IMAGES)[1:]:
    logits, maps = logits_and_maps(net, name, make_images(which, model.min_size))
    outputs[which] = logits, dict(zip(model.feature_info, maps, strict=True))
  return numbers({k: t.numpy() for k, t in net.state_dict().items()}, outputs)


def main(names: list[str]) -> None:
  """Records some networks, and writes after each."""
  rows = json.loads(PATH.read_text()) if PATH.exists() else {}
  figures = (FOLDER / 'torchvision_cnn.csv').read_text().splitlines()[1:]
  for name in names or [line.partition(',')[0] for line in figures]:
    rows[name] = record(name)
    lines = [
      f'"{name}": {{\n'
      + ',\n'.join(f'"{key}": {json.dumps(value)}' for key, value in row.items())
      + '\n}'
      for name, row in sorted(rows.items())
    ]
    PATH.write_text('{\n' + ',\n'.join(lines) + '\n}\n')
    print(name, flush=True)


if __name__ == '__main__':
  main(sys.argv[1:])
