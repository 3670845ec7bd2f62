"""Padding of the spatial dimensions, with what torch's convolutions can pad with."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from .conv import Padding, resolve_padding

# What each mode is called in `jax.numpy.pad`, and how far it reaches by a size.
_MODES: dict[str, tuple[str, Callable[[int], float]]] = {
  'zeros': ('constant', lambda size: float('inf')),
  'reflect': ('reflect', lambda size: size - 1),
  'replicate': ('edge', lambda size: float('inf') if size else 0),
  'circular': ('wrap', lambda size: size),
}


def pad(x: jax.Array, padding: Padding, mode: str = 'zeros') -> jax.Array:
  """Extends an array on both sides of each spatial dimension.

  The modes are those of torch's convolutions and of its `pad`.

  Args:
    x: `[batch, *spatial, channels]`.
    padding: An int for every side; an int for each dimension; or a pair `(low, high)`
      for each dimension.
    mode: `'zeros'`; `'reflect'` mirrors at the outermost entry, which is not repeated;
      `'replicate'` repeats it; `'circular'` goes on at the other end.

  Returns:
    `[batch, *padded, channels]` in the dtype of `x`.

  Raises:
    ValueError: If an argument is none of these, or the padding is more than the mode
      can take from `x`: its size, or less than that where it reflects.

  Example:
    >>> x = jnp.arange(3).reshape(1, 3, 1)
    >>> pad(x, 2, 'reflect').ravel().tolist()
    [2, 1, 0, 1, 2, 1, 0]
    >>> pad(x, [(2, 0)], 'circular').ravel().tolist()
    [1, 2, 0, 1, 2]
  """
  if mode not in _MODES:
    raise ValueError(f'padding_mode {mode!r}: expected one of {", ".join(_MODES)}')
  sizes = x.shape[1:-1]
  pairs = explicit_padding(padding, sizes)
  name, reach = _MODES[mode]
  if any(max(pair) > reach(size) for pair, size in zip(pairs, sizes, strict=True)):
    raise ValueError(
      f'padding {padding!r}: got more than {mode!r} can take from the spatial shape '
      f'{sizes} of x'
    )
  return jnp.pad(x, [(0, 0), *pairs, (0, 0)], name)


def explicit_padding(padding: Padding, sizes: Sequence[int]) -> list[tuple[int, int]]:
  """Turns padding that is no name into `(low, high)` for each spatial dimension.

  Args:
    padding: As `pad` takes it.
    sizes: The spatial sizes of the array.

  Raises:
    ValueError: If it is anything else.

  Example:
    >>> explicit_padding((1, (0, 2)), sizes=[8, 8])
    [(1, 1), (0, 2)]
  """
  ones = [1] * len(sizes)
  if isinstance(padding, str):
    raise ValueError(
      f'padding {padding!r}: expected an int >= 0, or {len(sizes)} entries that are '
      'such ints or pairs (low, high) of them'
    )
  return resolve_padding(padding, sizes, ones, ones)
