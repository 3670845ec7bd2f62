"""The numbers that a run has written so far; reads them without jax."""

import json
import os
from typing import Any

FILE = 'metrics.jsonl'


def read(workdir: str) -> list[dict[str, Any]]:
  """Returns the metrics written so far; a line that a kill cut short is left out."""
  path = os.path.join(workdir, FILE)
  if not os.path.exists(path):
    return []
  with open(path) as f:
    return [json.loads(line) for line in f if line.endswith('\n')]
