"""Spoken words from small archives of their format."""

import io
import tarfile
import wave

import numpy as np
import pytest
from declaring import check_declared
from serving import file_of, serve

from convscan import data
from convscan.data import DataError
from convscan.data.audio import log_mel, mel_filters
from convscan.data.builders import speech_commands

RNG = np.random.default_rng(0)


def sound(samples):
  return RNG.normal(0, 3000, samples).astype('<i2')


CLIPS = {
  '_background_noise_/pink_noise.wav': sound(40000),  # seconds from 0, 0.5 and 1
  '_background_noise_/running_tap.wav': sound(17000),
  'yes/a_nohash_0.wav': sound(16000),
  'yes/b_nohash_0.wav': sound(12345),
  'stop/a_nohash_0.wav': sound(16000),
  'cat/a_nohash_0.wav': sound(16000),
  'cat/c_nohash_1.wav': sound(16000),
  'cat/b_nohash_0.wav': sound(16000),
}
LISTS = {
  'validation_list.txt': 'yes/b_nohash_0.wav\n',
  'testing_list.txt': 'cat/c_nohash_1.wav\nstop/a_nohash_0.wav\n',
}
TEST = {
  '_silence_/1.wav': sound(16000),
  '_unknown_/cat_a_nohash_0.wav': sound(16000),
  'stop/a_nohash_0.wav': sound(16000),
}


def content_of(value):
  if not isinstance(value, np.ndarray):
    return value if isinstance(value, bytes) else value.encode()
  file = io.BytesIO()
  with wave.open(file, 'wb') as out:
    out.setnchannels(1)
    out.setsampwidth(2)
    out.setframerate(16000)
    out.writeframes(value.tobytes())
  return file.getvalue()


@pytest.fixture
def opened(tmp_path, monkeypatch):
  folder = tmp_path / 'served'
  folder.mkdir()

  def open_words(clips=CLIPS | LISTS, truncate=0, **options):
    with serve(folder) as url:
      files = []
      for file, members in zip(speech_commands.FILES, (clips, TEST), strict=True):
        path = folder / file.name
        with tarfile.open(path, 'w:gz') as tar:
          for name, value in members.items():
            info = tarfile.TarInfo(f'./{name}')
            info.size = len(content_of(value))
            tar.addfile(info, io.BytesIO(content_of(value)))
        if truncate:
          path.write_bytes(path.read_bytes()[:-truncate])
        files.append(file_of(path, url))
      monkeypatch.setattr(speech_commands, 'FILES', tuple(files))
      return data.build('speech_commands', data_dir=tmp_path / 'sets', **options)

  return open_words


def features(samples, mels=40):
  padded = np.zeros(16000, np.float32)
  padded[: len(samples)] = samples / 32768
  return log_mel(padded, mel_filters(mels, 16000))


def check(dataset, split, sounds, scale):
  source = dataset.splits[split]
  labels = [dataset.classes[source[i]['targets']] for i in range(len(source))]
  assert labels == [label for label, _ in sounds]
  for i, (_, samples) in enumerate(sounds):
    expected = (features(samples) - scale[0]) / scale[1]
    assert source[i]['inputs'].shape == (98, 40)
    assert source[i]['inputs'].dtype == np.float32
    np.testing.assert_allclose(source[i]['inputs'], expected, rtol=1e-3, atol=1e-3)


def scale_of(sounds):
  all_features = np.concatenate([features(samples) for _, samples in sounds])
  return all_features.mean(axis=0), all_features.std(axis=0)


def test_12_classes(opened):
  dataset = opened()
  check_declared(dataset)
  assert dataset.classes[:3] == ('down', 'go', 'left')
  assert dataset.classes[10:] == ('_silence_', '_unknown_')
  noise = CLIPS['_background_noise_/pink_noise.wav']
  train = [
    ('_silence_', noise[:16000]),
    ('_silence_', noise[8000:24000]),
    ('_silence_', noise[16000:32000]),
    ('yes', CLIPS['yes/a_nohash_0.wav']),
    ('_unknown_', CLIPS['cat/a_nohash_0.wav']),
    ('_unknown_', CLIPS['cat/b_nohash_0.wav']),
  ]
  scale = scale_of(train)
  check(dataset, 'train', train, scale)
  tap = CLIPS['_background_noise_/running_tap.wav'][:16000]
  validation = [('_silence_', tap), ('yes', CLIPS['yes/b_nohash_0.wav'])]
  check(dataset, 'validation', validation, scale)
  test = [
    ('_silence_', TEST['_silence_/1.wav']),
    ('_unknown_', TEST['_unknown_/cat_a_nohash_0.wav']),
    ('stop', TEST['stop/a_nohash_0.wav']),
  ]
  check(dataset, 'test', test, scale)


def test_every_word_is_a_class(opened):
  dataset = opened(num_classes=35)
  check_declared(dataset, same_classes=False, num_classes=35)
  assert dataset.classes == ('cat', 'stop', 'yes')
  assert dataset.license == 'CC BY 4.0'
  train = [
    ('yes', CLIPS['yes/a_nohash_0.wav']),
    ('cat', CLIPS['cat/a_nohash_0.wav']),
    ('cat', CLIPS['cat/b_nohash_0.wav']),
  ]
  scale = scale_of(train)
  check(dataset, 'train', train, scale)
  check(dataset, 'validation', [('yes', CLIPS['yes/b_nohash_0.wav'])], scale)
  test = [
    ('stop', CLIPS['stop/a_nohash_0.wav']),
    ('cat', CLIPS['cat/c_nohash_1.wav']),
  ]
  check(dataset, 'test', test, scale)


@pytest.mark.parametrize(
  ('clips', 'message'),
  [
    (CLIPS, r'v0\.02\.tar\.gz: has no testing_list\.txt or no validation_list'),
    (
      CLIPS | {'yes/d_nohash_0.wav': content_of(sound(99))[:-7]} | LISTS,
      r'v0\.02\.tar\.gz: yes/d_nohash_0\.wav: (ends after|is no WAV)',
    ),
    ({'yes/d_nohash_0.wav': 'no sound'} | LISTS, r'd_nohash_0\.wav: is no WAV file'),
  ],
)
def test_archives_that_can_not_be(opened, clips, message):
  with pytest.raises(DataError, match=message):
    opened(clips)


def test_a_truncated_archive(opened):
  with pytest.raises(DataError, match=r'v0\.02\.tar\.gz is damaged'):
    opened(truncate=1000)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'num_classes': 10}, r'num_classes is 10, but must be 12 or 35'),
    ({'mels': 128}, r'mels is 128, but must be 1 to 100'),
  ],
)
def test_options_that_can_not_be(tmp_path, options, message):
  with pytest.raises(ValueError, match=message):
    data.build('speech_commands', data_dir=tmp_path, **options)
