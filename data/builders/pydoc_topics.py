"""Python's own help texts, character by character: the set that ships with Python."""

import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from .. import text
from ..dataset import Dataset
from ..prepared import open_splits

_TEST_EVERY = 10


class PydocTopics(  # type: ignore[call-arg]
  tfds.core.GeneratorBasedBuilder, skip_registration=True
):
  """The documents that `help('TOPIC')` shows, about 0.5 million characters.

  Of the topics in sorted order, those at positions 9, 19, 29, ... are 'test' and the
  others 'train'. The texts differ between Python's versions, so each version's are
  prepared as a configuration of their own. The metadata holds 'alphabet': all
  characters of all documents, sorted.

  Source: `pydoc_data.topics` in Python's standard library.
  """

  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS: ClassVar = [
    tfds.core.BuilderConfig(name='python' + '_'.join(map(str, sys.version_info[:3])))
  ]

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description="The documents of Python's help.",
      features=tfds.features.FeaturesDict(
        {'topic': tfds.features.Text(), 'text': tfds.features.Text()}
      ),
      metadata=tfds.core.MetadataDict(),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    del dl_manager
    from pydoc_data.topics import topics

    self.info.metadata['alphabet'] = ''.join(sorted(set().union(*topics.values())))
    test = sorted(topics)[_TEST_EVERY - 1 :: _TEST_EVERY]
    train = sorted(topics.keys() - set(test))
    return {
      'train': self._generate_examples(train, topics),
      'test': self._generate_examples(test, topics),
    }

  def _generate_examples(
    self, names: Iterable[str], topics: dict[str, str]
  ) -> Iterator[tuple[int, dict[str, str]]]:
    for index, name in enumerate(names):
      yield index, {'topic': name, 'text': topics[name]}


def load(
  *, data_dir: str | os.PathLike[str] | None = None, length: int = 256
) -> Dataset:
  """Opens the help texts.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    length: characters in a window, 2 or more.

  Returns:
    A language model's dataset over about 100 characters. 'train' has a window at
    every position (`text.StreamWindows`); 'test' counts every character of every
    held-out document once (`text.DocumentWindows`).

  Raises:
    ValueError: `length` is less than 2, or more than the training text has.
  """
  info, records = open_splits(PydocTopics, data_dir)
  classes = ('\x00', *info.metadata['alphabet'])
  documents = {
    split: [text.encode(record['text'].decode(), classes) for record in records[split]]
    for split in records
  }
  return Dataset(
    name='pydoc_topics',
    task='language_model',
    classes=classes,
    splits={
      'train': text.StreamWindows(documents['train'], length),
      'test': text.DocumentWindows(documents['test'], length),
    },
  )
