"""Images and weights from seeds, the same for every library, and numbers to keep.

As initialised, the logits of some networks would be the same for all images, to 14
digits. With these weights, and the statistics of a batch, they tell something. Nothing
here changes with a version of numpy: the streams of `RandomState` are frozen.
"""

import math
import zlib
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

import convscan.architectures as arch

# One network of each kind of block.
KINDS = (
  'alexnet',
  'convnext_tiny',
  'densenet121',
  'efficientnet_b0',
  'efficientnet_v2_s',
  'googlenet',
  'inception_v3',
  'mnasnet0_5',
  'mobilenet_v2',
  'mobilenet_v3_large',
  'mobilenet_v3_small',
  'regnet_x_400mf',
  'regnet_y_400mf',
  'resnet18',
  'resnext50_32x4d',
  'shufflenet_v2_x0_5',
  'squeezenet1_0',
  'squeezenet1_1',
  'vgg11',
  'vgg13_bn',
)
# The first are what the statistics are of.
IMAGES = {
  'calibration': (8, 96, 96, 3),
  'odd': (2, 75, 67, 3),
  'even': (2, 64, 80, 3),
}
_PROJECTIONS = 4


def make_images(which: str, min_size: int) -> np.ndarray:
  """Returns images `[batch, height, width, channels]`.

  Args:
    which: a key of `IMAGES`.
    min_size: the network's; the images are larger where it is above 64.
  """
  batch, *sides, channels = IMAGES[which]
  more = max(min_size + min_size % 2 - 64, 0)
  return make_noise(which, (batch, *(side + more for side in sides), channels))


def make_noise(key: str, shape: tuple[int, ...]) -> np.ndarray:
  """Returns images of noise, `[batch, ...]`, whose contrast falls by half."""
  # Noise alone is the same to a network that does not normalise, but for its contrast.
  contrast = 1 / np.linspace(1, 2, shape[0], dtype=np.float32)
  return 2 * contrast.reshape(-1, *(1 for _ in shape[1:])) * _uniform(key, shape)


def make_array(key: str, shape: tuple[int, ...]) -> np.ndarray:
  """Returns the array of a network that torch calls `key`, in float32."""
  path, _, kind = key.rpartition('.')
  match kind:
    case 'running_mean':
      return np.zeros(shape, np.float32)
    case 'running_var':
      return np.ones(shape, np.float32)
    case 'bias':
      return 0.17 * _uniform(key, shape)
    case 'layer_scale' | 'layer_scale_parameter' | 'gamma':
      return 0.75 + 0.25 * _uniform(key, shape)
    case 'weight' if len(shape) == 1:  # a normalisation's
      return 1 + 0.5 * _uniform(key, shape)
    case 'weight':  # He et al. 2015, https://arxiv.org/abs/1502.01852
      bound = math.sqrt(6 / math.prod(shape[1:]))
      if path.endswith(('fc1', 'fc2')) and len(shape) == 4:  # squeeze and excitation's
        bound *= 0.3  # or maps that multiply themselves would grow from block to block
      return np.float32(bound) * _uniform(key, shape)
  raise ValueError(f'key: got {key!r}, expected the name of a weight or statistic')


def make_variables(model: Any) -> dict[str, Any]:
  """Returns a network's variables, each array as `make_array` has it."""
  shape = (1, *make_images('even', model.min_size).shape[1:])
  images = jax.ShapeDtypeStruct(shape, jnp.float32)
  init = partial(model.init, train=False)
  leaves = flatten_dict(jax.eval_shape(init, jax.random.key(0), images), sep='/')
  arrays = arch.weights.cnn.arrays(model, leaves, 'torchvision').values()
  state = {array.key: make_array(array.key, array.shape) for array in arrays}
  return arch.weights.from_torch(model, state, shape)


def calibrate(model: Any, variables: Mapping[str, Any]) -> dict[str, Any]:
  """Replaces a network's statistics by those of a batch, as a training step would.

  An auxiliary head's are left at 0 and 1, for not every network trains one at any size.
  """
  if 'batch_stats' not in variables:
    return dict(variables)
  initial = jax.tree_util.tree_map_with_path(
    lambda path, x: jnp.full(x.shape, path[-1].key == 'var', x.dtype),
    variables['batch_stats'],
  )
  rates = ('dropout_rate', 'stochastic_depth_rate')
  model = model.clone(
    norm=partial(model.norm, momentum=0.0),  # nothing is left of what was there before
    **{rate: 0.0 for rate in rates if hasattr(model, rate)},
    **({'aux_logits': False} if hasattr(model, 'aux_logits') else {}),
  )
  images = jnp.asarray(make_images('calibration', model.min_size))
  train = jax.jit(partial(model.apply, train=True, mutable=['batch_stats']))
  _, updates = train({**variables, 'batch_stats': initial}, images)
  return {**variables, **updates}


