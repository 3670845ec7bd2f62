"""Any problem of the UCR and UEA archives of time series classification."""

import dataclasses
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Never

import numpy as np
import tensorflow_datasets as tfds

from ..archives import opened
from ..dataset import Dataset
from ..download import File
from ..errors import DataError
from ..padding import padded
from ..prepared import open_splits
from ..scaling import mean_and_deviation
from ..ts_format import TsFile, read_ts

# Of each problem, as aeon has it. The archive gives neither sizes nor checksums; a zip
# has one of each of its files.
FILES = (
  File(
    '{problem}.zip',
    'https://timeseriesclassification.com/aeon-toolkit/{problem}.zip',
    0,
    '',
    20_000_000_000,
  ),
)


class Uea(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
  """A problem of the archives: labelled series in the splits 'train' and 'test'.

  The configuration's name is the problem's. The metadata hold the 'classes', the
  longest series' 'length', whether all are as long ('equal'), and the 'mean' and 'std'
  of each channel in 'train'.

  Source: H. A. Dau et al., "The UCR time series archive", 2019; A. Bagnall et al., "The
  UEA multivariate time series classification archive, 2018". The archives come without
  a licence; problems are of many sources.
  """

  VERSION = tfds.core.Version('1.0.0')

  def declare(self) -> Never:
    """Raises a DataError: the archives have too many problems to know them all."""
    raise DataError('how long its series are is known from its files alone')

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description='Time series with a label each.',
      license='None is named; the problems are of many sources',
      features=tfds.features.FeaturesDict(
        {
          'series': tfds.features.Tensor(
            shape=(None, None),
            dtype=np.float32,
            encoding=tfds.features.Encoding.BYTES,
          ),
          'label': tfds.features.Scalar(np.int64),
        }
      ),
      metadata=tfds.core.MetadataDict(),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    problem = self.builder_config.name
    file = _file(problem)
    path = os.path.join(dl_manager.manual_dir, file.name)
    found = {}
    for split in ('train', 'test'):
      name = f'{problem}_{split.upper()}.ts'
      with opened(path, file.unpacked, name) as content:
        lines = io.TextIOWrapper(content, 'utf-8', errors='backslashreplace')
        found[split] = read_ts(lines, f'{path}: {name}')
    found['test'] = _alike(path, found['train'], found['test'])
    series = [*found['train'].series, *found['test'].series]
    train = np.concatenate(found['train'].series).astype(np.float64)
    mean, deviation = mean_and_deviation(train)
    self.info.metadata.update(
      classes=list(found['train'].classes),
      length=max(map(len, series)),
      equal=len({*map(len, series)}) == 1,
      mean=mean.tolist(),
      std=deviation.tolist(),
    )
    return {split: self._generate_examples(found[split]) for split in found}

  def _generate_examples(self, found: TsFile) -> Iterator[tuple[int, dict[str, Any]]]:
    for index, (series, label) in enumerate(
      zip(found.series, found.labels, strict=True)
    ):
      yield index, {'series': series, 'label': label}


def _file(problem: str) -> File:
  (file,) = FILES
  return dataclasses.replace(
    file, name=file.name.format(problem=problem), url=file.url.format(problem=problem)
  )


def _alike(path: str, train: TsFile, test: TsFile) -> TsFile:
  """Returns the test part with its labels numbered as those to train on."""
  channels = [found.series[0].shape[1] for found in (train, test)]
  if {*train.classes} != {*test.classes} or channels[0] != channels[1]:
    raise DataError(
      f'{path}: train has the labels {train.classes} and {channels[0]} channels, test '
      f'{test.classes} and {channels[1]}'
    )
  labels = [train.classes.index(test.classes[label]) for label in test.labels]
  return dataclasses.replace(test, classes=train.classes, labels=labels)


class _Sequences:
  """Examples of series: each channel less its mean, by its deviation, and padded."""

  def __init__(self, records: Sequence[Mapping[str, Any]], metadata: dict[str, Any]):
    self._records, self._metadata = records, metadata
    self._mean, self._std = (
      np.array(metadata[key], np.float32) for key in ('mean', 'std')
    )

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    record = self._records[index]
    values = (record['series'] - self._mean) / self._std
    length, equal = self._metadata['length'], self._metadata['equal']
    return padded(np.nan_to_num(values), record['label'], length, not equal)


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  problem: str = '',
  normalise: bool = True,
) -> Dataset:
  """Opens a problem of the archives.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    problem: its name in the archives, such as 'GunPoint'; capitals count. It must be
      given; https://timeseriesclassification.com/dataset.php lists them.
    normalise: whether each channel has the mean 0 and the deviation 1 over the series
      to train on, so that a value that is missing is 0, the mean.

  Returns:
    A classification of float32 `[length, channels]`, in which the length is that of the
    longest series. Others are padded with 0; where there are any, each example has its
    `lengths`.

  Raises:
    ValueError: `problem` is no name.
  """
  if not re.fullmatch(r'\w+', problem):
    raise ValueError(
      f'problem is {problem!r}, but must be a name such as GunPoint or BasicMotions, '
      'of those that https://timeseriesclassification.com/dataset.php lists'
    )
  info, records = open_splits(
    partial(Uea, config=tfds.core.BuilderConfig(name=problem)),
    data_dir,
    (_file(problem),),
    f'uea --problem={problem}',
  )
  metadata = dict(info.metadata)
  if not normalise:
    metadata |= {'mean': [0.0], 'std': [1.0]}
  return Dataset(
    name='uea',
    task='classification',
    classes=tuple(metadata['classes']),
    splits={split: _Sequences(records[split], metadata) for split in records},
    license=info.redistribution_info.license or '',
  )
