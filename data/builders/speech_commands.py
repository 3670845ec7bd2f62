"""Words spoken by thousands of people, as logarithmic mels over time."""

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from ..archives import members
from ..audio import log_mel, mel_filters, read_wav
from ..dataset import Dataset
from ..declared import Declared
from ..download import File
from ..errors import DataError
from ..prepared import open_splits

RATE = 16000  # samples a second, and those of a clip
WORDS = ('down', 'go', 'left', 'no', 'off', 'on', 'right', 'stop', 'up', 'yes')
# Those that the archive has.
ALL_WORDS = (
  'backward', 'bed', 'bird', 'cat', 'dog', 'down', 'eight', 'five', 'follow', 'forward',
  'four', 'go', 'happy', 'house', 'learn', 'left', 'marvin', 'nine', 'no', 'off', 'on',
  'one', 'right', 'seven', 'sheila', 'six', 'stop', 'three', 'tree', 'two', 'up',
  'visual', 'wow', 'yes', 'zero',
)  # fmt: skip
SILENCE, UNKNOWN = '_silence_', '_unknown_'
_NOISE = '_background_noise_'
_VALIDATION_NOISE = 'running_tap.wav'
_MEASURED = 256  # clips that the mean and deviation are of

# As tensorflow_datasets has them.
FILES = (
  File(
    'speech_commands_v0.02.tar.gz',
    'http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz',
    2428923189,
    'af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58',
    5_000_000_000,
  ),
  File(
    'speech_commands_test_set_v0.02.tar.gz',
    'http://download.tensorflow.org/data/speech_commands_test_set_v0.02.tar.gz',
    112563277,
    'cc2a00c1147c2254e9be3fa0f779d8c17421dc349b86366567a8edfa9acd51df',
    500_000_000,
  ),
)