def logits_and_maps(model: Any) -> Any:
  """Returns a function of variables and images, compiled, that evaluates a network."""

  def evaluate(variables: Any, images: Any) -> tuple[Any, dict[str, Any]]:
    logits, kept = model.apply(
      variables,
      images,
      train=False,
      capture_intermediates=lambda module, method: method == 'features',
      mutable=['intermediates'],
    )
    (maps,) = kept['intermediates']['features']
    return logits, maps

  return jax.jit(evaluate)


def norm_options(model: Any) -> tuple[float, float | None]:
  """Returns epsilon, and the weight of a batch's statistics where there are any."""
  options = model.norm.keywords
  momentum = options.get('momentum')
  return options['epsilon'], None if momentum is None else round(1 - momentum, 6)


def varies(logits: Any) -> bool:
  """Whether the logits tell the images apart."""
  logits = np.asarray(logits)
  return bool(logits.std(axis=0).mean() > 0.01 * np.abs(logits).max())


def relative_error(got: Any, expected: Any) -> float:
  """Returns the largest difference, relative to the largest value expected."""
  got, expected = np.asarray(got), np.asarray(expected)
  largest = np.abs(expected).max()
  return float(np.abs(got - expected).max() / (largest if largest else 1))


def numbers(
  state: Mapping[str, np.ndarray], outputs: Mapping[str, tuple[Any, Mapping[str, Any]]]
) -> dict[str, list[Any]]:
  """Returns the digest of all that is compared.

  Args:
    state: the network's arrays by torch's names, its statistics among them.
    outputs: by a key of `IMAGES`, logits `[batch, num_classes]` and maps `[batch,
      height, width, channels]` by their stages.

  Raises:
    ValueError: some logits are about the same for all images.
  """
  found = {}
  keys = sorted(key for key in state if key.endswith('running_mean'))
  if keys:
    means = np.concatenate([state[key] for key in keys])
    var = np.concatenate([state[key.replace('_mean', '_var')] for key in keys]) + 1e-3
    # All layers count alike.
    found['mean'] = digest(means / np.sqrt(var))
    found['log_var'] = digest(np.log(var))
  for which, (logits, maps) in outputs.items():
    if not varies(logits):
      raise ValueError(f'{which}: the logits do not tell the images apart')
    found[f'{which}/logits'] = digest(logits)
    found |= {f'{which}/{stage}': digest(x) for stage, x in maps.items()}
  return found


def digest(array: Any) -> list[Any]:
  """Returns an array's shape, root mean square, and sums under random signs.

  The sums are over the square root of the array's size, and so about as large as the
  root mean square; a relative error of the array is one of theirs.
  """
  x = np.asarray(array, np.float64).ravel()
  sums = []
  for seed in range(_PROJECTIONS):
    raw = np.random.RandomState(seed).bytes(-(-x.size // 8))
    signs = 2.0 * np.unpackbits(np.frombuffer(raw, np.uint8), count=x.size) - 1
    sums.append(signs @ x / math.sqrt(x.size))
  rms = math.sqrt(x @ x / x.size)
  return [list(np.shape(array)), *(float(f'{value:.6g}') for value in (rms, *sums))]


def difference(got: list[Any], expected: list[Any]) -> float:
  """Returns by how much two digests differ, relative to the root mean square."""
  (shape, *values), (expected_shape, *expected_values) = got, expected
  if shape != expected_shape:
    return math.inf
  return float(np.abs(np.subtract(values, expected_values)).max() / expected_values[0])


def _uniform(key: str, shape: tuple[int, ...]) -> np.ndarray:
  """Returns numbers from [-1, 1) in float32, which holds them exactly."""
  size = math.prod(shape)
  raw = np.random.RandomState(zlib.crc32(key.encode())).bytes(2 * size)
  return (np.frombuffer(raw, '<i2').astype(np.float32) / 2**15).reshape(shape)
