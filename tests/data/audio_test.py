"""Mels against SciPy's spectrogram and loops in float64; WAV files by hand."""

import math
import struct

import numpy as np
import pytest
import scipy.signal

from convscan.data import DataError
from convscan.data.audio import log_mel, mel_filters, read_wav


def mel_of(hertz):
  return 2595 * math.log10(1 + hertz / 700)


def hertz_of(mel):
  return 700 * (10 ** (mel / 2595) - 1)


def filters_by_loops(mels, rate, low, high):
  step = (mel_of(high) - mel_of(low)) / (mels + 1)
  found = np.zeros((257, mels))
  for m in range(mels):
    left, centre, right = (hertz_of(mel_of(low) + step * (m + i)) for i in range(3))
    for k in range(257):
      f = k * rate / 512
      if left < f <= centre:
        found[k, m] = (f - left) / (centre - left)
      elif centre < f < right:
        found[k, m] = (right - f) / (right - centre)
  return found


@pytest.mark.parametrize(
  ('mels', 'rate', 'high'), [(40, 16000, 8000), (23, 8000, 4000), (64, 16000, 7600)]
)
def test_filters(mels, rate, high):
  expected = filters_by_loops(mels, rate, 20, high)
  assert (expected.sum(axis=0) > 0).all()
  np.testing.assert_allclose(mel_filters(mels, rate, high=high), expected, atol=1e-6)


@pytest.mark.parametrize(('window', 'hop', 'mels'), [(400, 160, 40), (512, 100, 80)])
def test_log_mel(window, hop, mels):
  rng = np.random.default_rng(0)
  t = np.arange(9000) / 16000
  samples = np.sin(2 * np.pi * 440 * t * (1 + t)) + 0.1 * rng.normal(size=9000)
  _, _, spectrum = scipy.signal.stft(
    samples,
    window='hann',  # periodic
    nperseg=window,
    noverlap=window - hop,
    nfft=512,
    boundary=None,
    padded=False,
  )
  spectrum = spectrum.T * scipy.signal.get_window('hann', window).sum()  # as it scales
  filters = filters_by_loops(mels, 16000, 20, 8000)
  expected = np.log(np.abs(spectrum) ** 2 @ filters + 1e-6)
  got = log_mel(samples.astype(np.float32), mel_filters(mels, 16000), window, hop)
  assert got.shape == (1 + (9000 - window) // hop, mels)
  assert got.dtype == np.float32
  assert expected.std() > 1
  np.testing.assert_allclose(got, expected, atol=1e-4)


def test_silence_is_finite():
  got = log_mel(np.zeros(400, np.float32), mel_filters(40, 16000))
  np.testing.assert_allclose(got, np.full((1, 40), math.log(1e-6)), rtol=1e-5)


def wav(samples, rate=16000, channels=1, bits=16):
  content = struct.pack(f'<{len(samples)}h', *samples)
  block = channels * bits // 8
  form = struct.pack('<HHIIHH', 1, channels, rate, rate * block, block, bits)
  return (
    struct.pack('<4sI4s4sI', b'RIFF', 36 + len(content), b'WAVE', b'fmt ', 16)
    + form
    + struct.pack('<4sI', b'data', len(content))
    + content
  )


def test_samples_of_a_wav_file():
  samples = [0, 1, -1, 32767, -32768]
  found = read_wav(wav(samples), 16000, 'a.wav')
  assert found.tolist() == samples
  assert found.dtype == np.int16


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (b'RIFF', r'a\.wav: is no WAV file'),
    (b'<html>', r'a\.wav: is no WAV file'),
    (wav([1, 2, 3])[:-2], r'a\.wav: (ends after 2 of 3 samples|is no WAV file)'),
    (wav([]), r'a\.wav: ends after 0 of 0 samples'),
    (
      wav([1, 2], rate=8000),
      r'second \(1, 16, 8000\), but should have \(1, 16, 16000\)',
    ),
    (wav([1, 2], channels=2), r'\(2, 16, 16000\)'),
    (wav([1, 2], bits=8), r'\(1, 8, 16000\)'),
  ],
)
def test_what_is_no_such_file(content, message):
  with pytest.raises(DataError, match=message):
    read_wav(content, 16000, 'a.wav')
