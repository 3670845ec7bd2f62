"""The trials of a sweep, for TensorBoard's HPARAMS."""

import glob
import os
from collections.abc import Sequence
from typing import Any

from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from .table import Metric, Row

_SUFFIX = '.hparams'


def write_hparams(rows: Sequence[Row], root: str, metric: Metric) -> None:
  """Writes the overrides of each trial that has ended beside what it logged.

  They are in a file of their own, which replaces that of an earlier call. TensorBoard
  takes the metric's newest value from the run's own file.
  """
  for row in rows:
    folder = os.path.join(root, row.trial.name, 'tensorboard')
    if row.state not in ('finished', 'stopped', 'failed') or not os.path.isdir(folder):
      continue
    for old in glob.glob(os.path.join(glob.escape(folder), f'*{_SUFFIX}')):
      os.remove(old)
    values = {key: _plain(value) for key, value in row.trial.overrides.items()}
    # Not add_hparams: it opens a second writer, which clobbers the first one's file.
    writer = SummaryWriter(folder, filename_suffix=_SUFFIX)
    for summary in hparams(
      values, {metric.name: 0.0}
    ):  # a metric's name is all it takes
      writer.file_writer.add_summary(summary)
    writer.close()


def _plain(value: Any) -> Any:
  return value if isinstance(value, bool | int | float | str) else str(value)
