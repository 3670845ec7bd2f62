"""What is kept on disk as JSON: written whole, and compared key by key."""

import os
from typing import Any


def write(path: str, text: str) -> None:
  """Writes a file whole or not at all: a kill leaves no half of it behind."""
  new = f'{path}.new'
  with open(new, 'w') as f:
    f.write(text)
  os.replace(new, path)


def flat(tree: Any, prefix: str = '') -> dict[str, Any]:
  """Returns the leaves of nested dicts by their keys, joined.

  >>> flat({'mesh': {'fsdp': 1}, 'seed': 0})
  {'mesh.fsdp': 1, 'seed': 0}
  """
  if not isinstance(tree, dict):
    return {prefix: tree}
  return {
    k: v
    for name, sub in tree.items()
    for k, v in flat(sub, f'{prefix}.{name}' if prefix else name).items()
  }