class SpeechCommands(  # type: ignore[call-arg]
  tfds.core.GeneratorBasedBuilder, skip_registration=True
):
  """105,829 clips of 35 words, up to a second each, and six minutes of noise.

  The split 'clips' has all of them, with the noise cut into seconds that begin every
  half. The metadata's 'parts' say which are 'train' (84,843 words), 'validation'
  (9,981) and 'test' (11,005), by the lists in the archive; the noise of a running tap
  is 'validation', and all other 'train'. The split 'test12' has the 4,890 clips of the
  archive for the test with 12 classes.

  Source: P. Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech
  Recognition", 2018, https://arxiv.org/abs/1804.03209, version 0.02. Licence: CC BY
  4.0.
  """

  VERSION = tfds.core.Version('2.0.0')

  def declare(self) -> Declared:
    """Returns the splits as they are published, and fills in the metadata."""
    counts = {'train': 84_843, 'validation': 9_981, 'test': 11_005}
    ends = [0, *itertools.accumulate(counts.values())]
    parts = zip(counts, itertools.pairwise(ends), strict=True)
    self.info.metadata.update(
      parts={part: [*range(*bounds)] for part, bounds in parts},
      words=[*ALL_WORDS],
      silence=[],
    )
    record = {'audio': np.zeros(RATE, np.int16), 'word': b'yes'}
    return {'clips': (ends[-1], record), 'test12': (4_890, record)}

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description='Words spoken by thousands of people.',
      license='CC BY 4.0',
      features=tfds.features.FeaturesDict(
        {
          # Samples, not features: to make these takes 0.2 ms of a core a clip, less
          # than training does, and so they can be chosen.
          'audio': tfds.features.Tensor(
            shape=(None,), dtype=np.int16, encoding=tfds.features.Encoding.BYTES
          ),
          'word': tfds.features.Text(),
        }
      ),
      metadata=tfds.core.MetadataDict(),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    clips, test = (os.path.join(dl_manager.manual_dir, f.name) for f in FILES)
    return {
      'clips': self._generate_examples(clips, FILES[0].unpacked),
      'test12': self._generate_test(test, FILES[1].unpacked),
    }

  def _generate_examples(
    self, path: str, unpacked: int
  ) -> Iterator[tuple[int, dict[str, Any]]]:
    lists: dict[str, set[str]] = {}
    names: list[str] = []  # of each clip that was yielded
    for name, content in members(path, unpacked):
      # In whatever folder: only the last is of interest.
      name = '/'.join(name.split('/')[-2:])
      if name.endswith(('testing_list.txt', 'validation_list.txt')):
        lists[os.path.basename(name)] = {*content.read().decode().split()}
      elif name.endswith('.wav'):
        samples = read_wav(content.read(), RATE, f'{path}: {name}')
        word = name.split('/')[0]
        starts = range(0, len(samples) - RATE, RATE // 2) if word == _NOISE else [0]
        for start in starts:
          yield (
            len(names),
            {
              'audio': samples[start : start + RATE],
              'word': SILENCE if word == _NOISE else word,
            },
          )
          names.append(name)
    if len(lists) < 2:
      raise DataError(f'{path}: has no testing_list.txt or no validation_list.txt')
    test, validation = lists['testing_list.txt'], lists['validation_list.txt']
    validation.add(f'{_NOISE}/{_VALIDATION_NOISE}')
    parts: dict[str, list[int]] = {'train': [], 'validation': [], 'test': []}
    for index, name in enumerate(names):
      part = 'test' if name in test else 'validation' if name in validation else 'train'
      parts[part].append(index)
    words = sorted({name.split('/')[0] for name in names} - {_NOISE})
    self.info.metadata.update(
      parts=parts,
      words=words,
      silence=[i for i, name in enumerate(names) if name.startswith(_NOISE)],
    )

  def _generate_test(
    self, path: str, unpacked: int
  ) -> Iterator[tuple[int, dict[str, Any]]]:
    index = 0
    for name, content in members(path, unpacked):
      if name.endswith('.wav'):
        samples = read_wav(content.read(), RATE, f'{path}: {name}')
        yield index, {'audio': samples, 'word': name.split('/')[-2]}
        index += 1


class _Clips:
  """Examples of clips, a second each: shorter ones are filled up with zeros."""

  def __init__(
    self,
    records: Sequence[Mapping[str, Any]],
    indices: Sequence[int],
    classes: Mapping[str, int],
    filters: np.ndarray,
    scale: tuple[Any, Any] = (0, 1),
  ):
    self._records, self._indices = records, np.array(indices, np.int32)
    self._classes, self._filters, self._scale = classes, filters, scale

  def __len__(self) -> int:
    return len(self._indices)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    record = self._records[self._indices[index]]
    samples = record['audio'][:RATE].astype(np.float32) / np.float32(2**15)
    samples = np.pad(samples, (0, RATE - len(samples)))
    mean, std = self._scale
    return {
      'inputs': (log_mel(samples, self._filters) - mean) / std,
      'targets': np.array(self._classes[record['word'].decode()], np.int32),
      'weights': np.array(1, np.float32),
    }

  def measure(self) -> tuple[Any, Any]:
    """Returns the mean and the standard deviation of each mel over some clips."""
    some = np.linspace(0, len(self) - 1, min(len(self), _MEASURED)).astype(int)
    features = np.concatenate([self[i]['inputs'] for i in some])
    return features.mean(axis=0), np.maximum(features.std(axis=0), np.float32(1e-3))


def load(
  *,
  data_dir: str | os.PathLike[str] | None = None,
  num_classes: int = 12,
  mels: int = 40,
) -> Dataset:
  """Opens the spoken words.

  Args:
    data_dir: where prepared sets are kept; None is TFDS's own default.
    num_classes: 12 for ten words, '_silence_' and, for the other 25 words,
      '_unknown_', which has many clips in training but as many as others in the test,
      as tensorflow_datasets has it; or 35 for every word, without silence.
    mels: numbers a step.

  Returns:
    A classification of float32 `[98, mels]`, a step each 10 ms: `audio.log_mel` less
    its mean over the training part, by its deviation there (those of 256 clips, evenly
    spaced).

  Raises:
    ValueError: `num_classes` is neither, or `mels` is not from 1 to 100.
  """
  if num_classes not in (12, 35):
    raise ValueError(f'num_classes is {num_classes}, but must be 12 or 35')
  if not 1 <= mels <= 100:  # of more the lowest would lie between two frequencies
    raise ValueError(f'mels is {mels}, but must be 1 to 100')
  info, records = open_splits(SpeechCommands, data_dir, FILES)
  clips, parts = records['clips'], info.metadata['parts']
  silence = {*info.metadata['silence']}
  classes = tuple(info.metadata['words'])
  sources = {split: (clips, parts[split]) for split in ('train', 'validation', 'test')}
  if num_classes == 12:
    classes = (*WORDS, SILENCE, UNKNOWN)
    sources['test'] = records['test12'], range(len(records['test12']))
  else:
    for split in ('train', 'validation'):
      sources[split] = clips, [i for i in parts[split] if i not in silence]
  known = {word: index for index, word in enumerate(classes)}
  ids = {word: len(classes) - 1 for word in info.metadata['words']} | known
  filters = mel_filters(mels, RATE)
  scale = _Clips(*sources['train'], ids, filters).measure()
  return Dataset(
    name='speech_commands',
    task='classification',
    classes=classes,
    splits={k: _Clips(*source, ids, filters, scale) for k, source in sources.items()},
    license=info.redistribution_info.license or '',
  )
