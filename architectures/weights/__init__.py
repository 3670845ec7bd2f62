"""Weights of this package's models to and from torch, flax and Keras."""

from .convert import from_flax, from_keras, from_torch, to_flax, to_keras, to_torch
from .load import load

__all__ = [
  'from_flax',
  'from_keras',
  'from_torch',
  'load',
  'to_flax',
  'to_keras',
  'to_torch',
]
