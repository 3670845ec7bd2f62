"""Shows what the first step of a config trains on, and draws it to a PNG.

    python -m convscan.train.data_drawing --config=digits_lenet
    python -m convscan.train.data_drawing --config=my.py --png=a.png --config.seed=1

The batch is shuffled, augmented and mixed as the run's. Images that training changes
stand below what they were.
"""

import os
from typing import Any

import numpy as np
from absl import flags
from ml_collections import ConfigDict

from .flags import define_config, run


def first_batch(config: ConfigDict, dataset: Any) -> dict[str, np.ndarray]:
  """Returns the batch of a run's first step, as `data.train_batches` gives it, mixed.

  Args:
    config: a complete experiment.
    dataset: that of the config.

  Raises:
    ConfigError: it can't be made.
  """
  import jax

  from .loop import make_batches
  from .mixing import make_mix

  config = config.copy_and_resolve_references()
  config.num_reader_workers = 0  # the batches are the same
  ndim = dataset.splits['train'][0]['inputs'].ndim
  mix = make_mix(config, len(dataset.classes), ndim)
  batches = make_batches(config, dataset)
  batch = next(batches)
  batches.close()
  if mix is None:
    return batch
  # The key that `train_step` has of a state which `create_state` made.
  _, key = jax.random.split(jax.random.key(config.seed))
  key, _ = jax.random.split(jax.random.fold_in(key, 0))
  index = batch.pop('index')
  mixed = {name: np.asarray(array) for name, array in mix(key, batch).items()}
  return mixed | {'index': index}


def main(config: ConfigDict, png: str) -> None:
  """Prints the tables, and draws the batch."""
  from ..data.drawing import draw
  from ..data.summary import arrays, summary
  from .loop import build_dataset

  dataset = build_dataset(config)
  batch = first_batch(config, dataset)
  print(summary(dataset))
  print(f'\nthe first batch of {config.batch_size}:')
  print(arrays(batch))
  draw(dataset, batch, png)
  print(f'\nexamples drawn: {os.path.abspath(png)}')


if __name__ == '__main__':
  run(
    main,
    define_config(),
    flags.DEFINE_string('png', 'batch.png', 'the file to draw to'),
  )
