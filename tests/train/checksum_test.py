"""Checksums beside a plain loop over bytes, on many placements, and against damage."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from convscan.train.checksum import checksums

WORD = 2**32


def finalize(x):
  """MurmurHash3's fmix32, in Python's integers."""
  for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
    x = (x ^ (x >> shift)) * factor % WORD
  return x ^ (x >> 16)


def test_the_finalizer_is_murmurs():
  # MurmurHash3_x86_32 of no bytes with seed 1, of the reference implementation.
  assert finalize(1) == 0x514E28B7


def by_loop(array):
  """The checksum of a numpy array, by the definition."""
  array = np.ascontiguousarray(array)
  width = min(array.dtype.itemsize, 4)
  data = array.tobytes()
  total = 0
  for i in range(len(data) // width):
    bits = int.from_bytes(data[i * width : (i + 1) * width], 'little')
    total += finalize(bits ^ finalize((i + 0x9E3779B9) % WORD))
  return total % WORD


DTYPES = ['float32', 'bfloat16', 'float16', 'int32', 'uint8', 'bool', 'complex64']


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('shape', [(), (7,), (3, 4, 5)])
def test_equals_a_loop_over_bytes(dtype, shape):
  values = 100 * np.random.default_rng(0).normal(size=shape)
  array = np.asarray(values).astype(jnp.dtype(dtype))
  assert checksums({'x': jnp.asarray(array)}) == {'x': by_loop(array)}


def test_64_bits_are_two_words():
  array = np.random.default_rng(0).normal(size=(3, 4))
  with jax.enable_x64(True):
    assert checksums([jnp.asarray(array)]) == {'0': by_loop(array)}


def test_a_key_is_its_data():
  key = jax.random.key(3)
  assert checksums({'key': key}) == {'key': by_loop(jax.random.key_data(key))}
  assert checksums(key) != checksums(jax.random.key(4))


@pytest.mark.parametrize(
  'spec', [P(), P('a'), P('b'), P('a', 'b'), P(None, ('a', 'b'))]
)
def test_is_the_same_wherever_a_leaf_lies(spec):
  mesh = jax.make_mesh((4, 2), ('a', 'b'), axis_types=(AxisType.Auto,) * 2)
  array = np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32)
  placed = jax.device_put(array, NamedSharding(mesh, spec))
  assert checksums({'x': placed}) == {'x': by_loop(array)}


def test_every_flipped_bit_shows():
  array = np.random.default_rng(0).normal(size=8).astype(np.float32)
  seen = {by_loop(array)}
  for i in range(array.size):
    for bit in range(32):
      damaged = array.copy()
      damaged.view(np.uint32)[i] ^= np.uint32(1 << bit)
      seen.add(checksums([jnp.asarray(damaged)])['0'])
  assert len(seen) == 1 + 8 * 32


def test_what_a_plain_sum_would_miss_shows():
  array = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
  signs = array.copy()
  signs[0, :2] *= -1  # the highest bit of two elements: twice 2**31 is 0
  swapped = array[[1, 0, 2, 3]]
  zeros, fewer = np.zeros(6, np.float32), np.zeros(5, np.float32)
  for a, b in [(array, signs), (array, swapped), (array, -array), (zeros, fewer)]:
    assert checksums([jnp.asarray(a)]) != checksums([jnp.asarray(b)])


def test_paths_name_the_leaves():
  tree = {'opt': ({'mu': jnp.ones(2)}, jnp.ones(())), 'none': None}
  assert list(checksums(tree)) == ['opt/0/mu', 'opt/1']
