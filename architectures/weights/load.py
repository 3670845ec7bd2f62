"""Weights from files."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import safetensors
from safetensors.flax import load_file

from .convert import from_torch


def load(
  model: nn.Module,
  path: str | os.PathLike[str],
  input_shape: Sequence[int],
  allow_missing: Sequence[str] = (),
  library: str | None = None,
) -> dict[str, Any]:
  """Reads a model's variables from a file of torch's weights.

  Nothing in a file is ever run: a `.pth` is read as weights alone, and refused if it
  holds anything else.

  Args:
    model: as for `from_torch`.
    path: a `.safetensors` file; or a `.pth` or `.pt` file, for which torch must be
      installed.
    input_shape: as for `from_torch`.
    allow_missing: as for `from_torch`.
    library: as for `from_torch`.

  Returns:
    The variables, as `from_torch` makes them.

  Raises:
    FileNotFoundError: there is no such file.
    ImportError: the file is torch's, and there is no torch.
    ValueError: the file is of another kind, not whole or not weights alone; or its
      weights do not fit the model.

  >>> import jax, tempfile
  >>> from jax import numpy as jnp
  >>> from safetensors.flax import save_file
  >>> from convscan.architectures import build, weights
  >>> model, images = build('squeezenet1_1', num_classes=3), jnp.ones((1, 32, 32, 3))
  >>> variables = model.init(jax.random.key(0), images, train=False)
  >>> with tempfile.TemporaryDirectory() as folder:
  ...   path = f'{folder}/model.safetensors'
  ...   save_file(weights.to_torch(model, variables), path)
  ...   loaded = weights.load(model, path, images.shape)
  >>> jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), variables, loaded))
  True
  """
  path = os.fspath(path)
  suffix = os.path.splitext(path)[1]
  readers = {'.safetensors': _safetensors, '.pth': _torch, '.pt': _torch}
  if suffix not in readers:
    raise ValueError(f'path: got {path!r}, expected one of {", ".join(readers)}')
  if not os.path.isfile(path):
    raise FileNotFoundError(f'path: got {path!r}, expected a file')
  return from_torch(model, readers[suffix](path), input_shape, allow_missing, library)


def _safetensors(path: str) -> Mapping[str, Any]:
  try:
    return load_file(path)
  except safetensors.SafetensorError as error:
    raise ValueError(f'path: {path!r} is no whole safetensors file: {error}') from error


def _torch(path: str) -> Mapping[str, Any]:
  try:
    import torch
  except ImportError as error:
    raise ImportError(
      f'path: {path!r} needs torch: pip install torch, or convert it to .safetensors'
    ) from error
  try:
    state = torch.load(path, map_location='cpu', weights_only=True)
  except Exception as error:  # whatever a damaged file makes of the reader
    reason = str(error).partition('\n')[0]
    raise ValueError(
      f'path: {path!r} is no whole file of torch weights alone: {reason}'
    ) from error
  if not isinstance(state, Mapping):
    raise ValueError(f'path: {path!r} holds a {type(state).__name__}, expected a dict')
  wrong = [key for key, value in state.items() if not isinstance(value, torch.Tensor)]
  if wrong:
    raise ValueError(
      f'path: {path!r} holds at {wrong[0]!r} a {type(state[wrong[0]]).__name__}, '
      'expected tensors'
    )
  return state
