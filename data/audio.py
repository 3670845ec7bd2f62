"""Sound as features, and WAV files."""

import io
import wave

import numpy as np

from .errors import DataError

FFT = 512  # points, of windows filled up with zeros


def mel_filters(
  mels: int, rate: int, low: float = 20.0, high: float | None = None
) -> np.ndarray:
  r"""Returns the weights that make mels of a spectrum.

  Their centres are spaced evenly in

  .. math:: m = 2595 \log_{10}(1 + f / 700),

  as in HTK, and each is a triangle in hertz, of height 1, from the centre before to the
  one after: `torchaudio.functional.melscale_fbanks` with its defaults.

  Args:
    mels: how many there are.
    rate: samples a second.
    low: where the first triangle begins, in hertz.
    high: where the last one ends, by default half the rate.

  Returns:
    float32 `[FFT // 2 + 1, mels]`.

  >>> mel_filters(4, rate=16000).argmax(axis=0)
  array([ 16,  40,  80, 147])
  """
  first, last = 2595 * np.log10(1 + np.array([low, high or rate / 2]) / 700)
  corners = 700 * (10 ** (np.linspace(first, last, mels + 2) / 2595) - 1)
  hertz = np.arange(FFT // 2 + 1)[:, None] * rate / FFT
  rising = (hertz - corners[:-2]) / (corners[1:-1] - corners[:-2])
  falling = (corners[2:] - hertz) / (corners[2:] - corners[1:-1])
  return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def log_mel(
  samples: np.ndarray, filters: np.ndarray, window: int = 400, hop: int = 160
) -> np.ndarray:
  """Returns the logarithm of the power in each mel over time.

  Windows are periodic Hann windows within the samples, none beyond their ends.

  Args:
    samples: float32 `[samples]`.
    filters: what `mel_filters` gives.
    window: samples in a window, up to `FFT`; the default is 25 ms at 16 kHz.
    hop: samples from one window to the next.

  Returns:
    float32 `[1 + (samples - window) // hop, mels]`: of the power plus 1e-6.
  """
  frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]
  hann = np.hanning(window + 1)[:-1].astype(np.float32)
  spectrum = np.fft.rfft(frames * hann, FFT)
  power = spectrum.real**2 + spectrum.imag**2
  # In products so small that BLAS uses one thread: where several examples are read at
  # once its threads wait for each other, and this takes ten times as long.
  rows = max(1, 200_000 // filters.size)
  mels = [power[i : i + rows] @ filters for i in range(0, len(power), rows)]
  return np.log(np.concatenate(mels) + np.float32(1e-6))


def read_wav(content: bytes, rate: int, name: str) -> np.ndarray:
  """Returns the samples of a WAV file of one channel, int16 `[samples]`.

  Args:
    content: the file.
    rate: samples a second that it should have.
    name: of the file, for messages.

  Raises:
    DataError: it is no such file, or is cut short.
  """
  try:
    with wave.open(io.BytesIO(content)) as file:
      found = file.getnchannels(), 8 * file.getsampwidth(), file.getframerate()
      count = file.getnframes()
      samples = file.readframes(count)
  except (wave.Error, EOFError) as e:
    raise DataError(f'{name}: is no WAV file: {e or "it ends too early"}') from e
  if found != (1, 16, rate):
    raise DataError(
      f'{name}: has channels, bits and samples a second {found}, but should have '
      f'{(1, 16, rate)}'
    )
  if len(samples) != 2 * count or not count:
    raise DataError(f'{name}: ends after {len(samples) // 2} of {count} samples')
  return np.frombuffer(samples, '<i2').astype(np.int16)
