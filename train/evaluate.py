"""Evaluates a run on its `config.eval_split`, from its folder alone.

    python -m convscan.train.evaluate --workdir=runs/digits

Prints the metrics and writes `predictions.csv`: a row for each target, with what the
model predicts: of classes the most probable one, and the probability that it gives to
the true one; of numbers each number, in the data's own units. Where examples have
names, such as those of files, they are there, too.

A run whose `config.data.name` is 'MODULE:FUNCTION' is evaluated by `--allow_code`
alone: that imports the module and runs the function, and the folder may be somebody
else's.
"""

import contextlib
import csv
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import flags

from .flags import define_workdir, run


def evaluate(workdir: str, allow_code: bool = False) -> dict[str, float]:
  """Returns the exact metrics of that split, and writes `predictions.csv`.

  Args:
    workdir: the run's folder.
    allow_code: whether a function that its config names, to open the dataset, is run.

  Raises:
    ConfigError: the folder holds no run or no checkpoint, its dataset has other classes
      here, or its config names a function that is not allowed.
  """
  from .. import data
  from . import tasks
  from .errors import ConfigError
  from .evaluation import make_evaluate
  from .loop import build_dataset, enable_compilation_cache
  from .mesh import make_mesh
  from .workdir import read_classes, read_config, restore, started_in

  enable_compilation_cache()
  config = read_config(workdir)
  model, variables = restore(workdir)
  with contextlib.ExitStack() as stack:
    stack.enter_context(started_in(workdir, config))
    if not allow_code:
      stack.enter_context(data.refusing_functions('--allow_code'))
    dataset = build_dataset(config)
  if dataset.classes != read_classes(workdir):
    raise ConfigError(
      f'--workdir: {workdir!r} was trained on other classes than the dataset '
      f'{config.data.name!r} has here'
    )
  task = tasks.build(config, dataset)
  run_evaluation = make_evaluate(config, dataset, model, task, make_mesh(1))
  metrics, predictions = run_evaluation(variables)
  path = os.path.join(workdir, 'predictions.csv')
  write_predictions(path, task, predictions, dataset, config.eval_split)
  return metrics


def write_predictions(
  path: str, task: Any, predictions: Mapping[str, Any], dataset: Any, split: str
) -> None:
  """Writes a row for each target that counts, with its place in its example."""
  from .tasks.numeric import in_units

  predictions = in_units(predictions, dataset, split)
  names = dataset.names.get(split)
  with open(path, 'w', newline='') as f:
    writer = csv.writer(f)
    for row, index in enumerate(np.argwhere(predictions['weights'])):
      record = task.record(predictions, tuple(index), dataset.classes)
      if names is not None:
        record = {'name': names[index[0]], **record}
      if not row:
        writer.writerow(['example', *task.places, *record])
      writer.writerow([*index, *record.values()])


def main(workdir: str, allow_code: bool) -> None:
  """Evaluates and prints."""
  for name, value in evaluate(workdir, allow_code).items():
    print(f'{name:18} {value:.6f}')
  print(f'predictions in {os.path.join(workdir, "predictions.csv")}')


if __name__ == '__main__':
  run(
    main,
    define_workdir(),
    flags.DEFINE_bool(
      'allow_code', False, "run a function that the run's config names"
    ),
  )
