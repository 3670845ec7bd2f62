"""A checksum a leaf: whether a tree's bits are the ones that were saved."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_GOLDEN = 0x9E3779B9  # 2**32 over the golden ratio: what an index is counted from


def checksums(tree: Any) -> dict[str, int]:
  """Returns a 32-bit checksum of every leaf, by its path.

  Each word's bits are mixed with its index into 32 others, and these are summed
  modulo 2**32. An integer sum is the same in any order, so it is computed where a
  leaf lies, on any mesh and by several processes at once, and is the same for every
  placement. The mixing is one to one, so a change of a single word always shows; any
  other change goes unseen once in 2**32 times.

  Args:
    tree: jax arrays of any dtype, typed PRNG keys among them. All processes call it.

  Returns:
    `{path: checksum}`, the parts of a path joined by `/`.

  >>> import jax.numpy as jnp
  >>> a = checksums({'dense': {'bias': jnp.zeros(3)}})
  >>> b = checksums({'dense': {'bias': jnp.array([0.0, -0.0, 0.0])}})
  >>> list(a), a == b
  (['dense/bias'], False)
  """
  sums = {name: _sum(leaf) for name, leaf in named(tree).items()}
  return {name: int(value) for name, value in jax.device_get(sums).items()}


def paths(tree: Any) -> list[str]:
  """Returns the paths of the leaves, in their order, the parts joined by `/`."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return [jax.tree_util.keystr(path, simple=True, separator='/') for path, _ in leaves]


def named(tree: Any) -> dict[str, jax.Array]:
  """Returns the leaves by path, as plain arrays: a PRNG key is its data."""
  leaves = map(key_data, jax.tree.leaves(tree))
  return dict(zip(paths(tree), leaves, strict=True))


def key_data(leaf: Any) -> Any:
  """Returns a typed PRNG key's data, and anything else as it is."""
  is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
  return jax.random.key_data(leaf) if is_key else leaf


@jax.jit  # a program a shape: quicker to compile than one of all leaves
def _sum(x: jax.Array) -> jax.Array:
  if jnp.issubdtype(x.dtype, jnp.complexfloating):
    x = jnp.stack([x.real, x.imag], axis=-1)
  if x.dtype == jnp.bool:
    x = x.astype(jnp.uint8)
  # 64 bits become two words, in an axis of their own.
  word = {1: jnp.uint8, 2: jnp.uint16}.get(x.dtype.itemsize, jnp.uint32)
  bits = jax.lax.bitcast_convert_type(x, word).astype(jnp.uint32)
  index = jnp.zeros(bits.shape, jnp.uint32)
  for axis in range(bits.ndim):
    stride = math.prod(bits.shape[axis + 1 :]) % 2**32
    place = jax.lax.broadcasted_iota(jnp.uint32, bits.shape, axis)
    index += place * np.uint32(stride)
  return jnp.sum(_mix(bits ^ _mix(index + np.uint32(_GOLDEN))), dtype=jnp.uint32)


def _mix(x: jax.Array) -> jax.Array:
  """MurmurHash3's finalizer: one to one, and every bit depends on every other."""
  x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
  x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
  return x ^ (x >> 16)
