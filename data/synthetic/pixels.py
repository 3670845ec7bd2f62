"""Images read pixel by pixel, in order or in a fixed disorder."""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import build
from ..dataset import Dataset, Example, Source
from .stream import check_choice


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  images: str = 'digits',
  image_options: Mapping[str, Any] = {},
  order: str = 'rows',
  seed: int = 0,
) -> Dataset:
  """Opens a set of labelled images as sequences of their pixels.

  Sequential and permuted MNIST, where `images` is 'mnist': Le et al. 2015
  (https://arxiv.org/abs/1504.00941), 784 steps of one number. Their permutation came
  from a generator of their own; here `seed` draws it. (`digits_pixels` is another
  task: there each pixel has a class.)

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    images: a name of `convscan.data.names()`, of images to classify.
    image_options: that set's options.
    order: 'rows', from left to right and from top to bottom, or 'permuted', in a random
      order that is the same for all images.
    seed: of that order.

  Returns:
    The set, its images float32 `[height * width, channels]`. What the set does to its
    images in training is done to them before.

  Raises:
    ValueError: an option is illegal, or the set is not of images to classify.

  >>> task = load(images='digits', order='permuted')
  >>> task.splits['train'][0]['inputs'].shape
  (64, 1)
  """
  check_choice('order', order, ('rows', 'permuted'))
  if not hasattr(image_options, 'keys'):  # a config's is no `Mapping`
    raise ValueError(
      f'image_options is {image_options!r}, but must be a mapping of the options of '
      f'{images}'
    )
  base = build(images, data_dir=data_dir, **image_options)
  shape = base.splits['train'][0]['inputs'].shape
  if base.task != 'classification' or len(shape) != 3:
    raise ValueError(
      f'images is {images!r}, but must be a set of images to classify: it has a '
      f'{base.task} of shape {shape}'
    )
  places = np.arange(shape[0] * shape[1])
  if order == 'permuted':
    places = np.random.default_rng(seed).permutation(places)
  return dataclasses.replace(
    base,
    name='pixels',
    splits={s: _Sequences(base.splits[s], places) for s in base.splits},
    # Images until all that is done to them has been done.
    raw=base.splits['train'] if base.raw is None else base.raw,
    finish=functools.partial(_finish, base.finish, places),
  )


class _Sequences:
  """Examples whose image becomes a sequence of its pixels, in the order of `places`."""

  def __init__(self, source: Source, places: np.ndarray):
    self._source, self._places = source, places

  def __len__(self) -> int:
    return len(self._source)

  def __getitem__(self, index: int) -> Example:
    example = self._source[index]
    return example | {'inputs': _read(example['inputs'], self._places)}


def _finish(
  finish: Callable[[Example], Example] | None, places: np.ndarray, batch: Example
) -> Example:
  batch = batch if finish is None else finish(batch)
  return batch | {'inputs': _read(batch['inputs'], places)}


def _read(images: np.ndarray, places: np.ndarray) -> np.ndarray:
  """Returns `[..., pixels, channels]` of `[..., height, width, channels]`."""
  *batch, _, _, channels = images.shape
  return images.reshape(*batch, len(places), channels)[..., places, :]
